#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// What is known of the terminal behind a file descriptor.
enum Terminal {
    /// Whether the descriptor is a terminal.
    static func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }

    /// Its width in columns; nil when it is not a terminal. `COLUMNS` overrides what the terminal says.
    static func width(_ descriptor: Int32) -> Int? {
        guard isTerminal(descriptor) else { return nil }
        if let columns = environment("COLUMNS").flatMap({ Int($0) }), columns > 0 { return columns }
        var size = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
        return Int(size.ws_col)
    }

    /// Whether escape sequences may be written: a terminal that is not dumb, and `NO_COLOR` unset (no-color.org).
    static func allowsColor(_ descriptor: Int32) -> Bool {
        isTerminal(descriptor) && environment("NO_COLOR") == nil && environment("TERM") != "dumb"
    }

    /// Whether the locale is UTF-8, so that block characters can be shown.
    static var showsUnicode: Bool {
        let locale = environment("LC_ALL") ?? environment("LC_CTYPE") ?? environment("LANG") ?? ""
        let name = locale.lowercased()
        return name.contains("utf-8") || name.contains("utf8")
    }

    /// A variable of the environment; nil when unset or empty.
    static func environment(_ name: String) -> String? {
        getenv(name).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
    }
}
