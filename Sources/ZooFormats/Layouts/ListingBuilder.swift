import ZooBase

/// Gathers the models that layouts find.
struct ListingBuilder {
    private(set) var storage: ListingStorage
    private(set) var problems: [SkippedMember] = []
    private(set) var problemCount = 0
    private(set) var ignored: [String: Int] = [:]
    private var experimentFolders: [String: Int] = [:]
    private var experimentOrder: [String] = []

    init(members: [ArchiveMember], rootName: String) {
        storage = ListingStorage(members: members, rootName: rootName)
    }

    /// Adds a model with its checkpoints.
    mutating func add(_ model: ModelEntry, details: ModelDetails = ModelDetails(), checkpoints: [FoundCheckpoint]) {
        var model = model
        model.firstCheckpoint = Int32(storage.checkpoints.count)
        model.checkpointCount = Int32(checkpoints.count)
        for checkpoint in checkpoints {
            var entry = checkpoint.entry
            if !checkpoint.shards.isEmpty {
                entry.firstShard = Int32(storage.shards.count)
                entry.shardCount = Int32(checkpoint.shards.count)
                storage.shards += checkpoint.shards
            }
            if entry.kind == .weights { storage.weightCount += 1 }
            storage.checkpoints.append(entry)
        }
        if !details.isEmpty {
            model.details = Int32(storage.details.count)
            storage.details.append(details)
        }
        storage.models.append(model)
    }

    /// Notes that a trial lies in the folder.
    mutating func noteTrial(inExperiment path: String) {
        if experimentFolders[path] == nil { experimentOrder.append(path) }
        experimentFolders[path, default: 0] += 1
    }

    /// Records what is wrong with a member.
    mutating func problem(_ path: String, _ reason: String) {
        problemCount += 1
        if problems.count < ZooListing.maximumProblemCount {
            problems.append(SkippedMember(path: path, reason: reason))
        }
    }

    /// Counts members left out.
    mutating func ignore(_ reason: String, count: Int = 1) {
        if count > 0 { ignored[reason, default: 0] += count }
    }

    /// Counts what no layout wanted.
    mutating func noteUnclaimed(in index: MemberIndex) {
        ignore("training notes", count: index.bookkeepingCount)
        ignore("not part of a zoo", count: index.otherCount)
        ignore("data sets", count: index.datasets.count)
        for folder in index.folders.indices where !index.folders[folder].isClaimed {
            let files = index.files(of: folder)
            let path = index.folders[folder].path.text(in: storage.members)
            let isSearchSpace = index.folders[folder].config >= 0 && experimentFolders[path] != nil
            ignore("not part of a zoo", count: files.count - (isSearchSpace ? 1 : 0))
        }
    }

    /// The listing.
    func finish(_ index: MemberIndex?) -> ZooListing {
        let experiments = experimentOrder.map { path in
            let folder = index?.folder(at: path).flatMap { index?.folders[$0] }
            let config = folder.flatMap { storage.member($0.config) }
            return ExperimentListing(path: path, configMember: config, modelCount: experimentFolders[path] ?? 0)
        }
        return ZooListing(
            models: ModelListings(storage: storage), experiments: experiments,
            datasetMembers: (index?.datasets ?? []).compactMap(storage.member), ignored: ignored,
            problems: problems, problemCount: problemCount)
    }
}

/// A checkpoint on its way into a listing.
struct FoundCheckpoint {
    var entry: CheckpointEntry
    var shards: [MemberID] = []
}

extension FoundCheckpoint {
    init(_ member: MemberID, epoch: Int32, kind: CheckpointListing.Kind, shards: [MemberID] = []) {
        self.init(entry: CheckpointEntry(member: member, epoch: epoch, kind: kind), shards: shards)
    }

    /// In order of epochs, those without one last, weights before optimiser, then by path.
    static func sort(_ checkpoints: inout [FoundCheckpoint], in members: [ArchiveMember]) {
        func rank(_ checkpoint: FoundCheckpoint) -> (UInt32, UInt8) {
            (UInt32(bitPattern: checkpoint.entry.epoch), checkpoint.entry.kind.rawValue)
        }
        checkpoints.sort { left, right in
            let (a, b) = (rank(left), rank(right))
            if a != b { return a < b }
            return members[Int(left.entry.member)].path < members[Int(right.entry.member)].path
        }
    }
}
