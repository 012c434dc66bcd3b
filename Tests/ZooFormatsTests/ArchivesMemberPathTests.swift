import Testing
import ZooFormats

@Suite struct ArchivesMemberPathTests {
    @Test func harmlessNamesAreKept() {
        let cases = [
            ("a/b", "a/b"), ("./a//b/./c", "a/b/c"), ("a/", "a"), ("..a/b..", "..a/b.."), (".hidden", ".hidden"),
            ("é/日本", "é/日本"), ("a:b", "a:b"), ("C:x", "C:x"), ("with blank", "with blank"),
        ]
        for (name, path) in cases { #expect(MemberPath.sanitise(name) == .accepted(path), "\(name)") }
    }

    @Test func deceivingNamesAreRefused() {
        let cases = [
            ("", "is empty"), (".", "is empty"), ("./", "is empty"), ("/", "absolute"), ("/etc/passwd", "absolute"),
            ("..", "climbs out"), ("a/../b", "climbs out"), ("a/..", "climbs out"), ("C:/x", "drive letter"),
            ("c:", "drive letter"), ("a\\b", "backslash"), ("a\u{0}b", "NUL"), ("a\u{1B}[31m", "control character"),
            ("a\nb", "control character"), (String(repeating: "x", count: 5000), "5000 bytes long"),
        ]
        for (name, reason) in cases {
            guard case .refused(let found) = MemberPath.sanitise(name) else {
                Issue.record("\(name) was accepted")
                continue
            }
            #expect(found.contains(reason))
        }
        let bytes: [UInt8] = [0x61, 0xC3, 0x28]
        #expect(bytes.withUnsafeBytes { MemberPath.sanitise(bytes: $0) } == .refused("its name is not UTF-8"))
    }

    @Test func shownNamesFitOneLine() {
        #expect(MemberPath.shown("a\u{1B}[31m\nb") == "a\u{FFFD}[31m\u{FFFD}b")
        #expect(MemberPath.shown("\u{202E}abc") == "\u{FFFD}abc")
        #expect(MemberPath.shown("") == "(no name)")
        #expect(MemberPath.shown(String(repeating: "é", count: 10_000)).count == 241)
    }
}
