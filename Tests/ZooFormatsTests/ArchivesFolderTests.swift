import Foundation
import Testing
import ZooBase
import ZooFormats
import ZooTestSupport

@Suite struct ArchivesFolderTests {
    private func write(_ text: String, _ path: String) throws {
        try AtomicFile.write(path, Array(text.utf8))
    }

    private func link(_ path: String, to target: String) throws {
        try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: target)
    }

    @Test func filesAreSortedAndHiddenOnesKept() throws {
        let folder = try TemporaryFolder()
        try write("1", folder.file("t/checkpoint_000001/.is_checkpoint"))
        try write("22", folder.file("t/b"))
        try write("333", folder.file("a"))
        try write("x", folder.file(".git/config"))
        let archive = try FolderArchive(path: folder.path)
        #expect(archive.members.map(\.path) == ["a", "t/b", "t/checkpoint_000001/.is_checkpoint"])
        #expect(archive.members.map(\.byteCount) == [3, 2, 1])
        #expect(try archive.bytes(of: archive.members[1]).array == Array("22".utf8))
        #expect(archive.skipped.isEmpty)
    }

    @Test func linksStayInside() throws {
        let folder = try TemporaryFolder()
        let outside = try TemporaryFolder()
        try write("inside", folder.file("real"))
        try write("secret", outside.file("secret"))
        try link(folder.file("good"), to: "real")
        try link(folder.file("out"), to: outside.file("secret"))
        try link(folder.file("loop"), to: ".")
        try link(folder.file("dead"), to: "nothing")
        try link(folder.file("self"), to: "self")
        let archive = try FolderArchive(path: folder.path)
        #expect(archive.members.map(\.path) == ["good", "real"])
        #expect(
            Set(archive.skipped) == [
                SkippedMember(path: "out", reason: "a symbolic link out of the folder"),
                SkippedMember(path: "loop", reason: "a symbolic link to a folder"),
                SkippedMember(path: "dead", reason: "a symbolic link that leads nowhere"),
                SkippedMember(path: "self", reason: "a symbolic link that leads nowhere"),
            ])
    }

    @Test func hubCachesAreReadThroughTheirLinks() throws {
        let cache = try TemporaryFolder()
        let model = cache.file("models--a--b")
        try write("weights", "\(model)/blobs/0123abc")
        try write("main", "\(model)/refs/main")
        try makeFolder("\(model)/snapshots/rev/sub")
        try link("\(model)/snapshots/rev/model.safetensors", to: "../../blobs/0123abc")
        try link("\(model)/snapshots/rev/sub/more.safetensors", to: "../../../blobs/0123abc")
        for (path, prefix) in [(model, "snapshots/rev/"), ("\(model)/snapshots/rev", "")] {
            let archive = try FolderArchive(path: path)
            let weights = archive.members.filter { $0.path.hasSuffix(".safetensors") }
            #expect(weights.map(\.path) == ["\(prefix)model.safetensors", "\(prefix)sub/more.safetensors"])
            #expect(!archive.members.contains { $0.path.contains("blobs") })
            #expect(try archive.bytes(of: weights[1]).array == Array("weights".utf8))
            #expect(archive.skipped.isEmpty)
        }
    }

    @Test func specialAndUnreadableFilesAreNotOpened() throws {
        let folder = try TemporaryFolder()
        #expect(mkfifo(folder.file("pipe"), 0o600) == 0)
        try write("x", folder.file("locked"))
        chmod(folder.file("locked"), 0)
        try makeFolder(folder.file("closed"))
        chmod(folder.file("closed"), 0)
        defer { chmod(folder.file("closed"), 0o700) }
        let archive = try FolderArchive(path: folder.path)
        #expect(archive.skipped.contains(SkippedMember(path: "pipe", reason: "a device, pipe or socket")))
        if geteuid() != 0 {
            #expect(archive.members.isEmpty)
            let reasons = Dictionary(uniqueKeysWithValues: archive.skipped.map { ($0.path, $0.reason) })
            #expect(reasons["locked"]?.contains("Permission denied") == true)
            #expect(reasons["closed"]?.contains("Permission denied") == true)
        }
        // Opening a pipe without a writer would wait for ever.
        #expect(throws: ZooError.self) { _ = try Bytes(mapping: folder.file("pipe")) }
        #expect(throws: ZooError.self) { _ = try Archives.open(path: folder.file("pipe")) }
    }

    @Test func namesThatAreNotTextAreSkipped() throws {
        let folder = try TemporaryFolder()
        let name = Array(folder.path.utf8) + [0x2F, 0x61, 0xFF, 0x0A, 0]
        let descriptor = name.map { CChar(bitPattern: $0) }.withUnsafeBufferPointer { buffer in
            buffer.baseAddress.map { open($0, O_CREAT | O_WRONLY, 0o600) } ?? -1
        }
        guard descriptor >= 0 else { return }
        close(descriptor)
        let archive = try FolderArchive(path: folder.path)
        #expect(archive.members.isEmpty)
        #expect(archive.skipped.map(\.path) == ["a\u{FFFD}\u{FFFD}"])
    }

    @Test func aMissingFolderIsNotFound() {
        #expect(ArchiveFixture.message { _ = try Archives.open(path: "/nowhere/at/all") }.contains("cannot open"))
    }
}
