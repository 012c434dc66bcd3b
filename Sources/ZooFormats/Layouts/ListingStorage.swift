import ZooBase

/// A reference into the list of members; 4 bytes because there are millions. -1 stands for none.
typealias MemberID = Int32

/// A folder as a prefix of one member's path, so that no folder name is stored.
struct FolderPath: Sendable {
    /// Some member inside.
    var member: MemberID
    /// How many bytes of its path are the folder, without the slash.
    var byteCount: Int32

    func text(in members: [ArchiveMember]) -> String {
        String(decoding: members[Int(member)].path.utf8.prefix(Int(byteCount)), as: UTF8.self)
    }
}

/// How a model gets its name.
enum ModelNaming: Sendable {
    /// The last component of its folder.
    case folder
    /// A text of its own.
    case text(String)
}

/// One model in a listing's storage.
struct ModelEntry: Sendable {
    var folder: FolderPath
    var naming: ModelNaming
    var layout: StaticString
    var config: MemberID = -1
    var result: MemberID = -1
    var progress: MemberID = -1
    var error: MemberID = -1
    var firstCheckpoint: Int32 = 0
    var checkpointCount: Int32 = 0
    /// Position in the storage's `details`; -1 for none.
    var details: Int32 = -1
}

/// What only some models have.
struct ModelDetails: Sendable {
    var bindings: [(key: String, value: String)] = []
    var configEntry: ConfigEntry?

    var isEmpty: Bool { bindings.isEmpty && configEntry == nil }
}

/// One checkpoint in a listing's storage: 20 bytes.
struct CheckpointEntry: Sendable {
    var member: MemberID
    /// -1 for none.
    var epoch: Int32
    /// Position of the first shard in the storage's `shards`; -1 for a checkpoint in one file.
    var firstShard: Int32 = -1
    var shardCount: Int32 = 0
    var kind: CheckpointListing.Kind
}

/// What a listing keeps.
struct ListingStorage: Sendable {
    var members: [ArchiveMember]
    var rootName: String
    var models: [ModelEntry] = []
    var checkpoints: [CheckpointEntry] = []
    var shards: [MemberID] = []
    var details: [ModelDetails] = []
    var weightCount = 0

    func member(_ id: MemberID) -> ArchiveMember? { id < 0 ? nil : members[Int(id)] }

    func name(of model: ModelEntry) -> String {
        switch model.naming {
        case .text(let text): return text
        case .folder:
            let path = model.folder.text(in: members)
            return path.isEmpty
                ? rootName : String(path[(path.lastIndex(of: "/").map(path.index(after:)) ?? path.startIndex)...])
        }
    }

    func model(_ position: Int) -> ModelListing {
        let entry = models[position]
        let range = Int(entry.firstCheckpoint)..<Int(entry.firstCheckpoint) + Int(entry.checkpointCount)
        let details = entry.details < 0 ? ModelDetails() : self.details[Int(entry.details)]
        return ModelListing(
            name: name(of: entry), path: entry.folder.text(in: members), layout: entry.layout.description,
            configMember: member(entry.config), configEntry: details.configEntry, resultMember: member(entry.result),
            progressMember: member(entry.progress), errorMember: member(entry.error),
            checkpoints: checkpoints[range].map(checkpoint), bindings: details.bindings)
    }

    private func checkpoint(_ entry: CheckpointEntry) -> CheckpointListing {
        let first = Int(entry.firstShard)
        let shardMembers =
            first < 0 ? [] : shards[first..<first + Int(entry.shardCount)].map { members[Int($0)] }
        return CheckpointListing(
            member: members[Int(entry.member)], epoch: entry.epoch < 0 ? nil : Int(entry.epoch),
            shardMembers: shardMembers, kind: entry.kind)
    }
}
