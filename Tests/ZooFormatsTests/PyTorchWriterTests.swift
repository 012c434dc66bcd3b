import Testing
import ZooBase
import ZooFormats
import ZooTensor
import ZooTestSupport

@Suite struct PyTorchWriterTests {
    private func state() throws -> StateDict {
        var state = StateDict()
        for (index, type) in DType.allCases.enumerated() {
            let count = 6 * type.byteCount
            let bytes = Bytes((0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ index) })
            state["t.\(type.rawValue)"] = try Tensor(shape: [2, 3], dtype: type, bytes: bytes)
        }
        state["scalar"] = Tensor([Float(1.5)], shape: [])
        state["empty"] = Tensor([Double](), shape: [3, 0])
        return state
    }

    @Test func whatIsWrittenIsRead() throws {
        let folder = try TemporaryFolder()
        let state = try state()
        for limit in [0xFFFF_FFFF, 8, 2000] {
            let path = folder.file("a\(limit).pt")
            try PyTorchWriter.write(state, to: path, moduleVersions: nil, wideLimit: limit)
            let reader = try PyTorchZipReader(try Bytes(mapping: path), name: path)
            #expect(reader.tensorInfos == state.tensorInfos)
            for name in state.names {
                #expect(try reader.tensor(named: name).isIdentical(to: try state.tensor(named: name)), "\(name)")
            }
            for entry in reader.entries { #expect((entry.offset ?? 1) % 64 == 0) }
        }
    }

    /// The same file as PyTorch's own, but for the folder's name and the serialisation id.
    @Test(arguments: ["metadata.pt", "dtypes.pt"])
    func bytesAreThoseOfTorch(_ file: String) throws {
        let folder = try TemporaryFolder()
        let original = try PyTorchOracle.bytes(file)
        let reader = try PyTorchZipReader(original, name: file)
        let path = folder.file("b.pt")
        try PyTorchWriter.write(reader, to: path, moduleVersions: reader.metadata["_metadata"]?.object)
        let theirs = try ZipDirectory(original, name: file)
        let ours = try ZipDirectory(try Bytes(mapping: path), name: path)
        func inner(_ name: String) -> Substring { name.drop { $0 != "/" } }
        #expect(ours.entries.map { inner($0.name) } == theirs.entries.map { inner($0.name) })
        for (mine, their) in zip(ours.entries, theirs.entries) where !mine.name.hasSuffix("serialization_id") {
            #expect(try ours.bytes(of: mine).array == theirs.bytes(of: their).array, "\(mine.name)")
            #expect(mine.crc32 == their.crc32 && mine.flags == their.flags)
        }
    }

    @Test func tiedWeightsStayTied() throws {
        let folder = try TemporaryFolder()
        let source = try PyTorchZipReader(try PyTorchOracle.bytes("views.pt"), name: "views.pt")
        try PyTorchWriter.write(source, to: folder.file("v.pt"))
        let reader = try PyTorchZipReader(try Bytes(mapping: folder.file("v.pt")), name: "v.pt")
        for row in PyTorchOracle.tensors("views.pt") {
            #expect(PyTorchDigest.sha256(try reader.tensor(named: row.name).bytes) == row.sha256, "\(row.name)")
        }
        let tied = reader.entries.filter { ["embed", "head"].contains($0.info.name) }
        #expect(tied.count == 2 && tied[0].offset == tied[1].offset)
    }

    @Test func sameSourceSameBytes() throws {
        let folder = try TemporaryFolder()
        let state = try state()
        let versions = ["_metadata": "{\"\":{\"version\":1},\"bn\":{\"version\":2}}"]
        try PyTorchWriter.write(state, to: folder.file("a.pt"), metadata: versions)
        try PyTorchWriter.write(state, to: folder.file("other.pth"), metadata: versions)
        let first = try Bytes(mapping: folder.file("a.pt")).array
        #expect(first == (try Bytes(mapping: folder.file("other.pth")).array))
        let reader = try PyTorchZipReader(Bytes(first), name: "a.pt")
        #expect(reader.metadata["_metadata"]?.text() == "{\"\":{\"version\":1},\"bn\":{\"version\":2}}")
    }

    @Test func longNamesAndManyTensors() throws {
        let folder = try TemporaryFolder()
        var state = StateDict()
        for index in 0..<2500 { state["layer.\(index).größe"] = Tensor([Int64(index)], shape: []) }
        try PyTorchWriter.write(state, to: folder.file("many.pt"))
        let reader = try PyTorchZipReader(try Bytes(mapping: folder.file("many.pt")), name: "many.pt")
        #expect(reader.entries.count == 2500)
        #expect(try reader.tensor(named: "layer.2499.größe").doubles() == [2499])
    }
}
