import Testing
import ZooBase
import ZooFormats

@Suite struct ArchivesStreamTests {
    typealias Tar = TarBuilder

    private let data = Array("data".utf8)

    /// gzip without compression.
    private func gzip(_ bytes: [UInt8]) -> [UInt8] {
        var out: [UInt8] = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0xFF] + ZipBuilder.deflateStored(bytes)
        out.put(ZipBuilder.crc32(bytes))
        out.put(UInt32(bytes.count))
        return out
    }

    private func open(_ bytes: [UInt8], isInteresting: @escaping (String) -> Bool = { _ in true }) throws
        -> StreamArchive
    {
        try StreamArchive(Bytes(bytes), format: .compressed(.gzip), name: "t.tar.gz", isInteresting: isInteresting)
    }

    @Test func partsOfAGzipFollowEachOther() throws {
        let whole = Tar.entry("a", data) + Tar.entry("b", data) + Tar.end
        let archive = try open(gzip(Array(whole[..<700])) + gzip(Array(whole[700...])) + [0, 0, 0])
        #expect(archive.members.map(\.path) == ["a", "b"])
        #expect(archive.skipped.isEmpty)
        #expect(try archive.bytes(of: archive.members[1]).array == data)
    }

    @Test func declaredSizesAreHeldAgainstThePackedOnes() throws {
        let vast = Tar.entry("vast", data) { Tar.set(&$0, 124, Tar.octal(8_000_000_000, 11)) }
        for isInteresting in [true, false] {
            let archive = try open(gzip(Tar.entry("a", data) + vast + Tar.end)) { _ in isInteresting }
            #expect(archive.members.map(\.path) == ["a"])
            #expect(archive.skipped.map(\.reason) == ["unpacks to more than 268435456 bytes"])
        }
    }

    @Test func sumsBehindTheEndMarkAreChecked() throws {
        var bytes = gzip(Tar.entry("a", data) + Tar.end)
        bytes[bytes.count - 5] ^= 1
        let archive = try open(bytes)
        #expect(archive.members.map(\.path) == ["a"])
        #expect(archive.skipped.first?.reason.contains("incorrect data check") == true)
    }

    @Test func damageBeforeTheFirstMemberIsAnError() {
        var bytes = gzip(Tar.entry("a", data) + Tar.end)
        bytes[10] = 7
        let message = ArchiveFixture.message { _ = try open(bytes) }
        #expect(message == "t.tar.gz: damaged deflate data: invalid block type")
    }

    @Test func membersKeepTheirAlignment() throws {
        let archive = try open(gzip(Tar.entry("a", [1]) + Tar.entry("b", data) + Tar.end))
        let offsets = try archive.members.map { member in
            try archive.bytes(of: member).withUnsafeBytes { Int(bitPattern: $0.baseAddress) % 64 }
        }
        #expect(offsets == [0, 0])
        #expect(archive.spooledByteCount == 68)
    }
}
