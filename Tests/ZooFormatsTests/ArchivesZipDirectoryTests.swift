import Testing
import ZooBase
import ZooFormats
import ZooTestSupport

@Suite struct ArchivesZipDirectoryTests {
    typealias Member = ZipBuilder.Member

    private func parse(_ builder: ZipBuilder) throws -> ZipDirectory {
        try ZipDirectory(Bytes(builder.bytes()), name: "test.zip")
    }

    private func error(_ body: () throws -> Void) -> String {
        do {
            try body()
            return "no error"
        } catch { return String(describing: error) }
    }

    @Test func storedAndDeflatedMembersAreRead() throws {
        let data = (0..<1000).map { UInt8(truncatingIfNeeded: $0 * 7) }
        let zip = try parse(ZipBuilder([Member("a/data.pkl", data), Member("a/b", data).deflated, Member("d/", "")]))
        #expect(zip.entries.map(\.name) == ["a/data.pkl", "a/b", "d/"])
        #expect(zip.entries.map(\.isFolder) == [false, false, true])
        #expect(try zip.dataRange(of: zip.entries[0]) == 40..<1040)
        #expect(try zip.bytes(of: zip.entries[0]).array == data)
        #expect(try zip.bytes(of: zip.entries[1]).array == data)
        #expect(try zip.indexByName() == ["a/data.pkl": 0, "a/b": 1, "d/": 2])
    }

    @Test func dataBeginWhereTheLocalHeaderSays() throws {
        let member = Member("x", "abc").with { $0.localExtra = [0x46, 0x42, 2, 0, 0x5A, 0x5A] }
        let zip = try parse(ZipBuilder([member]))
        #expect(try zip.dataRange(of: zip.entries[0]) == 37..<40)
        #expect(zip.entries[0].compressedByteCount == 3)
    }

    @Test func prefixCommentAndZip64AreUnderstood() throws {
        for isWide in [false, true] {
            var builder = ZipBuilder([Member("x", "abc"), Member("y", "de")])
            builder.prefix = Array("#!/bin/sh\n".utf8)
            builder.comment = Array("PK\u{5}\u{6} is not the end".utf8)
            builder.isWide = isWide
            let zip = try parse(builder)
            #expect(zip.entries.map(\.localHeaderOffset) == [10, 44])
            #expect(try zip.bytes(of: zip.entries[1]).array == Array("de".utf8))
        }
    }

    @Test func saturatedFieldsComeFromTheZip64Extra() throws {
        var extra: [UInt8] = []
        extra.put(UInt16(1))
        extra.put(UInt16(24))
        for value in [3, 3, 0] { extra.put(UInt64(value)) }
        let member = Member("x", "abc").with {
            $0.extra = extra
            ($0.byteCount, $0.packedByteCount, $0.offset) = (.max, .max, .max)
        }
        let zip = try parse(ZipBuilder([member]))
        #expect(try zip.bytes(of: zip.entries[0]).array == Array("abc".utf8))
        // Ten exabytes in the extra field, and none of them there.
        extra.replaceSubrange(4..<20, with: [UInt8](repeating: 0xFF, count: 16))
        let absurd = try parse(ZipBuilder([member.with { $0.extra = extra }]))
        #expect(absurd.entries[0].defect == .outside)
        #expect(error { _ = try absurd.bytes(of: absurd.entries[0]) }.contains("do not lie before the directory"))
    }

    @Test func truncationSaysSo() {
        let whole = ZipBuilder([Member("x", "abcdefgh")]).bytes()
        for length in 4..<whole.count {
            let message = error { _ = try ZipDirectory(Bytes(Array(whole[..<length])), name: "cut.zip") }
            #expect(message.hasPrefix("cut.zip: truncated archive (no central directory)"), "\(length)")
        }
        #expect(error { _ = try ZipDirectory(.empty, name: "e") } == "e: empty file, not a zip archive")
        #expect(error { _ = try ZipDirectory(Bytes([1, 2, 3, 4, 5]), name: "e") } == "e: not a zip archive")
    }

    /// The end of a cut outer archive can be the whole of an inner one; it must not be taken for the outer.
    @Test func endOfAnInnerArchiveIsNotTheEndOfTheOuter() {
        let inner = ZipBuilder([Member("archive/data.pkl", "pickle")]).bytes()
        let outer = ZipBuilder([Member("a/checkpoints", inner), Member("b", "rest")]).bytes()
        let cut = Array(outer[..<(30 + 13 + inner.count)])
        #expect(error { _ = try ZipDirectory(Bytes(cut), name: "cut.zip") }.contains("truncated archive"))
    }

    @Test func overlapsAreFoundWhateverTheOrder() throws {
        let inside = Member("b", "abc").with {
            $0.isLocal = false
            $0.offset = 0
        }
        let same = try parse(ZipBuilder([Member("a", "abc"), inside, Member("c", "x")]))
        #expect(same.entries.map(\.defect) == [.overlap, .overlap, nil])
        // Quoted overlap: the first member's data take in the second's header and data.
        let quoting = Member("a", "abc").with {
            $0.packedByteCount = 3 + 30 + 1 + 4
            $0.byteCount = 3 + 30 + 1 + 4
        }
        let quoted = try parse(ZipBuilder([quoting, Member("b", "1234"), Member("c", "x")]))
        #expect(quoted.entries.map(\.defect) == [.overlap, .overlap, nil])
        let swapped = try parse(
            ZipBuilder([
                Member("a", "abc").with { $0.offset = 34 },
                Member("b", "abc").with { $0.offset = 0 },
            ]))
        #expect(swapped.entries.map(\.defect) == [nil, nil])
    }

    @Test func localExtraMayNotPushDataIntoTheNextMember() throws {
        let zip = try parse(ZipBuilder([Member("a", "abc"), Member("b", "de")]))
        var bytes = ZipBuilder([Member("a", "abc"), Member("b", "de")]).bytes()
        bytes[28] = 1
        let bad = try ZipDirectory(Bytes(bytes), name: "z")
        #expect(error { _ = try bad.dataRange(of: bad.entries[0]) }.contains("run past the next entry at 34"))
        #expect(try zip.dataRange(of: zip.entries[0]) == 31..<34)
    }

    @Test func defectsNameTheMember() throws {
        let cases: [(Member, ZipDefect, String)] = [
            (Member("m", "x").with { $0.flags = 1 }, .encrypted, "z!/m: encrypted"),
            (Member("m", "x").with { $0.method = 14 }, .method, "method 14 (LZMA) is not read"),
            (Member("m", "x").with { $0.mode = 0o120777 }, .link, "a symbolic link"),
            (Member("m", "x").with { $0.mode = 0o010644 }, .special, "a device, pipe or socket"),
            (Member("m", "x").with { $0.name = [0xFF, 0x41] }, .name, "not UTF-8"),
            (Member("m", "x").with { $0.byteCount = 7 }, .sizes, "1 bytes in the archive for 7 bytes"),
            (Member("m", "xyz").deflated.with { $0.byteCount = 4_000_000_000 }, .ratio, "more than deflate can"),
            (Member("m", "x").with { $0.packedByteCount = 10_000_000 }, .outside, "do not lie before"),
        ]
        for (member, defect, message) in cases {
            let zip = try ZipDirectory(Bytes(ZipBuilder([member]).bytes()), name: "z")
            #expect(zip.entries[0].defect == defect)
            #expect(error { _ = try zip.bytes(of: zip.entries[0]) }.contains(message))
        }
    }

    @Test func damagedDeflateIsRefused() throws {
        let good = Member("m", "hello hello").deflated
        let cases: [(Member, String)] = [
            (good.with { $0.crc32 = 1 }, "not the recorded 00000001"),
            (good.with { $0.byteCount = 10 }, "more than the 10 bytes it declares"),
            (good.with { $0.byteCount = 12 }, "unpacks to 11 bytes, not the 12"),
            (good.with { $0.data = [7] + $0.data }, "damaged deflate data: invalid block type"),
            (good.with { $0.data.removeLast() }, "it ends too early"),
            (good.with { $0.data.append(0) }, "end after 16 of 17 bytes"),
            (good.with { $0.data = [] }, "more than deflate can"),
        ]
        for (member, message) in cases {
            let zip = try ZipDirectory(Bytes(ZipBuilder([member]).bytes()), name: "z")
            #expect(error { _ = try zip.bytes(of: zip.entries[0]) }.contains(message))
        }
        let empty = Member("m", "").deflated
        let zip = try parse(ZipBuilder([empty]))
        #expect(try zip.bytes(of: zip.entries[0]).count == 0)
    }

    @Test func namesAreDecoded() throws {
        let zip = try parse(
            ZipBuilder([
                Member("é", "").with { $0.flags = 0 },
                Member("", "").with { ($0.name, $0.flags) = ([0x82, 0x2E, 0x70], 0) },
            ]))
        #expect(zip.entries.map(\.name) == ["é", "é.p"])
        #expect(throws: ZooError.self) { _ = try parse(ZipBuilder([Member("a", ""), Member("a", "")])).indexByName() }
    }

    @Test func timesAreSecondsSince1970() throws {
        var extra: [UInt8] = []
        extra.put(UInt16(0x5455))
        extra.put(UInt16(5))
        extra.append(1)
        extra.put(Int32(-5))
        let zip = try parse(
            ZipBuilder([
                Member("a", "").with { ($0.date, $0.time) = (44 << 9 | 2 << 5 | 29, 13 << 11 | 37 << 5 | 21) },
                Member("b", ""),
                Member("c", "").with { $0.extra = extra },
            ]))
        #expect(zip.entries.map(\.modified) == [1_709_213_862, nil, -5])
    }

    @Test func countsMustAgree() throws {
        var builder = ZipBuilder([Member("a", "x")])
        builder.entryCount = 2
        #expect(error { _ = try parse(builder) }.contains("holds 1 entries, not 2"))
        builder.entryCount = nil
        builder.directoryOffset = 3_000_000
        #expect(error { _ = try parse(builder) }.contains("does not end before"))
    }

    @Test func damageNeverCrashes() throws {
        let small = ZipBuilder([Member("a/data.pkl", "abc"), Member("b", "hello").deflated])
        var wide = small
        wide.isWide = true
        let corpus = [small.bytes(), wide.bytes()]
        func readAll(_ bytes: Bytes) throws {
            let zip = try ZipDirectory(bytes, name: "z")
            for entry in zip.entries { _ = try? zip.bytes(of: entry) }
        }
        for whole in corpus {
            for index in whole.indices {
                for value in [0x00, 0xFF, whole[index] ^ 1, whole[index] ^ 0x80] as [UInt8] {
                    var bytes = whole
                    bytes[index] = value
                    do { try readAll(Bytes(bytes)) } catch is ZooError {}
                }
            }
        }
        try MutationFuzzer(seed: 1, corpus: corpus).run(iterations: 5_000, readAll)
    }
}
