import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Standard error, shared by messages and the progress bar: a message erases the bar, prints itself, and the bar comes
/// back below it. All threads may write.
package final class Console: Sendable {
    private let bar = Mutex<String?>(nil)
    private let sink: @Sendable (String) -> Void

    /// A console that writes to standard error.
    package static let standardError = Console { text in
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let written = bytes.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
            if written < 0, errno != EINTR { return }
            bytes = bytes.dropFirst(max(0, written))
        }
    }

    /// A console that writes to `sink`.
    package init(_ sink: @escaping @Sendable (String) -> Void) { self.sink = sink }

    /// Prints one or more whole lines.
    package func line(_ text: String) {
        bar.withLock { bar in
            if let bar { sink("\r\u{1B}[K\(text)\n\(bar)") } else { sink("\(text)\n") }
        }
    }

    /// Draws the progress bar in place of the last one; nil takes it away.
    package func draw(_ text: String?) {
        bar.withLock { bar in
            guard bar != nil || text != nil else { return }
            sink("\r\u{1B}[K\(text ?? "")")
            bar = text
        }
    }
}
