import Foundation
import Testing
import ZooBase
import ZooFormats
import ZooTensor
import ZooTestSupport

@Suite struct HDF5Tests {
    @Test(arguments: [
        "types.h5", "userblock.h5", "ordered.h5", "keras2.h5", "keras2_weights.h5", "keras2_shared.h5",
        "keras3.weights.h5", "stored.keras", "deflated.keras",
    ])
    func tensorsEqualH5pys(_ file: String) throws { try FormatOracle.check("hdf5", file) }

    @Test func contiguousDataIsReadInPlace() throws {
        let reader = try HDF5Reader(FormatOracle.bytes("hdf5/types.h5"), name: "types")
        for entry in reader.entries {
            let name = entry.info.name
            let isRearranged =
                name.hasPrefix("packed/") || name.contains("big_") || name == "compact" || name == "empty"
            #expect((entry.offset == nil) == isRearranged, "\(name)")
        }
        let keras = try CheckpointReaders.open(FormatOracle.bytes("hdf5/stored.keras"), name: "m.keras")
        #expect(keras.entries.allSatisfy { $0.offset != nil })
    }

    @Test func whatIsNotReadIsNamed() throws {
        let reader = try HDF5Reader(FormatOracle.bytes("hdf5/types.h5"), name: "types")
        let reasons = Dictionary(uniqueKeysWithValues: reader.skipped)
        #expect(reasons["refused/text"]?.contains("text") == true)
        #expect(reasons["refused/compound"]?.contains("compound") == true)
        #expect(reasons["refused/reference"]?.contains("reference") == true)
        #expect(reasons["refused/nothing"] != nil)
        #expect(reasons["refused/lzf"]?.contains("filter 32000") == true)
        #expect(reasons["links/soft"]?.contains("soft link") == true)
        #expect(reasons["links/external"]?.contains("another file") == true)
        #expect(reasons["links/loop"]?.contains("listed before") == true)
    }

    @Test func attributesAreRead() throws {
        let plain = try HDF5Reader(FormatOracle.bytes("hdf5/types.h5"), name: "types").metadata
        #expect(
            plain["note"] == "plain" && plain["epoch"] == 12 && plain["rate"] == 0.25 && plain["list"] == [1, 2, 3])
        let keras = try HDF5Reader(FormatOracle.bytes("hdf5/keras2.h5"), name: "keras").metadata
        #expect(keras["backend"] == "tensorflow" && keras["keras_version"] == "2.15.0")
        #expect(keras["model_config"]?["config"]?["name"] == "tiny")
        let archive = try CheckpointReaders.open(FormatOracle.bytes("hdf5/stored.keras"), name: "m.keras").metadata
        #expect(archive["config"]?["class_name"] == "Sequential" && archive["metadata"]?["keras_version"] == "3.5.0")
    }

    @Test func optimizerIsListedOnRequest() throws {
        var options = ReaderOptions()
        options.includesOptimizer = true
        let two = try HDF5Reader(FormatOracle.bytes("hdf5/keras2.h5"), name: "keras", options: options)
        #expect(two.tensorInfos.last?.name == "optimizer_weights/iterations:0")
        let three = try HDF5Reader(FormatOracle.bytes("hdf5/keras3.weights.h5"), name: "keras", options: options)
        #expect(three.tensorInfos.last?.name == "optimizer/vars/0")
    }

    @Test func readersWorkSideBySide() throws {
        let bytes = try FormatOracle.bytes("hdf5/types.h5")
        let expected = try #require(try FormatOracle.files("hdf5")["types.h5"])
        let folder = try TemporaryFolder()
        try Parallel.forEach(count: 12, jobs: 4) { number in
            let reader = try HDF5Reader(bytes, name: "types")
            #expect(try FormatOracle.records(reader) == expected)
            // A writer at work in this process must not confuse the readers' children.
            try CheckpointWriters.write(reader, to: folder.file("\(number).h5"))
        }
    }

    // MARK: Writing

    @Test func tensorsRoundTrip() throws {
        let folder = try TemporaryFolder()
        let types = try SafetensorsReader(FormatOracle.bytes("safetensors/types.safetensors"), name: "types")
        let (first, second) = (folder.file("a.h5"), folder.file("b.h5"))
        try CheckpointWriters.write(types, to: first, metadata: ["note": "grüße"])
        try HDF5Writer.write(types, to: second, metadata: ["note": "grüße"], naming: .asIs)
        #expect(try Bytes(mapping: first).array == Bytes(mapping: second).array)
        let reader = try HDF5Reader(Bytes(mapping: first), name: "a")
        #expect(reader.metadata["note"] == "grüße")
        #expect(Set(reader.tensorInfos.map(\.name)) == Set(types.tensorInfos.map(\.name)))
        for entry in reader.entries {
            let original = try types.tensor(named: entry.info.name).converted(to: entry.info.dtype)
            #expect(try reader.tensor(named: entry.info.name).isIdentical(to: original))
            if entry.info.byteCount >= 64 { #expect(try #require(entry.offset) % 64 == 0) }
        }
    }

    @Test func dotsBecomeGroups() throws {
        let folder = try TemporaryFolder()
        var state = StateDict()
        state["layer1.0.weight"] = Tensor([1, 2] as [Float], shape: [2])
        try HDF5Writer.write(state, to: folder.file("x.h5"), naming: .dotsAsGroups)
        let reader = try HDF5Reader(Bytes(mapping: folder.file("x.h5")), name: "x")
        #expect(reader.tensorInfos.map(\.name) == ["layer1/0/weight"])
        state["layer1.0"] = Tensor([1] as [Float], shape: [1])
        let error = #expect(throws: ZooError.self) {
            try HDF5Writer.write(state, to: folder.file("y.h5"), naming: .dotsAsGroups)
        }
        #expect(error?.code == .mismatch)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["x.h5"])
    }

    @Test func matricesAreWrittenInBlocks() throws {
        let folder = try TemporaryFolder()
        let file = try HDF5Writer(folder.file("m.h5"))
        let dataset = try file.addDataset("zoo/weights", dtype: .float32, shape: [10, 4])
        for block in [0, 3, 6, 9] {
            let rows = min(3, 10 - block)
            let values = (0..<rows * 4).map { Float(block * 4 + $0) }
            try file.writeRows(Tensor(values, shape: [rows, 4]), to: dataset, at: block)
        }
        #expect(throws: ZooError.self) {
            try file.writeRows(Tensor([0, 0, 0, 0] as [Float], shape: [1, 4]), to: dataset, at: 10)
        }
        try file.setAttribute("names", ["a", "b"], of: "/zoo/weights")
        try file.setAttribute("columns", ["x", "y"], of: "/zoo")
        try file.setAttribute("epoch", 3)
        try file.setAttribute("rate", 0.5)
        #expect(!FileManager.default.fileExists(atPath: folder.file("m.h5")))
        try file.commit()
        let reader = try HDF5Reader(Bytes(mapping: folder.file("m.h5")), name: "m")
        #expect(try reader.tensor(named: "zoo/weights").floats() == (0..<40).map { Float($0) })
        #expect(reader.metadata["epoch"] == 3 && reader.metadata["rate"] == 0.5)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["m.h5"])
    }

    // MARK: Damage

    private func hostile(_ file: String) throws -> HDF5Reader {
        try HDF5Reader(FormatOracle.bytes("hdf5/hostile/\(file)"), name: file)
    }

    @Test func otherFilesAreNotReached() throws {
        for (file, word) in [("external.h5", "another file"), ("virtual.h5", "other files")] {
            let reader = try hostile(file)
            #expect(reader.entries.isEmpty)
            #expect(reader.skipped.map(\.name) == ["w"] && reader.skipped[0].reason.contains(word))
        }
    }

    @Test func claimsAreBounded() throws {
        let error = #expect(throws: ZooError.self) { try hostile("claims.h5") }
        #expect(error?.message.contains("more elements than any file can hold") == true)
        let deep = try hostile("deep.h5")
        #expect(deep.entries.isEmpty && deep.skipped[0].reason.contains("nested too deeply"))
        let folder = try TemporaryFolder()
        let file = try HDF5Writer(folder.file("x.h5"))
        _ = try file.addDataset("w", dtype: .float32, shape: [1000, 1000])
        try file.commit()
        let whole = try Bytes(mapping: folder.file("x.h5"))
        #expect(try Damage.attempt(HDF5Reader.self, whole.prefix(whole.count / 2)) != nil)
    }

    @Test func unwrittenDataAreBounded() throws {
        let reader = try hostile("unwritten.h5")
        for name in ["chunked", "contiguous"] {
            let error = #expect(throws: ZooError.self) { try reader.tensor(named: name) }
            #expect(error?.code == .limit && error?.message.contains("only 0 are stored") == true)
        }
    }

    @Test func crashOfTheLibraryIsReported() throws {
        // A file that shrinks after it was mapped: the first page stays, touching others is a bus error in whoever
        // does it, which is the child.
        let folder = try TemporaryFolder()
        let path = folder.file("shrunk.h5")
        try AtomicFile.write(path, FormatOracle.bytes("hdf5/types.h5").array)
        let bytes = try Bytes(mapping: path)
        try #require(truncate(path, 4096) == 0)
        let error = #expect(throws: ZooError.self) { try HDF5Reader(bytes, name: "shrunk.h5") }
        #expect(error?.code == .corrupt)
        #expect(error?.message == "shrunk.h5: the HDF5 library failed on this file (signal \(SIGBUS))")
    }

    @Test func prefixesAreRefused() throws {
        try Damage.prefixes(HDF5Reader.self, "hdf5/small.h5", stride: 61)
        try Damage.prefixes(KerasReader.self, "hdf5/deflated.keras", stride: 97)
    }

    @Test func damagedBytesDoNoHarm() throws {
        try Damage.singleBytes(HDF5Reader.self, "hdf5/small.h5", stride: 37)
        try Damage.fuzz(
            HDF5Reader.self,
            ["small.h5", "userblock.h5", "keras2_shared.h5", "ordered.h5", "types.h5"].map { "hdf5/" + $0 },
            iterations: 60)
        try Damage.fuzz(KerasReader.self, ["hdf5/deflated.keras"], iterations: 60)
    }
}
