import Testing
import ZooBase
import ZooFormats

/// Every container lists and gives the same files.
@Suite struct ArchivesContainerTests {
    static let containers: [(file: String, kind: String)] = [
        ("files.zip", "zip"), ("files-pax.tar", "tar"), ("files-gnu.tar", "tar"), ("files.tar.gz", "tar.gz"),
        ("files.tar.xz", "tar.xz"), ("files.tar.bz2", "tar.bz2"), ("files.tar.zst", "tar.zst"), ("files.7z", "7z"),
    ]

    @Test(arguments: containers) func filesAreTheSameInEveryContainer(file: String, kind: String) throws {
        let expected = try ArchiveFixture.expected()
        let archive = try Archives.open(path: ArchiveFixture.path("archives/\(file)"))
        #expect(archive.kind == kind)
        #expect(archive.skipped == [])
        let sorted = archive.members.sorted { $0.path < $1.path }
        let wanted = expected.sorted { $0.path < $1.path }
        #expect(sorted.map(\.path) == wanted.map(\.path))
        #expect(sorted.map(\.byteCount) == wanted.map(\.bytes))
        for (member, file) in zip(sorted, wanted) {
            #expect(Inflate.crc32(of: try archive.bytes(of: member)) == file.crc32)
            #expect(member.modified == 1_700_000_000)
            try archive.verify(member)
        }
    }

    @Test func uninterestingMembersAreListedAndReadOnDemand() throws {
        for file in ["files.tar.gz", "files.7z"] {
            let bytes = try ArchiveFixture.bytes("archives/\(file)")
            let format = try #require(ArchiveFormat(bytes))
            let all = try StreamArchive(bytes, format: format, name: file)
            let few = try StreamArchive(bytes, format: format, name: file) { $0.hasSuffix(".json") }
            #expect(few.members.map(\.path) == all.members.map(\.path))
            #expect(few.spooledByteCount == 100)
            #expect(try ArchiveFixture.contents(few) == ArchiveFixture.contents(all))
        }
    }

    @Test func storedMembersAreReadInPlace() throws {
        for file in ["files-pax.tar", "files.zip"] {
            let archive = try Archives.open(path: ArchiveFixture.path("archives/\(file)"))
            let member = try #require(archive.members.first { $0.path.hasSuffix("notes") })
            let range = try #require(try archive.bytes(of: member).fileRange)
            #expect(range.path == ArchiveFixture.path("archives/\(file)"))
            #expect(range.offset == member.placement?.offset)
        }
    }

    @Test func everyPrefixThrowsOrListsNoMoreThanTheWhole() throws {
        for (file, _) in Self.containers + [("nested-stored.tar", ""), ("nested-deflated.zip", "")] {
            let whole = try ArchiveFixture.bytes("archives/\(file)")
            let count = try Archives.open(whole, name: file).members.count
            var refused = 0
            for length in stride(from: 0, to: whole.count, by: whole.count > 4000 ? 7 : 1) {
                let cut = Bytes(whole.prefix(length).array)
                do {
                    let archive = try Archives.open(cut, name: file)
                    #expect(archive.members.count <= count)
                    for member in archive.members { _ = try? archive.bytes(of: member) }
                } catch is ZooError { refused += 1 }
            }
            #expect(refused > 0 || file.hasSuffix(".tar"))
        }
    }

    @Test func truncatedDownloadsKeepWhatIsWhole() throws {
        let gzip = try ArchiveFixture.bytes("archives/files.tar.gz")
        let cut = try Archives.open(gzip.prefix(gzip.count - 40), name: "cut.tar.gz")
        #expect(cut.members.count >= 3)
        #expect(cut.skipped.last?.reason.contains("gzip data end too early") == true)
        let tar = try ArchiveFixture.bytes("archives/files-pax.tar")
        let short = try Archives.open(tar.prefix(2048 + 300), name: "cut.tar")
        #expect(short.members.count == 2)
        #expect(short.skipped.last?.reason.hasPrefix("truncated") == true)
    }

    @Test func damageOfAnyByteNeverCrashes() throws {
        for (file, _) in Self.containers {
            let whole = try ArchiveFixture.bytes("archives/\(file)").array
            for index in stride(from: 0, to: whole.count, by: whole.count > 4000 ? 5 : 1) {
                var bytes = whole
                bytes[index] ^= UInt8(1 << (index % 8))
                do { try ArchiveFixture.readAll(Bytes(bytes)) } catch let error as ZooError {
                    #expect(error.code != .internal)
                }
            }
        }
    }

    @Test func damagedCompressedDataAreNoticed() throws {
        for file in ["files.tar.gz", "files.tar.xz", "files.tar.bz2", "files.tar.zst", "files.7z"] {
            var bytes = try ArchiveFixture.bytes("archives/\(file)").array
            bytes[bytes.count / 2] ^= 4
            let message = ArchiveFixture.message {
                let archive = try Archives.open(Bytes(bytes), name: file)
                if let problem = archive.skipped.last { throw ZooError(.corrupt, problem.reason) }
            }
            #expect(message != "no error", "\(file)")
        }
    }

    @Test func formatsAreToldByContent() throws {
        #expect(ArchiveFormat(Bytes(Array("not an archive".utf8))) == nil)
        #expect(ArchiveFormat(.empty) == nil)
        let file = try Archives.open(Bytes(Array("{}".utf8)), name: "a/model.safetensors")
        #expect(file.kind == "file")
        #expect(file.members.map(\.path) == ["model.safetensors"])
        let gzip = try #require(try? ArchiveFixture.bytes("archives/files.tar.gz"))
        #expect(ArchiveFormat(gzip) == .compressed(.gzip))
        for name in ["a.zip", "x/B.TAR", "c.tar.zst", "d.tgz", "e.7z"] { #expect(ArchiveFormat.isArchiveName(name)) }
        for name in ["zip", "model.pt", "a.npz", "a.keras", "a.zip/b"] { #expect(!ArchiveFormat.isArchiveName(name)) }
    }

    @Test func aZipIsFilesOrACheckpoint() throws {
        typealias Member = ZipBuilder.Member
        let cases: [([String], ZipContent)] = [
            (["a/data.pkl", "a/data/0", "a/version"], .pytorch), (["a/data.pkl", "b/params.json"], .files),
            (["t/a/data.pkl", "t/a/version"], .files), (["a/data.pkl", "a/b/data.pkl"], .files),
            (["x.npy", "y.npy"], .npz), (["x.npy", "y"], .files),
            (["config.json", "metadata.json", "model.weights.h5"], .keras), ([], .files),
        ]
        for (names, content) in cases {
            let bytes = Bytes(ZipBuilder(names.map { Member($0, "x") }).bytes())
            #expect(ZipContent(try ZipDirectory(bytes, name: "z")) == content, "\(names)")
            #expect(try Archives.open(bytes, name: "z").kind == (content == .files ? "zip" : "file"))
        }
    }

    @Test func compressedFilesWithoutATarAreRefusedByName() throws {
        // gzip of "hello"
        let bytes: [UInt8] = [
            31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 203, 72, 205, 201, 201, 7, 0, 134, 166, 16, 54, 5, 0, 0, 0,
        ]
        let message = ArchiveFixture.message { _ = try Archives.open(Bytes(bytes), name: "model.json.gz") }
        #expect(message.hasPrefix("model.json.gz: compressed (gz), but not a tar inside"))
    }
}
