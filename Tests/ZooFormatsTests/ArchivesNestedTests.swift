import Foundation
import Testing
import ZooBase
import ZooFormats
import ZooTestSupport

@Suite struct ArchivesNestedTests {
    typealias Member = ZipBuilder.Member

    private static let paths: Set = [
        "a/inner.tar!/trial/params.json", "a/inner.tar!/trial/checkpoints", "a/inner.tar.gz!/trial/params.json",
        "a/inner.tar.gz!/trial/checkpoints", "b/stored.zip!/trial/params.json", "b/stored.zip!/trial/checkpoints",
        "b/stored.zip!/deep.tar!/trial/params.json", "b/stored.zip!/deep.tar!/trial/checkpoints", "b/model.zip",
        "b/notes.zip", "plain",
    ]

    @Test(arguments: ["nested-stored.tar", "nested-deflated.zip"]) func innerMembersAppear(file: String) throws {
        let archive = try Archives.open(path: ArchiveFixture.path("archives/\(file)"))
        #expect(Set(archive.members.map(\.path)) == Self.paths)
        #expect(
            archive.skipped == [SkippedMember(path: "b/broken.zip", reason: "truncated archive (no central directory)")]
        )
        for _ in 0..<2 {
            for member in archive.members where member.path.hasSuffix("/checkpoints") {
                #expect(try archive.bytes(of: member).array == Array("0123456789".utf8))
            }
        }
    }

    @Test func storedInStoredIsReadFromTheOutermostFile() throws {
        let path = ArchiveFixture.path("archives/nested-stored.tar")
        let whole = try Bytes(mapping: path)
        let archive = try Archives.open(path: path)
        let member = try #require(archive.members.first { $0.path == "b/stored.zip!/deep.tar!/trial/checkpoints" })
        let placement = try #require(member.placement)
        #expect(placement.encoding == .stored)
        #expect(try whole.slice(placement.offset, placement.byteCount).array == Array("0123456789".utf8))
        #expect(try archive.bytes(of: member).fileRange?.offset == placement.offset)
        let packed = try #require(archive.members.first { $0.path == "a/inner.tar.gz!/trial/checkpoints" })
        #expect(packed.placement == nil)
    }

    @Test func deflatedMembersOfStoredArchivesKeepTheirPlace() throws {
        let text = [UInt8](repeating: 7, count: 100)
        let inner = ZipBuilder([Member("m", text).deflated]).bytes()
        let outer = Bytes(ZipBuilder([Member("i.zip", inner)]).bytes())
        let archive = try Archives.open(outer, name: "o.zip")
        #expect(archive.members[0].placement?.encoding == .deflate)
        #expect(archive.members[0].placement?.offset == 35 + 31)
        #expect(try archive.bytes(of: archive.members[0]).array == text)
    }

    @Test func manyPackedArchivesAreReopenedInAnyOrder() throws {
        let inner = (0..<12).map { index in
            Member("t\(index).zip", ZipBuilder([Member("v", "value \(index)")]).bytes()).deflated
        }
        let archive = try Archives.open(Bytes(ZipBuilder(inner).bytes()), name: "o.zip")
        #expect(archive.members.count == 12)
        for index in [0, 11, 5, 5, 3, 0, 7, 1, 11] {
            let text = try archive.bytes(of: archive.members[index]).array
            #expect(text == Array("value \(index)".utf8))
        }
        try Parallel.forEach(count: 48, jobs: 4) { index in
            let text = try archive.bytes(of: archive.members[index * 5 % 12]).array
            guard text == Array("value \(index * 5 % 12)".utf8) else { throw ZooError(.internal, "wrong bytes") }
        }
    }

    @Test func nestingEndsAtItsLimit() throws {
        var bytes = ZipBuilder([Member("leaf", "x")]).bytes()
        for depth in 0..<3 { bytes = ZipBuilder([Member("\(depth).zip", bytes), Member("n\(depth)", "y")]).bytes() }
        let within = try Archives.open(Bytes(bytes), name: "o.zip")
        #expect(within.members.map(\.path).contains("2.zip!/1.zip!/0.zip!/leaf"))
        bytes = ZipBuilder([Member("3.zip", bytes), Member("4.zip", bytes)]).bytes()
        let beyond = try Archives.open(Bytes(bytes), name: "o.zip")
        #expect(!beyond.members.contains { $0.path.hasSuffix("leaf") })
        #expect(
            beyond.skipped.first
                == SkippedMember(
                    path: "3.zip!/2.zip!/1.zip!/0.zip", reason: "archives nested more than 4 deep"))
    }

    @Test func anArchiveThatContainsItselfIsRefused() throws {
        let bytes = try ArchiveFixture.bytes("hostile/quine.zip")
        let archive = try Archives.open(bytes, name: "quine.zip")
        #expect(archive.members.isEmpty)
        #expect(archive.skipped == [SkippedMember(path: "inside.zip", reason: "an archive that contains itself")])
    }

    @Test func nestedBombsAreListedWithoutBeingUnpacked() throws {
        let archive = try Archives.open(path: ArchiveFixture.path("hostile/nested-bomb.zip"))
        #expect(archive.members.isEmpty)
        #expect(archive.skipped.count == 512)
        #expect(archive.skipped[0].reason == "archives nested more than 4 deep, like 7 more beside it")
    }

    @Test func sizesOutOfProportionAreALimit() throws {
        let zip = try ZipDirectory(ArchiveFixture.bytes("hostile/zeros.zip"), name: "z")
        #expect(try zip.bytes(of: zip.entries[0]).count == 4 << 20)
        let packed = Bytes([UInt8](repeating: 0, count: 10 << 20))
        let message = ArchiveFixture.message {
            _ = try Inflate.bytes(packed, byteCount: 10_000_000_000, crc32: nil, name: "m")
        }
        #expect(message.hasPrefix("m: unpacks to 10000000000 bytes, more than 250 times"))
    }

    @Test func namesThatPoseAsInnerOnesAreSkipped() throws {
        let inner = ZipBuilder([Member("a", "inner")]).bytes()
        let outer = ZipBuilder([Member("i.zip!/a", "poser"), Member("i.zip", inner), Member("x!/y", "fine")])
        let archive = try Archives.open(Bytes(outer.bytes()), name: "o.zip")
        #expect(archive.members.map(\.path) == ["i.zip!/a", "x!/y"])
        #expect(try archive.bytes(of: archive.members[0]).array == Array("inner".utf8))
        #expect(try archive.bytes(of: archive.members[1]).array == Array("fine".utf8))
        #expect(archive.skipped.map(\.path) == ["i.zip!/a"])
    }

    @Test func foldersHoldArchivesToo() throws {
        let folder = try TemporaryFolder()
        for file in ["nested-stored.tar", "files.tar.gz", "files.zip"] {
            try FileManager.default.copyItem(
                atPath: ArchiveFixture.path("archives/\(file)"), toPath: folder.file(file))
        }
        let archive = try Archives.open(path: folder.path)
        #expect(archive.kind == "folder")
        #expect(archive.members.count == 11 + 5 + 5)
        let paths = archive.members.map(\.path)
        #expect(paths.contains("nested-stored.tar!/b/stored.zip!/deep.tar!/trial/checkpoints"))
        for member in archive.members { #expect(try archive.bytes(of: member).count == member.byteCount) }
        var options = ArchiveOptions()
        options.opensNested = false
        #expect(try Archives.open(path: folder.path, options: options).members.count == 3)
    }

    @Test func pathsAreFollowedIntoArchives() throws {
        let tar = ArchiveFixture.path("archives/nested-stored.tar")
        let folder = ArchiveFixture.path("archives")
        let digits = Array("0123456789".utf8)
        for inside in [
            "a/inner.tar!/trial/checkpoints", "a/inner.tar.gz!/trial/checkpoints",
            "b/stored.zip!/deep.tar!/trial/checkpoints",
        ] {
            let found = try Archives.resolve("\(tar)!/\(inside)")
            #expect(found.bytes.array == digits)
            #expect(found.filePath == tar)
            #expect(found.memberPath == inside)
            #expect(try Archives.resolve("\(folder)!/nested-stored.tar!/\(inside)").bytes.array == digits)
        }
        #expect(try Archives.resolve("\(tar)!/b/model.zip!/model/version").bytes.array == Array("3\n".utf8))
        #expect(try Archives.resolve(tar).memberPath == nil)
        let deflated = ArchiveFixture.path("archives/nested-deflated.zip")
        #expect(try Archives.resolve("\(deflated)!/a/inner.tar.gz!/trial/checkpoints").bytes.array == digits)
        let cases: [(String, String)] = [
            ("\(tar)!/b/stored.zip!/checkpoints", "no member checkpoints (there is trial/checkpoints)"),
            ("\(tar)!/nothing", "nested-stored.tar: no member nothing"), ("\(tar)!/plain!/x", "not an archive"),
            ("/nowhere/x.zip!/y", "cannot open /nowhere/x.zip"),
            ("\(tar)!/b/broken.zip!/x", "truncated archive (no central directory)"),
        ]
        for (path, expected) in cases {
            let message = ArchiveFixture.message { _ = try Archives.resolve(path) }
            #expect(message.contains(expected), "\(message)")
        }
    }
}
