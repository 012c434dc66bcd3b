#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// What the file system under a folder can do.
public struct FileSystem: Sendable {
    /// The folder that was looked at: the given path, or the nearest folder above it that exists.
    public let folder: String
    /// Bytes that this user may still write.
    public let freeByteCount: Int
    /// The name of its kind: `ext4`, `xfs`, `nfs4`; "unknown" when the system does not tell.
    public let kind: String
    /// Whether other machines may have it mounted too.
    public let isShared: Bool
    /// Whether this user may create files in `folder`.
    public let isWritable: Bool

    /// Kinds whose files other machines may open too, or that pass requests on to somebody unknown.
    private static let sharedKinds: Set<String> = [
        "nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "gpfs", "beegfs", "9p", "ceph", "afs", "ocfs2", "gfs2",
        "vboxsf", "virtiofs", "glusterfs", "orangefs", "fuse", "webdav",
    ]

    /// Looks at the file system of `path`, or of the nearest folder above it when it does not exist.
    ///
    /// - Throws: `io` when the system does not answer.
    public init(of path: String) throws {
        folder = Self.existingFolder(path)
        var space = statvfs()
        guard statvfs(folder, &space) == 0 else { throw ZooError.system("look at \(folder)", errno: errno) }
        freeByteCount = Int(space.f_bavail) * Int(space.f_frsize)
        isWritable = Self.nameless(in: folder).map { close($0) == 0 } ?? false
        #if os(Linux)
            let name = Self.mountedKind(folder) ?? "unknown"
            kind = name
            isShared = name == "unknown" || name.hasPrefix("fuse.") || Self.sharedKinds.contains(name)
        #else
            var status = statfs()
            guard statfs(folder, &status) == 0 else { throw ZooError.system("look at \(folder)", errno: errno) }
            kind = withUnsafeBytes(of: status.f_fstypename) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            isShared = status.f_flags & UInt32(MNT_LOCAL) == 0
        #endif
    }

    /// Whether SQLite's write-ahead log works here: processes of one machine must see each other's writes through a
    /// shared mapping, and locks must hold. Kinds shared between machines are refused unasked, others are tried.
    public var allowsWriteAheadLog: Bool { !isShared && isWritable && sharedMappingWorks() }

    private func sharedMappingWorks() -> Bool {
        guard let descriptor = Self.nameless(in: folder) else { return false }
        defer { close(descriptor) }
        var lock = flock()
        lock.l_type = Int16(F_WRLCK)
        lock.l_whence = Int16(SEEK_SET)
        lock.l_len = 1
        guard ftruncate(descriptor, 4096) == 0, fcntl(descriptor, F_SETLK, &lock) == 0 else { return false }
        guard let memory = mmap(nil, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0), memory != MAP_FAILED
        else { return false }
        defer { munmap(memory, 4096) }
        memory.storeBytes(of: 0x5A, as: UInt8.self)
        var seen: UInt8 = 0
        return pread(descriptor, &seen, 1, 0) == 1 && seen == 0x5A
    }

    /// A new file without a name, which really being there is the only proof that one may write; nil otherwise.
    private static func nameless(in folder: String) -> Int32? {
        #if os(Linux)
            // O_TMPFILE, whose macro Swift does not import: never has a name that a kill could leave behind.
            let bare = open(folder, O_RDWR | O_CLOEXEC | O_DIRECTORY | 0o20000000, 0o600)
            if bare >= 0 { return bare }
        #endif
        var template = Array("\(folder)/.zoo-check-XXXXXX".utf8CString)
        let descriptor = mkstemp(&template)
        guard descriptor >= 0 else { return nil }
        unlink(template)
        return descriptor
    }

    #if os(Linux)
        /// The kind of the file system mounted at `folder` or nearest above it, from the list of mounts, in which
        /// blanks and such are written in octal. The last of several at one place hides the others.
        private static func mountedKind(_ folder: String) -> String? {
            guard let resolved = realpath(folder, nil) else { return nil }
            defer { free(resolved) }
            let path = String(cString: resolved) + "/"
            var best: (length: Int, kind: String)?
            for line in (readSmallFile("/proc/self/mounts") ?? "").split(separator: "\n") {
                let fields = line.split(separator: " ")
                guard fields.count > 2 else { continue }
                var place = unescaped(fields[1])
                if !place.hasSuffix("/") { place += "/" }
                if path.hasPrefix(place), place.utf8.count >= best?.length ?? 0 {
                    best = (place.utf8.count, String(fields[2]))
                }
            }
            return best?.kind
        }

        private static func unescaped(_ field: Substring) -> String {
            var bytes: [UInt8] = []
            var rest = Array(field.utf8)[...]
            while let byte = rest.popFirst() {
                let digits = rest.prefix(3)
                let code = UInt8(String(decoding: digits, as: UTF8.self), radix: 8)
                if byte == UInt8(ascii: "\\"), digits.count == 3, let code {
                    bytes.append(code)
                    rest = rest.dropFirst(3)
                } else {
                    bytes.append(byte)
                }
            }
            return String(decoding: bytes, as: UTF8.self)
        }
    #endif

    private static func existingFolder(_ path: String) -> String {
        var folder = path.isEmpty ? "." : path
        while true {
            var status = stat()
            if stat(folder, &status) == 0, status.st_mode & S_IFMT == S_IFDIR { return folder }
            guard let cut = folder.lastIndex(of: "/") else { return "." }
            if cut == folder.startIndex { return "/" }
            folder = String(folder[..<cut])
        }
    }
}
