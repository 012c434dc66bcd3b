import ZooBase

/// Names inside archives and folders, made safe to show, compare and store.
///
/// A path that is accepted is relative, `/`-separated, without empty, `.` or `..` components, and valid UTF-8 without
/// control characters. Names that are not UTF-8 are refused, not renamed: an invented spelling could not be traced
/// back to the file by any other tool.
public enum MemberPath {
    /// The verdict on a name.
    public enum Verdict: Sendable, Equatable {
        /// The path to use.
        case accepted(String)
        /// Why the name is refused.
        case refused(String)
    }

    /// Judges a name. `./a//b` is taken as `a/b`; a trailing `/` is dropped.
    public static func sanitise(_ name: String) -> Verdict {
        var copy = name
        return copy.withUTF8 { sanitise(UnsafeRawBufferPointer($0), text: name) }
    }

    /// Judges a name given as bytes, of unknown encoding.
    public static func sanitise(bytes: UnsafeRawBufferPointer) -> Verdict { sanitise(bytes, text: nil) }

    /// The name for a message: control characters and damage as replacement characters, long ones cut in the middle.
    public static func shown(_ name: String) -> String {
        let clean = String(
            String.UnicodeScalarView(
                name.unicodeScalars.prefix(longestShown * 4).map { isControl($0) ? "\u{FFFD}" : $0 }))
        guard clean.count > longestShown else { return clean.isEmpty ? "(no name)" : clean }
        return "\(clean.prefix(longestShown / 2))…\(clean.suffix(longestShown / 2))"
    }

    /// The ways to read a path as one inside an archive inside: cut at each `!/`, from the left.
    static func splits(_ path: String) -> [(outer: String, inner: String)] {
        let bytes = path.utf8
        var splits: [(outer: String, inner: String)] = []
        var index = bytes.startIndex
        while let mark = bytes[index...].firstIndex(of: UInt8(ascii: "!")) {
            index = bytes.index(after: mark)
            guard index < bytes.endIndex, bytes[index] == UInt8(ascii: "/") else { continue }
            splits.append((String(path[..<mark]), String(path[bytes.index(after: index)...])))
        }
        return splits
    }

    private static let longestShown = 240

    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        let isDirectional = (0x202A...0x202E).contains(scalar.value) || (0x2066...0x2069).contains(scalar.value)
        return scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value) || isDirectional
    }

    private static func sanitise(_ bytes: UnsafeRawBufferPointer, text: String?) -> Verdict {
        guard !bytes.isEmpty else { return .refused("its name is empty") }
        guard bytes.count <= ArchiveLimits.pathByteCount else {
            return .refused("its name is \(bytes.count) bytes long, more than \(ArchiveLimits.pathByteCount)")
        }
        guard bytes[0] != UInt8(ascii: "/") else { return .refused("its name is an absolute path") }
        if let reason = refusedBytes(bytes) { return .refused(reason) }
        guard let text = text ?? String(validating: bytes, as: UTF8.self) else {
            return .refused("its name is not UTF-8")
        }
        let isDrive =
            bytes.count >= 2 && bytes[1] == UInt8(ascii: ":") && (bytes[0] | 0x20 >= 0x61 && bytes[0] | 0x20 <= 0x7A)
        if isDrive, bytes.count == 2 || bytes[2] == UInt8(ascii: "/") {
            return .refused("its name begins with a drive letter")
        }
        return components(bytes, text: text)
    }

    /// Refuses bytes that no path should have; nil when there are none.
    private static func refusedBytes(_ bytes: UnsafeRawBufferPointer) -> String? {
        for byte in bytes where byte < 0x20 || byte == 0x7F || byte == UInt8(ascii: "\\") {
            switch byte {
            case 0: return "its name contains a NUL byte"
            case UInt8(ascii: "\\"): return "its name contains a backslash"
            default: return "its name contains a control character"
            }
        }
        return nil
    }

    /// Looks at the components; a name that needs no change costs no second string.
    private static func components(_ bytes: UnsafeRawBufferPointer, text: String) -> Verdict {
        let (slash, dot) = (UInt8(ascii: "/"), UInt8(ascii: "."))
        var isPlain = bytes[bytes.count - 1] != slash
        var start = 0
        for index in 0...bytes.count where index == bytes.count || bytes[index] == slash {
            let length = index - start
            if length == 2, bytes[start] == dot, bytes[start + 1] == dot {
                return .refused("its name climbs out with ..")
            }
            if length == 0 || length == 1 && bytes[start] == dot { isPlain = false }
            start = index + 1
        }
        if isPlain { return .accepted(text) }
        let parts = text.split(separator: "/").filter { $0 != "." }
        return parts.isEmpty ? .refused("its name is empty") : .accepted(parts.joined(separator: "/"))
    }
}
