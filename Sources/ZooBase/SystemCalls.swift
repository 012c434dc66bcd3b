#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The operating system's text for an error number.
func systemMessage(_ code: Int32) -> String {
    guard let text = strerror(code) else { return "error \(code)" }
    return String(cString: text)
}

/// Writes the whole buffer, going on after short writes and interruptions.
///
/// - Throws: `ZooError.io` with the file's name.
func writeAll(_ descriptor: Int32, _ buffer: UnsafeRawBufferPointer, path: String) throws {
    var rest = buffer
    while let base = rest.baseAddress, !rest.isEmpty {
        let written = write(descriptor, base, min(rest.count, 1 << 30))
        if written < 0 {
            if errno == EINTR { continue }
            throw ZooError.system("write \(path)", errno: errno)
        }
        rest = UnsafeRawBufferPointer(rebasing: rest[written...])
    }
}

/// The text of a file of the system, whose size it does not tell beforehand; at most a megabyte.
func readSmallFile(_ path: String) -> String? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var block = [UInt8](repeating: 0, count: 1 << 14)
    while bytes.count < 1 << 20 {
        let count = read(descriptor, &block, block.count)
        guard count > 0 else { break }
        bytes += block[..<count]
    }
    return String(decoding: bytes, as: UTF8.self)
}
