import ZooBase

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A folder on disk, as an archive.
///
/// Hidden files are kept (`.is_checkpoint` marks a Ray Tune checkpoint); folders that tools keep for themselves
/// (`ignoredFolders`) are not entered. A symbolic link is followed to a regular file inside the folder or in the
/// `blobs` of the Hugging Face cache the folder is a snapshot of, and to nothing else: never to a folder, so a walk
/// cannot loop or leave. Pipes, sockets and devices are never opened. Names that are not UTF-8 are skipped.
public struct FolderArchive: Archive {
    /// `folder`.
    public var kind: String { "folder" }
    /// The files, sorted by name within each folder.
    public let members: [ArchiveMember]
    /// What was left out, with reasons.
    public let skipped: [SkippedMember]

    private let root: String

    /// Folders not entered: version control, caches and environments, which hold files but no models of the zoo.
    public static let ignoredFolders: Set<String> = [
        ".git", ".hg", ".svn", ".cache", ".locks", ".no_exist", ".ipynb_checkpoints", ".venv", ".Trash-1000",
        "__pycache__", "__MACOSX", "node_modules",
    ]

    /// Walks a folder.
    ///
    /// - Throws: `notFound` or `io` when the folder itself cannot be read, `limit` for too many files.
    public init(path: String) throws {
        guard let resolved = FileSystem.realPath(path) else {
            throw ZooError.system("open \(path)", errno: errno)
        }
        root = resolved
        var walk = FolderWalk(root: resolved)
        try walk.run()
        members = walk.collector.members
        skipped = walk.collector.skipped
    }

    /// A file, mapped; `Bytes.fileRange` says where.
    public func bytes(of member: ArchiveMember) throws -> Bytes { try Bytes(mapping: "\(root)/\(member.path)") }
}

/// One walk over a folder, without recursion.
private struct FolderWalk {
    let root: String
    var collector = MemberCollector()
    private var waiting: [String] = [""]

    init(root: String) { self.root = root }

    mutating func run() throws {
        while let folder = waiting.popLast() {
            guard let names = FileSystem.list(folder.isEmpty ? root : "\(root)/\(folder)") else {
                let problem = ZooError.system("read the folder", errno: errno)
                guard !folder.isEmpty else { throw problem.at(root) }
                collector.skip(folder, problem.message)
                continue
            }
            let isHubCache = names.contains(Array("snapshots".utf8)) && names.contains(Array("blobs".utf8))
            var folders: [String] = []
            for name in names {
                if isHubCache, name.elementsEqual("blobs".utf8) { continue }
                if let below = try visit(name, in: folder) { folders.append(below) }
            }
            waiting += folders.reversed()
        }
    }

    /// Takes one name; returns its path when it is a folder to enter.
    private mutating func visit(_ name: [UInt8], in folder: String) throws -> String? {
        let prefix = folder.isEmpty ? [] : Array("\(folder)/".utf8)
        guard let path = try collector.path(prefix + name) else { return nil }
        guard let status = FileSystem.status("\(root)/\(path)", followsLinks: false) else {
            collector.skip(path, systemText("look at it"))
            return nil
        }
        switch status.st_mode & S_IFMT {
        case S_IFDIR: return FolderArchive.ignoredFolders.contains(String(decoding: name, as: UTF8.self)) ? nil : path
        case S_IFREG: try add(path, status)
        case S_IFLNK: try follow(path)
        default: collector.skip(path, "a device, pipe or socket")
        }
        return nil
    }

    private mutating func add(_ path: String, _ status: stat) throws {
        guard access("\(root)/\(path)", R_OK) == 0 else {
            try collector.countCheck()
            collector.skip(path, systemText("read it"))
            return
        }
        try collector.add(
            ArchiveMember(
                path: path, byteCount: Int(status.st_size), placement: nil, modified: FileSystem.modified(status)))
    }

    private mutating func follow(_ path: String) throws {
        try collector.countCheck()
        guard let target = FileSystem.realPath("\(root)/\(path)") else {
            collector.skip(path, "a symbolic link that leads nowhere")
            return
        }
        guard let status = FileSystem.status(target, followsLinks: false) else {
            collector.skip(path, systemText("follow the symbolic link"))
            return
        }
        switch status.st_mode & S_IFMT {
        case S_IFREG:
            if isAllowed(target) {
                try add(path, status)
            } else {
                collector.skip(path, "a symbolic link out of the folder")
            }
        case S_IFDIR: collector.skip(path, "a symbolic link to a folder")
        default: collector.skip(path, "a symbolic link to a device, pipe or socket")
        }
    }

    /// Inside the folder, or in the cache it belongs to: `…/snapshots/REVISION/…` links into `…/blobs`.
    private func isAllowed(_ target: String) -> Bool {
        if target.hasPrefix(root == "/" ? root : root + "/") { return true }
        var parts = root.split(separator: "/", omittingEmptySubsequences: false)
        while let last = parts.popLast() {
            if last == "snapshots" { return target.hasPrefix(parts.joined(separator: "/") + "/blobs/") }
        }
        return false
    }

    private func systemText(_ action: String) -> String { ZooError.system(action, errno: errno).message }
}

/// The few calls to the operating system that walking folders takes.
enum FileSystem {
    /// The path without links; nil, with `errno`, when there is none.
    static func realPath(_ path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        return String(validatingCString: resolved)
    }

    /// What a path is; nil, with `errno`, when that cannot be told.
    static func status(_ path: String, followsLinks: Bool) -> stat? {
        var status = stat()
        let result = followsLinks ? stat(path, &status) : lstat(path, &status)
        return result == 0 ? status : nil
    }

    /// Seconds since 1970 of the last change.
    static func modified(_ status: stat) -> Int {
        #if canImport(Darwin)
            status.st_mtimespec.tv_sec
        #else
            status.st_mtim.tv_sec
        #endif
    }

    private static let nameOffset = MemoryLayout<dirent>.offset(of: \.d_name) ?? 0

    /// The names in a folder, sorted by their bytes, without `.` and `..`; nil, with `errno`, when it cannot be read.
    static func list(_ path: String) -> [[UInt8]]? {
        guard let folder = opendir(path) else { return nil }
        defer { closedir(folder) }
        var names: [[UInt8]] = []
        while let entry = readdir(folder) {
            // Through the address: the record may be shorter than the field is declared.
            let field = UnsafeRawPointer(entry) + nameOffset
            let name = Array(
                UnsafeRawBufferPointer(start: field, count: strlen(field.assumingMemoryBound(to: CChar.self))))
            if name.elementsEqual(".".utf8) || name.elementsEqual("..".utf8) { continue }
            names.append(name)
        }
        return names.sorted { $0.lexicographicallyPrecedes($1) }
    }
}
