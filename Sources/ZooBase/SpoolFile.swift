#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A nameless temporary file: bytes are appended, then mapped. Its disk space returns to the system with the last
/// `Bytes` that look at it, or when the process ends, however it ends.
public final class SpoolFile {
    private var descriptor: Int32
    private let limit: Int
    private let label: String

    /// How many bytes were written.
    public private(set) var byteCount = 0

    /// Creates the file in `$TMPDIR`, else `/var/tmp` (on a disk; `/tmp` may be memory).
    ///
    /// - Parameters:
    ///   - limit: the most bytes it may take; going past throws `limit`.
    ///   - label: what is being unpacked, for messages.
    public init(limit: Int, label: String) throws {
        self.limit = limit
        self.label = label
        let folder = getenv("TMPDIR").map { String(cString: $0) } ?? "/var/tmp"
        var template = Array("\(folder)/zoo-spool-XXXXXX".utf8CString)
        descriptor = mkstemp(&template)
        guard descriptor >= 0 else {
            throw ZooError.system("create a temporary file in \(folder)", errno: errno, hint: "set TMPDIR")
        }
        unlink(template)
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    }

    deinit { close(descriptor) }

    /// Appends bytes.
    ///
    /// - Throws: `limit` past the limit, `io` when the disk is full.
    public func write(_ bytes: UnsafeRawBufferPointer) throws {
        guard bytes.count <= limit - byteCount else {
            throw ZooError(
                .limit, "\(label): unpacks to more than \(limit) bytes",
                hint: "if you trust the file, unpack it yourself and index the folder")
        }
        try writeAll(descriptor, bytes, path: "temporary file")
        byteCount += bytes.count
    }

    /// Everything written so far, mapped.
    public func bytes() throws -> Bytes {
        try Bytes(mappingDescriptor: descriptor, path: label, isTemporary: true)
    }
}
