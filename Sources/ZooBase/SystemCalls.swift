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
