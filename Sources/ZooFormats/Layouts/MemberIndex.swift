import ZooBase

/// A member that a zoo can be made of.
struct IndexedFile {
    var member: MemberID
    /// The next file of the same folder, -1 at the end.
    var next: Int32
    /// The number of the `checkpoint_<digits>` folder it lies in, -1 for none.
    var epoch: Int32
    /// Length of the path up to and with that checkpoint folder; 0 for none.
    var checkpointFolderByteCount: Int32
    var role: MemberRole
}

/// A folder that may be a model: the parent of checkpoint folders, or a folder with files of its own.
struct IndexedFolder {
    var path: FolderPath
    var firstFile: Int32 = -1
    var lastFile: Int32 = -1
    var params: MemberID = -1
    var config: MemberID = -1
    var result: MemberID = -1
    var progress: MemberID = -1
    var error: MemberID = -1
    var adapterConfig: MemberID = -1
    /// `checkpoint_5` folders inside.
    var hasCheckpointFolders = false
    /// `checkpoint-500` folders inside.
    var hasDashedCheckpointFolders = false
    /// Weights or shard indices that lie in it and not in a checkpoint folder.
    var hasWeights = false
    var isClaimed = false
}

/// The members of an archive grouped by folder, in one pass over their paths.
///
/// A `checkpoint_<digits>` folder is no folder of its own: its files belong to the folder above with its number as
/// epoch. So 50,000 trials with 2.6 million checkpoints are 50,000 folders, found in a hash table whose keys are
/// prefixes of the members' own paths.
struct MemberIndex {
    let members: [ArchiveMember]
    private(set) var files: [IndexedFile] = []
    var folders: [IndexedFolder] = []
    private(set) var datasets: [MemberID] = []
    private(set) var bookkeepingCount = 0
    private(set) var otherCount = 0
    private var table = FolderTable()

    /// - Throws: `limit` past 2³¹ members.
    init(_ members: [ArchiveMember]) throws {
        guard members.count < Int(Int32.max) else {
            throw ZooError(.limit, "an archive of \(members.count) members; at most \(Int32.max) are listed")
        }
        self.members = members
        var recent: Int32 = -1
        for index in members.indices {
            if index & 0xFFFF == 0 { try Cancellation.check() }
            let id = MemberID(index)
            Self.withBytes(of: members[index].path) { add(id, $0, recent: &recent) }
        }
    }

    /// Lends a path's bytes; Swift strings made from bytes hold them contiguously.
    static func withBytes<R>(of path: String, _ body: (UnsafeBufferPointer<UInt8>) -> R) -> R {
        if let result = path.utf8.withContiguousStorageIfAvailable(body) { return result }
        var copy = path
        return copy.withUTF8(body)
    }

    private mutating func add(_ id: MemberID, _ path: UnsafeBufferPointer<UInt8>, recent: inout Int32) {
        let place = MemberPlace(path)
        let name = PathBytes(path[place.nameStart...])
        let role = MemberRole.of(name, inCheckpointFolder: place.epoch >= 0)
        switch role {
        case .other: otherCount += 1
        case .bookkeeping: bookkeepingCount += 1
        case .dataset: datasets.append(id)
        default:
            let folder = self.folder(UnsafeBufferPointer(rebasing: path[..<place.folderByteCount]), of: id, recent)
            recent = Int32(folder)
            let file = IndexedFile(
                member: id, next: -1, epoch: place.epoch,
                checkpointFolderByteCount: Int32(place.checkpointFolderByteCount), role: role)
            append(file, to: folder, isDashed: place.isDashed)
        }
    }

    private mutating func append(_ file: IndexedFile, to folder: Int, isDashed: Bool) {
        let position = Int32(files.count)
        files.append(file)
        if folders[folder].lastFile >= 0 {
            files[Int(folders[folder].lastFile)].next = position
        } else {
            folders[folder].firstFile = position
        }
        folders[folder].lastFile = position
        if file.epoch >= 0 {
            if isDashed {
                folders[folder].hasDashedCheckpointFolders = true
            } else {
                folders[folder].hasCheckpointFolders = true
            }
            return
        }
        switch file.role {
        case .params: folders[folder].params = file.member
        case .config: folders[folder].config = file.member
        case .result: folders[folder].result = file.member
        case .progress: folders[folder].progress = file.member
        case .error: folders[folder].error = file.member
        case .adapterConfig: folders[folder].adapterConfig = file.member
        case .weights, .shardIndex: folders[folder].hasWeights = true
        default: break
        }
    }

    /// The folder of a path, made when it is new.
    private mutating func folder(_ path: UnsafeBufferPointer<UInt8>, of id: MemberID, _ recent: Int32) -> Int {
        if recent >= 0, isFolder(Int(recent), path) { return Int(recent) }
        let hash = FolderTable.hash(path)
        if let found = table.find(hash, where: { isFolder($0, path) }) { return found }
        folders.append(IndexedFolder(path: FolderPath(member: id, byteCount: Int32(path.count))))
        table.insert(hash, folders.count - 1)
        return folders.count - 1
    }

    private func isFolder(_ folder: Int, _ path: UnsafeBufferPointer<UInt8>) -> Bool {
        let known = folders[folder].path
        guard Int(known.byteCount) == path.count else { return false }
        return Self.withBytes(of: members[Int(known.member)].path) { bytes in
            UnsafeBufferPointer(rebasing: bytes[..<path.count]).elementsEqual(path)
        }
    }

    /// The folder of a path, when something lies in it.
    func folder(at path: String) -> Int? {
        Self.withBytes(of: path) { bytes in
            table.find(FolderTable.hash(bytes), where: { isFolder($0, bytes) })
        }
    }

    /// The files of a folder in the order of the archive.
    func files(of folder: Int) -> [IndexedFile] {
        var result: [IndexedFile] = []
        var position = folders[folder].firstFile
        while position >= 0 {
            let file = files[Int(position)]
            result.append(file)
            position = file.next
        }
        return result
    }

    /// A member's file name.
    func name(_ id: MemberID) -> Substring {
        let path = members[Int(id)].path
        return path[(path.lastIndex(of: "/").map(path.index(after:)) ?? path.startIndex)...]
    }
}

/// Where a path says its file belongs.
struct MemberPlace {
    /// Where the file name begins.
    var nameStart: Int
    /// Length of the folder that may be a model, without the slash.
    var folderByteCount: Int
    var epoch: Int32 = -1
    var checkpointFolderByteCount = 0
    var isDashed = false

    /// Looks for the innermost `checkpoint_<digits>` or `checkpoint-<digits>` among the folders of a path.
    init(_ path: UnsafeBufferPointer<UInt8>) {
        let slash = UInt8(ascii: "/")
        var end = path.count
        while end > 0, path[end - 1] != slash { end -= 1 }
        nameStart = end
        folderByteCount = Swift.max(0, end - 1)
        while end > 0 {
            end -= 1  // the slash
            let componentEnd = end
            while end > 0, path[end - 1] != slash { end -= 1 }
            let component = PathBytes(path[end..<componentEnd])
            guard let (number, isDashed) = Self.checkpointNumber(component) else { continue }
            epoch = number
            checkpointFolderByteCount = componentEnd
            folderByteCount = Swift.max(0, end - 1)
            self.isDashed = isDashed
            return
        }
    }

    private static func checkpointNumber(_ component: PathBytes) -> (Int32, Bool)? {
        let isDashed = component.hasPrefix("checkpoint-")
        guard isDashed || component.hasPrefix("checkpoint_") else { return nil }
        return component.suffix(from: 11).number.map { ($0, isDashed) }
    }
}

/// Positions by hash, open addressing; the keys stay where they are.
private struct FolderTable {
    private var slots: [Int32] = Array(repeating: -1, count: 1024)
    private var hashes: [UInt32] = Array(repeating: 0, count: 1024)
    private var count = 0

    /// Seeded per process, so that no archive can be made to collide.
    static func hash(_ bytes: UnsafeBufferPointer<UInt8>) -> Int {
        var hasher = Hasher()
        hasher.combine(bytes: UnsafeRawBufferPointer(bytes))
        return hasher.finalize()
    }

    func find(_ hash: Int, where matches: (Int) -> Bool) -> Int? {
        let mask = slots.count - 1
        var slot = hash & mask
        let tag = UInt32(truncatingIfNeeded: hash >> 32)
        while slots[slot] >= 0 {
            if hashes[slot] == tag, matches(Int(slots[slot])) { return Int(slots[slot]) }
            slot = (slot + 1) & mask
        }
        return nil
    }

    mutating func insert(_ hash: Int, _ value: Int) {
        if (count + 1) * 2 > slots.count { grow() }
        place(hash, Int32(value))
        fullHashes.append(hash)
        count += 1
    }

    /// The whole hash of each value, in order, for growing.
    private var fullHashes: [Int] = []

    private mutating func place(_ hash: Int, _ value: Int32) {
        let mask = slots.count - 1
        var slot = hash & mask
        while slots[slot] >= 0 { slot = (slot + 1) & mask }
        slots[slot] = value
        hashes[slot] = UInt32(truncatingIfNeeded: hash >> 32)
    }

    private mutating func grow() {
        let size = slots.count * 2
        slots = Array(repeating: -1, count: size)
        hashes = Array(repeating: 0, count: size)
        for (value, hash) in fullHashes.enumerated() { place(hash, Int32(value)) }
    }
}
