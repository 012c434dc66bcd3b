import Foundation
import Testing
import ZooBase
import ZooTestSupport

@Suite struct AtomicFileTests {
    @Test func nothingAppearsBeforeCommit() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("a/b.txt")
        do {
            let file = try AtomicFile(path)
            try file.write("half")
        }
        #expect(!FileManager.default.fileExists(atPath: path))
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.file("a")).isEmpty)
        try AtomicFile.write(path, Array("whole".utf8))
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "whole")
    }

    @Test func reservedBytesAreFilledInAnyOrder() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("x")
        let file = try AtomicFile(path)
        try file.write("head")
        let start = try file.reserve(6)
        let filler = file.filler
        try Array("def".utf8).withUnsafeBytes { try filler.write($0, at: start + 3) }
        try Array("abc".utf8).withUnsafeBytes { try filler.write($0, at: start) }
        try file.write("tail")
        try file.commit()
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "headabcdeftail")
    }

    @Test func linksKeepBeingLinks() throws {
        let folder = try TemporaryFolder()
        try AtomicFile.write(folder.file("target"), Array("old".utf8))
        try FileManager.default.createSymbolicLink(atPath: folder.file("link"), withDestinationPath: "target")
        try AtomicFile.write(folder.file("link"), Array("new".utf8))
        #expect(try String(contentsOfFile: folder.file("target"), encoding: .utf8) == "new")
        let type = try FileManager.default.attributesOfItem(atPath: folder.file("link"))[.type] as? FileAttributeType
        #expect(type == .typeSymbolicLink)
    }

    @Test func devicesAreWrittenToAndStay() throws {
        try AtomicFile.write("/dev/null", Array("gone".utf8))
        let type = try FileManager.default.attributesOfItem(atPath: "/dev/null")[.type] as? FileAttributeType
        #expect(type == .typeCharacterSpecial)
        let file = try AtomicFile("/dev/null")
        #expect(throws: ZooError.self) { try file.reserve(10) }
        #expect(throws: ZooError.self) { try AtomicFile(NSTemporaryDirectory()) }
    }

    @Test func whatAKillLeftIsRemovedByTheNextWriter() throws {
        let folder = try TemporaryFolder()
        // No process has the largest number there is; the test's own has a writer.
        let dead = folder.file(".x.2147483646.partial"), other = folder.file(".y.2147483646.partial")
        let alive = folder.file(".x.1.partial")
        for path in [dead, other, alive] { try Data("half".utf8).write(to: URL(fileURLWithPath: path)) }
        try AtomicFile.write(folder.file("x"), Array("whole".utf8))
        #expect(!FileManager.default.fileExists(atPath: dead))
        #expect(FileManager.default.fileExists(atPath: other))
        #expect(FileManager.default.fileExists(atPath: alive))
    }

    @Test func moreThanTheDiskHoldsIsRefusedBeforeItIsTaken() throws {
        let folder = try TemporaryFolder()
        let file = try AtomicFile(folder.file("huge"))
        #expect(throws: ZooError.self) { try file.reserve(1 << 55) }
    }
}
