import Testing
import ZooBase
import ZooFormats
import ZooTestSupport

@Suite struct ArchivesTarTests {
    typealias Tar = TarBuilder

    private func open(_ entries: [UInt8]...) throws -> TarArchive {
        try TarArchive(Bytes(entries.flatMap { $0 } + Tar.end), name: "t.tar")
    }

    private let data = Array("data".utf8)

    @Test func placesAreThoseOfTheBytes() throws {
        let tar = try open(Tar.entry("d/", type: "5"), Tar.entry("./d//a", data), Tar.entry("b", []))
        #expect(tar.members.map(\.path) == ["d/a", "b"])
        #expect(tar.members.map { $0.placement?.offset } == [1024, 2048])
        #expect(try tar.bytes(of: tar.members[0]).array == data)
        #expect(tar.skipped.isEmpty)
    }

    @Test func longNamesComeFromPrefixPaxOrGNU() throws {
        let long = (0..<40).map { "part\($0)" }.joined(separator: "/")
        let prefixed = Tar.entry("name", data) { Tar.set(&$0, 345, Array("some/prefix".utf8)) }
        let old = Tar.entry("old", data) {
            Tar.set(&$0, 257, Array("ustar  \u{0}".utf8))
            Tar.set(&$0, 345, Array("12345670123".utf8))
        }
        let tar = try open(
            prefixed, old, Tar.entry("x", Tar.pax("path", long), type: "x"), Tar.entry("short", data),
            Tar.entry("././@LongLink", Array("\(long)/gnu\u{0}".utf8), type: "L"), Tar.entry("short", data),
            Tar.entry("after", data))
        #expect(tar.members.map(\.path) == ["some/prefix/name", "old", long, "\(long)/gnu", "after"])
    }

    @Test func sizesComeFromPaxAndBase256() throws {
        let pax = Tar.entry("x", Tar.pax("size", "4") + Tar.pax("mtime", "12.75"), type: "x")
        let lying = Tar.entry("a", data) { Tar.set(&$0, 124, Tar.octal(0, 11)) }
        let wide = Tar.entry("b", data) { Tar.set(&$0, 124, [0x80] + [UInt8](repeating: 0, count: 10) + [4]) }
        let tar = try open(pax, lying, wide)
        #expect(tar.members.map(\.byteCount) == [4, 4])
        #expect(tar.members[0].modified == 12)
    }

    @Test func absurdSizesAreRefusedInOneLine() throws {
        let negative = Tar.entry("b", data) { Tar.set(&$0, 124, [UInt8](repeating: 0xFF, count: 12)) }
        let vast = Tar.entry("b", data) { Tar.set(&$0, 124, [0x80] + [UInt8](repeating: 0x7F, count: 11)) }
        let large = Tar.entry("b", data) { Tar.set(&$0, 124, Tar.octal(10_000_000_000, 11)) }
        let cases: [([UInt8], String)] = [
            (negative, "negative"), (vast, "more than 18 digits"), (large, "truncated: 1536 of its 10000000000 bytes"),
            (Tar.entry("x", Tar.pax("size", "-1"), type: "x") + Tar.entry("b", data), "size -1"),
            (Tar.entry("x", Array("99 path=a\n".utf8), type: "x"), "damaged extended header"),
            (
                Tar.entry("x", type: "x") { Tar.set(&$0, 124, Tar.octal(1 << 30, 11)) },
                "1073741824 bytes of extended header"
            ),
            (Tar.entry("b", data) { Tar.set(&$0, 124, Array("9".utf8)) }, "not an octal number"),
        ]
        for (entry, reason) in cases {
            let tar = try open(Tar.entry("first", data), entry)
            #expect(tar.members.map(\.path) == ["first"])
            #expect(tar.skipped.contains { $0.reason.contains(reason) }, "\(tar.skipped)")
        }
        #expect(ArchiveFixture.message { _ = try open(negative) }.hasPrefix("t.tar: tar header at offset 0: its size"))
    }

    @Test func whatIsNoFileIsSkippedWithAReason() throws {
        let types: [(Character, String)] = [
            ("1", "a hard link"), ("2", "a symbolic link"), ("3", "a device, pipe or socket"), ("S", "a sparse file"),
            ("Z", "a tar entry of unknown type 90"),
        ]
        for (type, reason) in types {
            let tar = try open(Tar.entry("x", type: type), Tar.entry("a", data))
            #expect(tar.members.map(\.path) == ["a"])
            #expect(tar.skipped == [SkippedMember(path: "x", reason: reason)])
        }
        let sparse = try open(
            Tar.entry("x", Tar.pax("GNU.sparse.major", "1"), type: "x"), Tar.entry("s", data), Tar.entry("a", data))
        #expect(sparse.members.map(\.path) == ["a"])
    }

    @Test func namesThatClimbOrDeceiveAreSkipped() throws {
        let tar = try open(
            Tar.entry("../up", data), Tar.entry("/etc/passwd", data), Tar.entry([0x61, 0xFF], data),
            Tar.entry("ok", data), Tar.entry("ok", Array("newer".utf8)))
        #expect(tar.members.map(\.path) == ["ok"])
        #expect(try tar.bytes(of: tar.members[0]).array == Array("newer".utf8))
        #expect(
            tar.skipped.map(\.reason) == [
                "its name climbs out with ..", "its name is an absolute path", "its name is not UTF-8",
                "a later member has the same name",
            ])
        #expect(tar.skipped[2].path == "a\u{FFFD}")
    }

    @Test func wrongChecksumsEndTheWalk() throws {
        var bytes = Tar.entry("a", data) + Tar.entry("b", data) + Tar.end
        bytes[1024] ^= 1
        let tar = try TarArchive(Bytes(bytes), name: "t")
        #expect(tar.members.map(\.path) == ["a"])
        #expect(tar.skipped.map(\.reason) == ["tar header at offset 1024: its checksum is wrong"])
        #expect(ArchiveFixture.message { _ = try TarArchive(.empty, name: "e") } == "e: empty file, not a tar archive")
        let unmarked = try TarArchive(Bytes(Tar.entry("a", data)), name: "t")
        #expect(unmarked.skipped.first?.reason.contains("may be cut off") == true)
    }
}
