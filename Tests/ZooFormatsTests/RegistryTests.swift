import Foundation
import Testing
import ZooBase
import ZooFormats
import ZooTensor
import ZooTestSupport

@Suite struct RegistryTests {
    private func refusal(_ bytes: [UInt8], name: String = "x") throws -> ZooError {
        try #require(throws: ZooError.self) { try CheckpointReaders.open(Bytes(bytes), name: name) }
    }

    @Test func unknownBytesAreDescribed() throws {
        #expect(try refusal([]).message.contains("empty"))
        let text = try refusal(Array("hello world".utf8))
        #expect(text.code == .unsupported && text.message.contains("'hello wo'"))
        #expect(text.hint.contains("safetensors"))
        #expect(try refusal([0x1F, 0x8B, 8, 0]).message.contains("gzip"))
        #expect(try refusal(Array("version https://git-lfs.github.com/spec/v1".utf8)).hint.contains("git lfs"))
        #expect(try refusal(Array("<!DOCTYPE html>".utf8)).message.contains("web page"))
        var tar = [UInt8](repeating: 0, count: 512)
        tar.replaceSubrange(257..<262, with: Array("ustar".utf8))
        #expect(try refusal(tar).message.contains("tar archive"))
    }

    @Test func cutArchivesAreCalledTruncated() throws {
        let whole = try FormatOracle.bytes("npy/stored.npz")
        #expect(try refusal(whole.prefix(whole.count / 2).array).message.contains("truncated archive"))
        #expect(try refusal([0x50, 0x4B, 3, 4]).message.contains("truncated archive"))
    }

    @Test func everyReaderFileIsRegistered() throws {
        let folder = Repository.path("Sources/ZooFormats/Readers")
        let registered = Set(CheckpointReaders.all.map { String(describing: $0.reader) })
        for file in try FileManager.default.contentsOfDirectory(atPath: folder) where file.hasSuffix(".swift") {
            let text = try String(contentsOfFile: folder + "/" + file, encoding: .utf8)
            for match in text.matches(of: /struct (\w+): CheckpointReader\b/) {
                #expect(registered.contains(String(match.1)), "add \(match.1) to CheckpointReaders.all")
            }
        }
    }

    @Test func writersAreFoundByEnding() throws {
        #expect(try CheckpointWriters.writer(for: "a/b.SafeTensors").format == "safetensors")
        #expect(try CheckpointWriters.writer(for: "b.hdf5").format == "hdf5")
        #expect(try CheckpointWriters.writer(for: "b.bin", format: "npz").format == "npz")
        #expect(throws: ZooError.self) { try CheckpointWriters.writer(for: "a.b/c") }
    }
}
