import CZooKernels

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A file that appears under its name only when it is complete.
///
/// Bytes go to a temporary name in the same folder; `commit()` syncs, renames over the destination and syncs the
/// folder. Without `commit()` (an error, an interrupt, a kill) the destination is as it was before; a temporary left
/// by a kill begins with a dot and ends with `.partial`, and is removed by the next writer of the same name.
public final class AtomicFile {
    /// Where the file will appear.
    public let path: String
    /// nil when bytes go straight to a device or pipe, which has no name to take over.
    private let temporaryPath: String?
    private let finalPath: String
    private var descriptor: Int32
    private var buffer: [UInt8] = []
    private static let bufferLimit = 1 << 20

    /// How many bytes were written so far.
    public private(set) var byteCount = 0

    /// Opens the temporary file; folders on the way are made. A symbolic link keeps being one: its target is
    /// replaced. Devices and pipes are written to directly.
    ///
    /// - Throws: `io` naming the path, `usage` for a folder.
    public init(_ given: String) throws {
        path = given
        let path = try Self.linkTarget(given)
        finalPath = path
        var status = stat()
        if stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG {
            guard status.st_mode & S_IFMT != S_IFDIR else {
                throw ZooError(.usage, "\(given) is a folder; a file is to be written")
            }
            temporaryPath = nil
            descriptor = open(path, O_WRONLY | O_CLOEXEC)
            guard descriptor >= 0 else { throw ZooError.system("open \(given)", errno: errno) }
            return
        }
        let split = path.lastIndex(of: "/")
        let folder = split.map { String(path[..<$0]) } ?? "."
        let name = split.map { String(path[path.index(after: $0)...]) } ?? path
        if !folder.isEmpty { try makeFolder(folder) }
        Self.removeLeftovers(of: name, in: folder.isEmpty ? "/" : folder)
        let temporary = "\(folder.isEmpty ? "" : folder)/.\(name).\(getpid()).partial"
        temporaryPath = temporary
        descriptor = open(temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw ZooError.system("create \(path)", errno: errno) }
    }

    deinit {
        guard descriptor >= 0 else { return }
        close(descriptor)
        if let temporaryPath { unlink(temporaryPath) }
    }

    /// Removes temporary files of the same name whose writers no longer run: kills left them.
    private static func removeLeftovers(of name: String, in folder: String) {
        guard let stream = opendir(folder) else { return }
        defer { closedir(stream) }
        let prefix = ".\(name).", suffix = ".partial"
        while let entry = readdir(stream) {
            let found = withUnsafeBytes(of: entry.pointee.d_name) { raw in
                String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard found.hasPrefix(prefix), found.hasSuffix(suffix),
                let writer = pid_t(found.dropFirst(prefix.count).dropLast(suffix.count)), writer > 0,
                kill(writer, 0) != 0, errno == ESRCH
            else { continue }
            unlink("\(folder)/\(found)")
        }
    }

    /// Where a chain of symbolic links ends; the path itself when it is none or leads nowhere yet.
    private static func linkTarget(_ path: String) throws -> String {
        var status = stat()
        guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFLNK else { return path }
        guard let resolved = realpath(path, nil) else {
            throw ZooError.system("write through the link \(path)", errno: errno)
        }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    /// Appends bytes.
    public func write(_ bytes: UnsafeRawBufferPointer) throws {
        byteCount += bytes.count
        if buffer.count + bytes.count <= Self.bufferLimit {
            buffer.append(contentsOf: bytes)
            return
        }
        try flush()
        if bytes.count >= Self.bufferLimit {
            try writeAll(descriptor, bytes, path: path)
        } else {
            buffer.append(contentsOf: bytes)
        }
    }

    /// Appends bytes.
    public func write(_ bytes: [UInt8]) throws { try bytes.withUnsafeBytes { try write($0) } }

    /// Appends bytes.
    public func write(_ bytes: Bytes) throws { try bytes.withUnsafeBytes { try write($0) } }

    /// Appends text as UTF-8.
    public func write(_ text: String) throws { try write(Array(text.utf8)) }

    /// Overwrites bytes already written, at `offset` from the beginning; the end stays where it was.
    public func overwrite(at offset: Int, _ bytes: [UInt8]) throws {
        guard temporaryPath != nil else { throw notSeekable }
        precondition(offset >= 0 && offset + bytes.count <= byteCount)
        try flush()
        let written = bytes.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, off_t(offset)) }
        guard written == bytes.count else { throw ZooError.system("write \(path)", errno: errno) }
    }

    /// Makes room for `count` more bytes, to be filled by `fill`, and returns where they begin.
    ///
    /// - Throws: `io` when the disk has no room: better now than after an hour's work.
    public func reserve(_ count: Int) throws -> Int {
        guard temporaryPath != nil else { throw notSeekable }
        try flush()
        let start = byteCount
        guard count > 0 else { return start }
        try checkFreeSpace(count)
        #if os(Linux)
            let failure = posix_fallocate(descriptor, off_t(start), off_t(count))
            guard failure == 0 else { throw ZooError.system("reserve \(count) bytes for \(path)", errno: failure) }
        #else
            guard ftruncate(descriptor, off_t(start + count)) == 0 else {
                throw ZooError.system("reserve \(count) bytes for \(path)", errno: errno)
            }
        #endif
        byteCount += count
        guard lseek(descriptor, off_t(byteCount), SEEK_SET) >= 0 else {
            throw ZooError.system("write \(path)", errno: errno)
        }
        return start
    }

    private var notSeekable: ZooError {
        ZooError(.usage, "\(path) is a device or pipe; this format needs a file")
    }

    /// Asks before taking: reserving what is not there would fill the disk first.
    private func checkFreeSpace(_ count: Int) throws {
        var status = statvfs()
        guard fstatvfs(descriptor, &status) == 0 else { return }
        let free = UInt(status.f_bavail).multipliedReportingOverflow(by: UInt(status.f_frsize))
        guard free.overflow || UInt(count) <= free.partialValue else {
            throw ZooError(
                .io, "cannot write \(path): it takes \(count) bytes, \(free.partialValue) are free",
                hint: "free disk space or write elsewhere")
        }
    }

    /// A handle that fills reserved bytes from any thread. It must not be used after `commit()`.
    public var filler: Filler { Filler(descriptor: descriptor, path: path) }

    /// Fills reserved bytes; several threads may, at different places.
    public struct Filler: Sendable {
        fileprivate let descriptor: Int32
        fileprivate let path: String

        /// Writes bytes at an offset from the beginning of the file.
        public func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws {
            var rest = bytes
            var place = offset
            while let base = rest.baseAddress, !rest.isEmpty {
                let written = pwrite(descriptor, base, min(rest.count, 1 << 30), off_t(place))
                if written < 0 {
                    if errno == EINTR { continue }
                    throw ZooError.system("write \(path)", errno: errno)
                }
                place += written
                rest = UnsafeRawBufferPointer(rebasing: rest[written...])
            }
        }

        /// Asks the system to begin writing a range to the disk now, so that the sync at the end has less to wait for.
        public func startWriteback(_ range: Range<Int>) {
            #if os(Linux)
                zoo_start_writeback(descriptor, Int64(range.lowerBound), Int64(range.count))
            #endif
        }
    }

    /// Syncs, closes, renames into place and syncs the folder.
    public func commit() throws {
        try flush()
        guard let temporaryPath else {
            let closed = close(descriptor)
            descriptor = -1
            guard closed == 0 else { throw ZooError.system("close \(path)", errno: errno) }
            return
        }
        guard fsync(descriptor) == 0 else { throw ZooError.system("sync \(path)", errno: errno) }
        let closed = close(descriptor)
        descriptor = -1
        guard closed == 0 else {
            unlink(temporaryPath)
            throw ZooError.system("close \(path)", errno: errno)
        }
        guard rename(temporaryPath, finalPath) == 0 else {
            let code = errno
            unlink(temporaryPath)
            throw ZooError.system("rename to \(path)", errno: code)
        }
        syncFolder(of: finalPath)
    }

    /// Writes a whole file at once, atomically.
    public static func write(_ path: String, _ bytes: [UInt8]) throws {
        let file = try AtomicFile(path)
        try file.write(bytes)
        try file.commit()
    }

    private func flush() throws {
        guard !buffer.isEmpty else { return }
        try buffer.withUnsafeBytes { try writeAll(descriptor, $0, path: path) }
        buffer.removeAll(keepingCapacity: true)
    }
}

/// Makes a folder and those above it; an existing one is fine.
///
/// - Throws: `io` naming the folder.
public func makeFolder(_ path: String) throws {
    if mkdir(path, 0o755) == 0 || errno == EEXIST { return }
    guard errno == ENOENT, let cut = path.lastIndex(of: "/"), cut != path.startIndex else {
        throw ZooError.system("create folder \(path)", errno: errno)
    }
    try makeFolder(String(path[..<cut]))
    guard mkdir(path, 0o755) == 0 || errno == EEXIST else {
        throw ZooError.system("create folder \(path)", errno: errno)
    }
}

/// Lets two folders of one file system change places: at any moment both names lead to a whole folder.
///
/// - Returns: false where the system or file system cannot.
/// - Throws: `io` for any other failure.
public func exchangeFolders(_ left: String, _ right: String) throws -> Bool {
    let code = zoo_exchange_paths(left, right)
    guard code != 0 else { return true }
    if [ENOSYS, EINVAL, ENOTSUP].contains(code) { return false }
    throw ZooError.system("exchange \(left) and \(right)", errno: code)
}

/// Makes a rename durable: syncs the folder that holds `path`. A file system that cannot is left alone.
public func syncFolder(of path: String) {
    let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
    let descriptor = open(folder.isEmpty ? "/" : folder, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    fsync(descriptor)
    close(descriptor)
}
