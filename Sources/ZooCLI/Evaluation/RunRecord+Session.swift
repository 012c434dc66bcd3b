import ZooBase
import ZooCatalog

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

extension RunRecord {
    /// This run of the program: the command line as it was typed, seed, version, now.
    static func current(_ session: Session, dataset: String? = nil) -> RunRecord {
        RunRecord(
            command: (["zoo"] + CommandLine.arguments.dropFirst()).map(Self.quoted).joined(separator: " "),
            seed: Int(exactly: session.seed), dataset: dataset, toolVersion: ZooVersion.string, started: Self.now)
    }

    /// ISO 8601 in UTC, to the second.
    private static var now: String {
        var seconds = time(nil)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        var text = [CChar](repeating: 0, count: 32)
        let length = strftime(&text, text.count, "%Y-%m-%dT%H:%M:%SZ", &parts)
        return String(decoding: text.prefix(length).map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    private static func quoted(_ word: String) -> String {
        let isPlain =
            !word.isEmpty
            && word.utf8.allSatisfy { byte in
                byte > 0x7F || "-_./:=@,+%".utf8.contains(byte) || (byte | 0x20).isLetter
                    || (0x30...0x39).contains(byte)
            }
        return isPlain ? word : "'" + word.replacing("'", with: "'\\''") + "'"
    }
}

extension UInt8 {
    fileprivate var isLetter: Bool { (0x61...0x7A).contains(self) }
}
