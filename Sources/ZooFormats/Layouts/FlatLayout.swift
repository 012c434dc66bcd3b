import ZooBase

/// Checkpoint files that stand alone: each is a model of its own, named as the file without its extension.
///
/// Files of one folder and one extension become epochs of one model when, with their markers (`EpochMarker`) taken
/// out, their names are equal, and when one unit (epochs before steps before checkpoints) is in all of them with
/// numbers that are all different. Anything less sure stays a model per file.
///
/// Settings come from `NAME.json` beside `NAME.ext`, else from the folder's `config.json`.
public struct FlatLayout: FolderLayout {
    /// The name in manifests.
    public let name = "flat"

    /// Creates the layout.
    public init() {}

    /// Finds the models; see `ZooLayout`.
    public func listing(of archive: any Archive, rootName: String = "model") throws -> ZooListing {
        try AutomaticLayout(name: name, layouts: [self]).listing(of: archive, rootName: rootName)
    }

    func claim(_ index: inout MemberIndex, from archive: any Archive, into builder: inout ListingBuilder) throws {
        for position in index.folders.indices where !index.folders[position].isClaimed {
            if position & 0xFFF == 0 { try Cancellation.check() }
            guard index.folders[position].hasWeights else { continue }
            index.folders[position].isClaimed = true
            FlatFolder(position, in: index).list(into: &builder)
        }
    }
}

/// The checkpoint files of one folder.
private struct FlatFolder {
    let folder: IndexedFolder
    let index: MemberIndex
    var singles: [(name: String, checkpoint: FoundCheckpoint)] = []
    var marked: [String: [(markers: [EpochMarker], member: MemberID)]] = [:]
    var sidecars: [String: MemberID] = [:]
    var ignoredCount = 0
    var problems: [(MemberID, String)] = []

    init(_ position: Int, in index: MemberIndex) {
        folder = index.folders[position]
        self.index = index
        let files = index.files(of: position)
        var shards: [IndexedFile] = []
        for file in files where file.epoch < 0 {
            let name = String(index.name(file.member))
            switch file.role {
            case .weights where ShardFileName(name) != nil: shards.append(file)
            case .shardIndex: shards.append(file)
            case .weights: add(file.member, name)
            case .sidecar, .adapterConfig: sidecars[CheckpointFileName.stem(name)] = file.member
            case .optimizer: ignoredCount += 1
            default: break
            }
        }
        addSharded(shards)
    }

    private mutating func add(_ member: MemberID, _ name: String) {
        let stem = CheckpointFileName.stem(name)
        let markers = EpochMarker.all(in: stem)
        if markers.isEmpty {
            singles.append((name, FoundCheckpoint(member, epoch: -1, kind: .weights)))
            return
        }
        marked[Self.unmarked(stem, markers) + "\0" + CheckpointFileName.ending(name), default: []].append(
            (markers, member))
    }

    private static func unmarked(_ stem: String, _ markers: [EpochMarker]) -> String {
        var bytes = Array(stem.utf8)
        for marker in markers.reversed() { bytes.removeSubrange(marker.range) }
        let text = String(decoding: bytes, as: UTF8.self)
        return String(text.drop { "_-=. ".contains($0) })
    }

    private mutating func addSharded(_ files: [IndexedFile]) {
        guard !files.isEmpty else { return }
        let names = Dictionary(grouping: files) { file -> String in
            let name = String(index.name(file.member))
            return ShardFileName(name)?.whole ?? String(name.dropLast(".index.json".count))
        }
        for (name, group) in names {
            let choice = WeightFileChoice(group, in: index)
            if let weights = choice.weights { singles.append((name, weights)) }
            if let problem = choice.problem { problems.append((group[0].member, problem)) }
        }
    }

    func list(into builder: inout ListingBuilder) {
        var models: [(name: String, file: String, checkpoints: [FoundCheckpoint])] = []
        for (name, checkpoint) in singles { models.append((CheckpointFileName.stem(name), name, [checkpoint])) }
        for (key, files) in marked { models += Self.models(key, files, in: index) }
        models.sort { ($0.file, $0.name) < ($1.file, $1.name) }
        // Models of one name: the one with several epochs keeps it, files take their whole name.
        var uses: [String: (all: Int, series: Int)] = [:]
        for model in models {
            uses[model.name, default: (0, 0)].all += 1
            if model.checkpoints.count > 1 { uses[model.name]?.series += 1 }
        }
        for model in models {
            let use = uses[model.name] ?? (1, 1)
            let isUnique = use.all == 1 || model.checkpoints.count > 1 && use.series == 1
            var entry = ModelEntry(
                folder: folder.path, naming: .text(isUnique ? model.name : model.file), layout: "flat")
            entry.config = sidecars[model.name] ?? sidecars[CheckpointFileName.stem(model.file)] ?? folder.config
            builder.add(entry, checkpoints: model.checkpoints)
        }
        for (member, problem) in problems { builder.problem(index.members[Int(member)].path, problem) }
        builder.ignore("optimiser states without a model", count: ignoredCount)
    }

    private static func models(
        _ key: String, _ files: [(markers: [EpochMarker], member: MemberID)], in index: MemberIndex
    ) -> [(name: String, file: String, checkpoints: [FoundCheckpoint])] {
        let stem = String(key.prefix { $0 != "\0" })
        guard let numbers = commonNumbers(files.map(\.markers)) else {
            return files.map { file in
                let name = String(index.name(file.member))
                let epoch = EpochMarker.only(in: name) ?? -1
                return (
                    CheckpointFileName.stem(name), name, [FoundCheckpoint(file.member, epoch: epoch, kind: .weights)]
                )
            }
        }
        var checkpoints = zip(files, numbers).map { FoundCheckpoint($0.member, epoch: $1, kind: .weights) }
        FoundCheckpoint.sort(&checkpoints, in: index.members)
        let first = String(index.name(checkpoints[0].entry.member))
        let name = stem.isEmpty ? (files.count == 1 ? CheckpointFileName.stem(first) : "model") : stem
        return [(name, first, checkpoints)]
    }

    /// The numbers of the first unit that every file has exactly once, all different.
    private static func commonNumbers(_ markers: [[EpochMarker]]) -> [Int32]? {
        for unit in EpochMarker.Unit.allCases {
            let numbers = markers.map { list in list.filter { $0.unit == unit } }
            guard numbers.allSatisfy({ $0.count == 1 }) else { continue }
            let values = numbers.map { $0[0].number }
            if Set(values).count == values.count { return values }
        }
        return nil
    }
}
