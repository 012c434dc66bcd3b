import ZooBase

/// One family of models in a tree that a manifest describes by patterns.
public struct TreeGroup: Sendable, Hashable {
    /// Checkpoint files. All placeholders but `{epoch}` together are the model's identity.
    public var checkpoints: [PathPattern]
    /// Optimiser states, with the same placeholders.
    public var optimizers: [PathPattern]
    /// Settings of a model, or of several: any of the checkpoints' placeholders but `{epoch}`.
    public var config: PathPattern?
    /// In a config file about several models, which member of each object names the model (`file`); an empty text
    /// when the file is an object keyed by model; nil when the whole file is the config.
    public var configKey: String?
    /// What stands there, with placeholders: `{model}.safetensors`.
    public var configValue: String
    /// Results, one JSON object a line.
    public var results: PathPattern?
    /// Results as CSV.
    public var progress: PathPattern?

    /// Creates a group; see the properties.
    ///
    /// - Throws: `usage` when there is no checkpoint pattern or one has other placeholders than the first.
    public init(
        checkpoints: [PathPattern], optimizers: [PathPattern] = [], config: PathPattern? = nil,
        configKey: String? = nil, configValue: String = "{model}", results: PathPattern? = nil,
        progress: PathPattern? = nil
    ) throws {
        guard let first = checkpoints.first else { throw ZooError(.usage, "a tree needs a pattern for checkpoints") }
        let identity = Set(first.placeholders).subtracting(["epoch"])
        for pattern in checkpoints + optimizers where Set(pattern.placeholders).subtracting(["epoch"]) != identity {
            throw ZooError(
                .usage,
                "pattern '\(pattern.text)': has other placeholders than '\(first.text)'; expected the same, {epoch} aside"
            )
        }
        for pattern in [config, results, progress].compactMap({ $0 })
        where !identity.isSuperset(of: pattern.placeholders) {
            throw ZooError(.usage, "pattern '\(pattern.text)': has placeholders that '\(first.text)' lacks")
        }
        self.checkpoints = checkpoints
        self.optimizers = optimizers
        self.config = config
        self.configKey = configKey
        self.configValue = configValue
        self.results = results
        self.progress = progress
    }

    /// The identity's placeholders, in the first pattern's order.
    var identity: [String] { checkpoints[0].placeholders.filter { $0 != "epoch" } }
}

/// Any tree of files, by the patterns of a manifest.
///
/// Each member goes to the first pattern that matches it, in the order of groups and, within a group, checkpoints,
/// optimisers, config, results, progress. A model is called after its `{model}`; other placeholders that lie in the
/// file name are added as `,name=value`. All placeholders' values are the model's bindings.
public struct TreeLayout: ZooLayout {
    /// The name in manifests.
    public let name = "tree"
    /// The families of models.
    public var groups: [TreeGroup]
    /// Members to pass over.
    public var ignored: [PathPattern]

    /// Creates the layout.
    public init(groups: [TreeGroup], ignored: [PathPattern] = []) {
        self.groups = groups
        self.ignored = ignored
    }

    /// Finds the models; see `ZooLayout`.
    public func listing(of archive: any Archive, rootName: String = "model") throws -> ZooListing {
        let members = archive.members
        guard members.count < Int(Int32.max) else {
            throw ZooError(.limit, "an archive of \(members.count) members; at most \(Int32.max) are listed")
        }
        var builder = ListingBuilder(members: members, rootName: rootName)
        var gatherers = groups.map(TreeGatherer.init)
        var ignoredCount = 0
        var otherCount = 0
        for index in members.indices {
            if index & 0xFFFF == 0 { try Cancellation.check() }
            let path = members[index].path
            if ignored.contains(where: { $0.match(path) != nil }) {
                ignoredCount += 1
            } else if !gatherers.indices.contains(where: { gatherers[$0].take(MemberID(index), path) }) {
                otherCount += 1
            }
        }
        for gatherer in gatherers { gatherer.list(members, into: &builder) }
        builder.ignore("ignored by the manifest", count: ignoredCount)
        builder.ignore("not part of a zoo", count: otherCount)
        return builder.finish(nil)
    }
}

/// Gathers one group's files by model.
private struct TreeGatherer {
    let group: TreeGroup
    let identity: [String]
    private var models: [Found] = []
    private var positions: [[String]: Int] = [:]
    private var companions: [[[String]: MemberID]] = [[:], [:], [:]]

    private struct Found {
        var values: [String]
        var folder: FolderPath
        /// How many of the values lie in the folder's path.
        var folderValueCount: Int
        var checkpoints: [FoundCheckpoint] = []
    }

    init(_ group: TreeGroup) {
        self.group = group
        identity = group.identity
    }

    /// Whether a pattern of this group matches the path.
    mutating func take(_ id: MemberID, _ path: String) -> Bool {
        for pattern in group.checkpoints where takeCheckpoint(id, path, pattern, .weights) { return true }
        for pattern in group.optimizers where takeCheckpoint(id, path, pattern, .optimizer) { return true }
        for (slot, pattern) in [group.config, group.results, group.progress].enumerated() {
            guard let pattern, let values = pattern.match(path) else { continue }
            companions[slot][values] = id
            return true
        }
        return false
    }

    private mutating func takeCheckpoint(
        _ id: MemberID, _ path: String, _ pattern: PathPattern, _ kind: CheckpointListing.Kind
    ) -> Bool {
        MemberIndex.withBytes(of: path) { bytes -> Bool in
            guard let ranges = pattern.ranges(in: bytes) else { return false }
            func text(_ range: Range<Int>) -> String {
                String(decoding: UnsafeBufferPointer(rebasing: bytes[range]), as: UTF8.self)
            }
            let epochSlot = pattern.placeholders.firstIndex(of: "epoch")
            var epoch: Int32 = -1
            if let epochSlot {
                guard let number = PathBytes(bytes[ranges[epochSlot]]).number else { return false }
                epoch = number
            }
            let slots = identity.compactMap { pattern.placeholders.firstIndex(of: $0) }
            let position = self.position(of: slots.map { text(ranges[$0]) }) { values in
                let (byteCount, inside) = Self.folder(bytes, slots.map { ranges[$0] })
                return Found(
                    values: values, folder: FolderPath(member: id, byteCount: Int32(byteCount)),
                    folderValueCount: inside)
            }
            models[position].checkpoints.append(FoundCheckpoint(id, epoch: epoch, kind: kind))
            return true
        }
    }

    private mutating func position(of values: [String], _ make: ([String]) -> Found) -> Int {
        if let position = positions[values] { return position }
        positions[values] = models.count
        models.append(make(values))
        return models.count - 1
    }

    /// The folder up to the last value that is part of a folder's name, and how many values that covers; without
    /// one, the file's own folder.
    private static func folder(_ bytes: UnsafeBufferPointer<UInt8>, _ values: [Range<Int>]) -> (Int, Int) {
        let slash = UInt8(ascii: "/")
        let fileName = (bytes.lastIndex(of: slash) ?? -1) + 1
        let inside = values.filter { $0.upperBound < fileName }
        let hasFileValue = inside.count < values.count
        guard !hasFileValue, let last = inside.map(\.upperBound).max() else {
            return (max(0, fileName - 1), inside.count)
        }
        return (bytes[last...].firstIndex(of: slash) ?? fileName - 1, inside.count)
    }

    func list(_ members: [ArchiveMember], into builder: inout ListingBuilder) {
        for found in models {
            var checkpoints = found.checkpoints
            FoundCheckpoint.sort(&checkpoints, in: members)
            checkpoints = Self.withoutRepeats(checkpoints, members, &builder)
            var model = ModelEntry(folder: found.folder, naming: .text(name(of: found, members)), layout: "tree")
            model.config = companion(0, of: found, group.config)
            model.result = companion(1, of: found, group.results)
            model.progress = companion(2, of: found, group.progress)
            var details = ModelDetails(bindings: zip(identity, found.values).map { (key: $0, value: $1) })
            if let key = group.configKey, model.config >= 0 {
                details.configEntry = ConfigEntry(key: key.isEmpty ? nil : key, value: expand(group.configValue, found))
            }
            builder.add(model, details: details, checkpoints: checkpoints)
        }
        let used = Set(models.map(\.values))
        for (slot, pattern) in [group.config, group.results].enumerated()
        where pattern?.placeholders.count == identity.count {
            reportOrphans(slot, pattern, used, members, &builder)
        }
    }

    /// Settings and results that no checkpoint goes with.
    private func reportOrphans(
        _ slot: Int, _ pattern: PathPattern?, _ used: Set<[String]>, _ members: [ArchiveMember],
        _ builder: inout ListingBuilder
    ) {
        guard let pattern else { return }
        let order = identity.compactMap { pattern.placeholders.firstIndex(of: $0) }
        let orphans = companions[slot].filter { entry in !used.contains(order.map { entry.key[$0] }) }.values.sorted()
        for id in orphans { builder.problem(members[Int(id)].path, "no checkpoint goes with it; not listed") }
    }

    private func name(of found: Found, _ members: [ArchiveMember]) -> String {
        let pairs = Array(zip(identity, found.values))
        let own = pairs.first { $0.0 == "model" }?.1
        let inFile = pairs.dropFirst(found.folderValueCount).filter { $0.0 != "model" }
        let suffix = inFile.map { "\($0.0)=\($0.1)" }
        if let own { return ([own] + suffix).joined(separator: ",") }
        if !suffix.isEmpty { return suffix.joined(separator: ",") }
        let path = found.folder.text(in: members)
        let last = path.split(separator: "/").last.map(String.init)
        return identity.isEmpty || last == nil ? CheckpointFileName.stem(Self.fileName(found, members)) : last ?? ""
    }

    private static func fileName(_ found: Found, _ members: [ArchiveMember]) -> String {
        let path = members[Int(found.folder.member)].path
        return path.split(separator: "/").last.map(String.init) ?? path
    }

    private func companion(_ slot: Int, of found: Found, _ pattern: PathPattern?) -> MemberID {
        guard let pattern else { return -1 }
        let values = pattern.placeholders.compactMap { name in
            identity.firstIndex(of: name).map { found.values[$0] }
        }
        return companions[slot][values] ?? -1
    }

    private func expand(_ template: String, _ found: Found) -> String {
        zip(identity, found.values).reduce(template) { $0.replacing("{\($1.0)}", with: $1.1) }
    }

    private static func withoutRepeats(
        _ checkpoints: [FoundCheckpoint], _ members: [ArchiveMember], _ builder: inout ListingBuilder
    ) -> [FoundCheckpoint] {
        var kept: [FoundCheckpoint] = []
        for checkpoint in checkpoints {
            if let last = kept.last, last.entry.epoch == checkpoint.entry.epoch,
                last.entry.kind == checkpoint.entry.kind
            {
                let first = members[Int(last.entry.member)].path
                builder.problem(
                    members[Int(checkpoint.entry.member)].path,
                    "a second file of one model and epoch; \(first) is taken")
            } else {
                kept.append(checkpoint)
            }
        }
        return kept
    }
}
