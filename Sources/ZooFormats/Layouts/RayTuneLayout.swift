import ZooBase

/// Trials as Ray Tune writes them, at any depth.
///
/// A trial is a folder with `params.json`, or `config.json` and `result.json`, or at least one `checkpoint_<digits>`
/// folder, or weights beside `result.json`. Its name is never parsed. Checkpoints are one per `checkpoint_<digits>`
/// folder (digits padded or not; the number is the epoch), then weight files beside the results, whose epoch is what
/// their name marks (see `EpochMarker`). The experiment is the folder above.
public struct RayTuneLayout: FolderLayout {
    /// The name in manifests.
    public let name = "ray-tune"

    /// Creates the layout.
    public init() {}

    /// Finds the models; see `ZooLayout`.
    public func listing(of archive: any Archive, rootName: String = "model") throws -> ZooListing {
        try AutomaticLayout(name: name, layouts: [self]).listing(of: archive, rootName: rootName)
    }

    func claim(_ index: inout MemberIndex, from archive: any Archive, into builder: inout ListingBuilder) throws {
        for position in index.folders.indices where !index.folders[position].isClaimed {
            if position & 0xFFF == 0 { try Cancellation.check() }
            let folder = index.folders[position]
            guard Self.isTrial(folder) else { continue }
            index.folders[position].isClaimed = true
            var model = ModelEntry(folder: folder.path, naming: .folder, layout: "ray-tune")
            model.config = folder.params >= 0 ? folder.params : folder.config
            model.result = folder.result
            model.progress = folder.progress
            model.error = folder.error
            let files = index.files(of: position)
            if model.config < 0 { model.config = CheckpointFolders.lastConfig(files) }
            let checkpoints = CheckpointFolders.checkpoints(files, in: index, &builder)
            builder.add(model, checkpoints: checkpoints)
            let path = folder.path.text(in: index.members)
            if !path.isEmpty {
                builder.noteTrial(inExperiment: path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "")
            }
        }
    }

    private static func isTrial(_ folder: IndexedFolder) -> Bool {
        folder.params >= 0 || folder.hasCheckpointFolders
            || folder.result >= 0 && (folder.config >= 0 || folder.hasWeights)
            || folder.hasDashedCheckpointFolders
    }
}

/// The checkpoints of a model folder: one per numbered folder, then the files beside them.
enum CheckpointFolders {
    static func checkpoints(
        _ files: [IndexedFile], in index: MemberIndex, _ builder: inout ListingBuilder
    ) -> [FoundCheckpoint] {
        var found: [FoundCheckpoint] = []
        var numbered: [IndexedFile] = []
        for file in files where file.role == .weights || file.role == .optimizer || file.role == .shardIndex {
            if file.epoch >= 0 {
                numbered.append(file)
            } else if file.role != .shardIndex {
                let kind: CheckpointListing.Kind = file.role == .optimizer ? .optimizer : .weights
                let epoch = EpochMarker.only(in: String(index.name(file.member)))
                found.append(FoundCheckpoint(file.member, epoch: epoch ?? -1, kind: kind))
            }
        }
        sortByFolder(&numbered, in: index)
        var start = 0
        while start < numbered.count {
            var end = start + 1
            while end < numbered.count, areInOneFolder(numbered[start], numbered[end], in: index) { end += 1 }
            choose(Array(numbered[start..<end]), in: index, &found, &builder)
            start = end
        }
        FoundCheckpoint.sort(&found, in: index.members)
        return found
    }

    /// `config.json` of the checkpoint folder with the largest number, -1 when there is none.
    static func lastConfig(_ files: [IndexedFile]) -> MemberID {
        files.filter { $0.role == .config && $0.epoch >= 0 }.max { $0.epoch < $1.epoch }?.member ?? -1
    }

    private static func choose(
        _ files: [IndexedFile], in index: MemberIndex, _ found: inout [FoundCheckpoint],
        _ builder: inout ListingBuilder
    ) {
        let path = index.members[Int(files[0].member)].path
        let epoch = files[0].epoch
        let choice = quickChoice(files, in: index) ?? WeightFileChoice(files, in: index)
        if let weights = choice.weights {
            if let last = found.last(where: { $0.entry.kind == .weights && $0.entry.epoch == epoch }) {
                let first = index.members[Int(last.entry.member)].path
                builder.problem(path, "a second folder for epoch \(epoch); \(first) is taken")
                return
            }
            found.append(weights)
        }
        for optimizer in choice.optimizers { found.append(FoundCheckpoint(optimizer, epoch: epoch, kind: .optimizer)) }
        if let problem = choice.problem { builder.problem(path, problem) }
        if choice.rank == WeightFileChoice.unnamed {
            for other in choice.others {
                builder.problem(index.members[Int(other)].path, "a second weight file of epoch \(epoch); not listed")
            }
        } else {
            builder.ignore("weights beside better known ones", count: choice.others.count)
        }
    }

    /// The choice where there is none: one file called `checkpoints`, as in millions of folders.
    private static func quickChoice(_ files: [IndexedFile], in index: MemberIndex) -> WeightFileChoice? {
        let weights = files.filter { $0.role != .optimizer }
        guard weights.count == 1, weights[0].role == .weights else { return nil }
        let isUsual = MemberIndex.withBytes(of: index.members[Int(weights[0].member)].path) { bytes in
            PathBytes(bytes[...]).hasSuffix("/checkpoints")
        }
        guard isUsual else { return nil }
        return WeightFileChoice(
            usual: weights[0], optimizers: files.count == 1 ? [] : files.filter { $0.role == .optimizer }.map(\.member))
    }

    /// By number; folders of one number by path, so that the padded spelling comes first.
    private static func sortByFolder(_ files: inout [IndexedFile], in index: MemberIndex) {
        let isSorted = zip(files, files.dropFirst()).allSatisfy { $0.epoch < $1.epoch }
        if isSorted { return }
        files.sort { left, right in
            if left.epoch != right.epoch { return left.epoch < right.epoch }
            return index.members[Int(left.member)].path < index.members[Int(right.member)].path
        }
    }

    private static func areInOneFolder(_ left: IndexedFile, _ right: IndexedFile, in index: MemberIndex) -> Bool {
        guard left.epoch == right.epoch, left.checkpointFolderByteCount == right.checkpointFolderByteCount else {
            return false
        }
        let length = Int(left.checkpointFolderByteCount)
        return MemberIndex.withBytes(of: index.members[Int(left.member)].path) { a in
            MemberIndex.withBytes(of: index.members[Int(right.member)].path) { b in
                a.prefix(length).elementsEqual(b.prefix(length))
            }
        }
    }
}
