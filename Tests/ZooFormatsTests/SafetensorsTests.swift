import Foundation
import Testing
import ZooBase
import ZooFormats
import ZooTensor
import ZooTestSupport

@Suite struct SafetensorsTests {
    @Test func tensorsEqualTheReferenceLibrarys() throws {
        let reader = try FormatOracle.check("safetensors", "types.safetensors")
        #expect(type(of: reader).format == "safetensors")
        #expect(reader.metadata["format"] == "pt")
        #expect(reader.skipped.isEmpty)
        #expect(reader.entries.allSatisfy { $0.offset != nil })
    }

    @Test func writtenBytesEqualTheReferenceLibrarys() throws {
        let folder = try TemporaryFolder()
        let original = try FormatOracle.bytes("safetensors/types.safetensors")
        let reader = try SafetensorsReader(original, name: "types")
        try SafetensorsWriter.write(reader, to: folder.file("copy.safetensors"))
        #expect(try Bytes(mapping: folder.file("copy.safetensors")).array == original.array)
    }

    @Test func sourceOrderIsKeptOnRequest() throws {
        let folder = try TemporaryFolder()
        var state = StateDict()
        state["b"] = Tensor([1, 2] as [Float], shape: [2])
        state["a"] = Tensor([3] as [Double], shape: [])
        state["c"] = Tensor([] as [Float], shape: [0, 2])
        let path = folder.file("deep/er/x.safetensors")
        try SafetensorsWriter.write(state, to: path, metadata: ["k": "v"], order: .source)
        let reader = try SafetensorsReader(Bytes(mapping: path), name: path)
        #expect(reader.tensorInfos.map(\.name) == ["b", "a", "c"])
        #expect(reader.metadata == JSONObject([("k", "v")]))
        #expect(try reader.tensor(named: "a").doubles() == [3])
    }

    @Test func failedWriteLeavesNothing() throws {
        let folder = try TemporaryFolder()
        var state = StateDict()
        let bytes = Bytes([UInt8](repeating: 0, count: 16))
        state["z"] = try Tensor(shape: [1], dtype: .complex128, bytes: bytes)
        let error = #expect(throws: ZooError.self) { try SafetensorsWriter.write(state, to: folder.file("x")) }
        #expect(error?.code == .unsupported)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
    }

    // MARK: Shards

    @Test func shardsReadAsOne() throws {
        let shards = try ShardedCheckpoint(
            indexFile: FormatOracle.path("safetensors/sharded/model.safetensors.index.json"))
        #expect(try FormatOracle.records(shards) == (try FormatOracle.files("safetensors")["sharded"]))
        #expect(shards.shards.count == 2 && shards.skipped.isEmpty)
        #expect(shards.metadata["total_size"] == 212)
    }

    @Test func shardsRoundTrip() throws {
        let folder = try TemporaryFolder()
        let source = try ShardedCheckpoint(
            indexFile: FormatOracle.path("safetensors/sharded/model.safetensors.index.json"))
        let names = try SafetensorsWriter.writeSharded(source, toFolder: folder.path, maximumShardBytes: 100)
        #expect(
            names == [
                "model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors",
                "model-00003-of-00003.safetensors", "model.safetensors.index.json",
            ])
        let copy = try ShardedCheckpoint(indexFile: folder.file("model.safetensors.index.json"))
        // Shards follow the source; inside a shard the reference library's order holds.
        for info in source.tensorInfos {
            #expect(try copy.tensor(named: info.name).isIdentical(to: source.tensor(named: info.name)))
        }
        #expect(copy.tensorInfos.count == source.tensorInfos.count)
        // Other weights in the folder would be mixed up with these.
        #expect(throws: ZooError.self) { try SafetensorsWriter.writeSharded(source, toFolder: folder.path) }
        let single = try SafetensorsWriter.writeSharded(source, toFolder: folder.path, replacing: true)
        #expect(single == ["model.safetensors"])
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["model.safetensors"])
    }

    @Test func failedShardsLeaveNoIndex() throws {
        struct Failing: TensorSource {
            let tensorInfos = ["a", "b"].map { TensorInfo(name: $0, dtype: .float32, shape: [2]) }
            func tensor(named name: String) throws -> Tensor {
                if name == "b" { throw ZooError(.numeric, "no b") }
                return Tensor([1, 2] as [Float], shape: [2])
            }
        }
        let folder = try TemporaryFolder()
        #expect(throws: ZooError.self) {
            try SafetensorsWriter.writeSharded(Failing(), toFolder: folder.path, maximumShardBytes: 8)
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
    }

    private func index(_ map: JSONValue, shards: [String: StateDict]) throws -> ShardedCheckpoint {
        let folder = try TemporaryFolder()
        for (name, state) in shards { try SafetensorsWriter.write(state, to: folder.file(name)) }
        let text = (["weight_map": map] as JSONValue).text()
        return try ShardedCheckpoint(index: Bytes(Array(text.utf8)), name: "index") { name in
            try Bytes(mapping: folder.file(name))
        }
    }

    @Test func shardFaultsAreNamed() throws {
        var state = StateDict()
        state["a"] = Tensor([1] as [Float], shape: [1])
        state["extra"] = Tensor([2] as [Float], shape: [1])
        let shards = try index(["a": "x"], shards: ["x": state])
        #expect(shards.tensorInfos.map(\.name) == ["a"])
        #expect(shards.skipped.map(\.name) == ["extra"])
        let missing = #expect(throws: ZooError.self) { try index(["a": "x", "b": "y"], shards: ["x": state]) }
        #expect(missing?.message.contains("shard 'y' is missing") == true)
        let absent = #expect(throws: ZooError.self) { try index(["a": "x", "b": "x"], shards: ["x": state]) }
        #expect(absent?.message.contains("tensor 'b' should be in x") == true)
        for outside in ["../x", "/etc/passwd", "..", "", "a/b", "a\\b"] {
            let error = #expect(throws: ZooError.self) { try index(["a": .string(outside)], shards: [:]) }
            #expect(error?.code == .corrupt)
        }
    }

    // MARK: Damage

    /// A file of the given header text and number of data bytes.
    private func file(_ header: String, data: Int) -> Bytes {
        let text = Array(header.utf8)
        return Bytes(
            withUnsafeBytes(of: UInt64(text.count).littleEndian, Array.init) + text
                + [UInt8](repeating: 1, count: data))
    }

    private func refusal(_ header: String, data: Int = 8) throws -> String {
        let error = try Damage.attempt(SafetensorsReader.self, file(header, data: data))
        return try #require(error, "read: \(header)").message
    }

    @Test func everyPrefixIsRefused() throws {
        try Damage.prefixes(SafetensorsReader.self, "safetensors/types.safetensors")
    }

    @Test func damagedBytesDoNoHarm() throws {
        try Damage.singleBytes(SafetensorsReader.self, "safetensors/types.safetensors")
        try Damage.fuzz(SafetensorsReader.self, ["safetensors/types.safetensors"], iterations: 2000)
    }

    @Test func hostileHeadersAreRefused() throws {
        let good = #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#
        #expect(try Damage.attempt(SafetensorsReader.self, file(good, data: 8)) == nil)
        #expect(try refusal(good, data: 9).contains("end at byte 8"))
        #expect(try refusal(good, data: 7).contains("truncated"))
        let pair = { (a: String, b: String) in
            #"{"a":{"dtype":"U8","shape":[4],"data_offsets":\#(a)},"b":{"dtype":"U8","shape":[4],"data_offsets":\#(b)}}"#
        }
        #expect(try refusal(pair("[0,4]", "[2,6]")).contains("overlaps"))
        #expect(try refusal(pair("[0,4]", "[5,9]"), data: 9).contains("hole"))
        #expect(try refusal(pair("[4,0]", "[4,8]")).contains("before it begins"))
        #expect(try refusal(pair("[0,4]", "[9223372036854775800,9223372036854775807]")).contains("hole"))
        #expect(try refusal(pair("[0,4]", "[4,99999999999999999999]")).contains("beyond 64 bits"))
        #expect(try refusal(pair("[0,4]", "[4,-8]")).contains("whole number"))
        #expect(try refusal(#"{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#).contains("whole number"))
        #expect(
            try refusal(#"{"a":{"dtype":"F32","shape":[4294967296,4294967296,2],"data_offsets":[0,8]}}"#)
                .contains("more elements"))
        #expect(
            try refusal(#"{"a":{"dtype":"F32","shape":[0,4611686018427387904,4],"data_offsets":[0,0]}}"#, data: 0)
                .contains("more elements"))
        #expect(try refusal(#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#).contains("needs 12 bytes"))
        #expect(
            try refusal(pair("[0,4]", "[4,8]").replacing("\"b\"", with: "\"a\"")).contains("there twice"))
        #expect(
            try refusal(#"{"a":{"dtype":"F32","dtype":"F16","shape":[2],"data_offsets":[0,8]}}"#).contains("twice"))
        #expect(try refusal(#"{"a":{"dtype":"F32","shape":[2]}}"#).contains("data_offsets"))
        #expect(try refusal(#"{"__metadata__":[1]}"#, data: 0).contains("__metadata__"))
        #expect(try refusal("[1]", data: 0).contains("expected '{'"))
        #expect(try refusal(good + "x").contains("end of the header"))
    }

    @Test func headerLengthIsChecked() throws {
        for length in [UInt64(1) << 63, .max, 100_000_001, 1 << 40] {
            let bytes = Bytes(withUnsafeBytes(of: length.littleEndian, Array.init) + Array("{\"a\"".utf8))
            #expect(try Damage.attempt(SafetensorsReader.self, bytes)?.code == .limit)
            // Through the registry only the name tells that this should have been safetensors.
            let error = #expect(throws: ZooError.self) { try CheckpointReaders.open(bytes, name: "m.safetensors") }
            #expect(error?.code == .limit)
        }
    }

    @Test func unknownElementTypesAreListed() throws {
        let header =
            #"{"s":{"dtype":"F8_E8M0","shape":[4],"data_offsets":[0,4]},"# + " \n"
            + #""a":{"dtype":"U8","shape":[4],"data_offsets":[4,8],"new":{"x":[1,"]"]}}}  "#
        let reader = try SafetensorsReader(file(header, data: 8), name: "x")
        #expect(reader.tensorInfos.map(\.name) == ["a"])
        #expect(reader.skipped.map(\.name) == ["s"])
        #expect(reader.skipped[0].reason.contains("F8_E8M0"))
    }
}
