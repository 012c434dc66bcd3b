#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// How SQLite keeps the file sound.
public enum JournalMode: String, Sendable {
    /// Write-ahead log: readers and the writer never wait for each other. Needs memory shared between processes.
    case wal
    /// Rollback journal: works on network file systems; a reader may wait for a commit.
    case delete

    /// What the file system under a path allows. Network and user-space file systems share no memory between
    /// machines, and a write-ahead log there can damage the file. Where the kind cannot be told, the journal that is
    /// always sound is taken.
    static func suited(to path: String) -> JournalMode {
        let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        guard let resolved = realpath(folder.isEmpty ? "/" : folder, nil) else { return .delete }
        defer { free(resolved) }
        guard let kind = fileSystem(under: String(cString: resolved)) else { return .delete }
        return isRemote(kind) ? .delete : .wal
    }

    /// Whether a kind of file system is shared between machines or served by a process.
    package static func isRemote(_ kind: String) -> Bool {
        let remote: Set<String> = [
            "nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "lustre", "gpfs", "beegfs", "ceph", "afs", "orangefs", "gfs2",
            "ocfs2", "glusterfs", "virtiofs", "webdav", "afpfs", "osxfuse", "macfuse", "fuse", "vboxsf", "vmhgfs",
        ]
        return remote.contains(kind) || kind.hasPrefix("fuse.")
    }

    #if os(Linux)
        /// The kind of file system that holds a folder, from the longest mount point above it.
        private static func fileSystem(under folder: String) -> String? {
            guard let file = fopen("/proc/self/mountinfo", "re") else { return nil }
            defer { fclose(file) }
            var line: UnsafeMutablePointer<CChar>?
            var capacity = 0
            defer { free(line) }
            var best: (length: Int, kind: String)?
            while getline(&line, &capacity, file) > 0, let line {
                // 36 35 98:0 /root /mount/point options - kind device
                let fields = String(cString: line).split(separator: " ")
                guard fields.count > 5, let dash = fields.firstIndex(of: "-"), dash + 1 < fields.count else { continue }
                let mount = fields[4].replacing("\\040", with: " ")
                let isAbove = mount == "/" || folder == mount || folder.hasPrefix(mount + "/")
                // Of mounts at one place the last covers the others.
                if isAbove, mount.utf8.count >= best?.length ?? 0 {
                    best = (mount.utf8.count, String(fields[dash + 1]))
                }
            }
            return best?.kind
        }
    #else
        private static func fileSystem(under folder: String) -> String? {
            var status = statfs()
            guard statfs(folder, &status) == 0 else { return nil }
            return withUnsafeBytes(of: status.f_fstypename) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
        }
    #endif
}
