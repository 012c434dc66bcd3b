import Foundation
import Testing
import ZooBase
import ZooFormats
import ZooTensor
import ZooTestSupport

@Suite struct NpyTests {
    @Test(arguments: ["plain.npy", "fortran.npy", "version2.npy", "version3.npy", "stored.npz", "deflated.npz"])
    func tensorsEqualNumPys(_ file: String) throws {
        let reader = try FormatOracle.check("npy", file)
        #expect(reader.skipped.isEmpty)
        #expect(type(of: reader).format == (file.hasSuffix("npz") ? "npz" : "npy"))
    }

    @Test func objectsAndTextAreNamed() throws {
        let reader = try FormatOracle.check("npy", "refused.npz")
        #expect(reader.skipped.map(\.name) == ["text", "objects"])
        #expect(reader.skipped[1].reason.contains("pickles"))
    }

    @Test func arraysRoundTrip() throws {
        let folder = try TemporaryFolder()
        let types = try SafetensorsReader(FormatOracle.bytes("safetensors/types.safetensors"), name: "types")
        let path = folder.file("types.npz")
        try CheckpointWriters.write(types, to: path)
        let bytes = try Bytes(mapping: path)
        let reader = try NpzReader(bytes, name: path)
        #expect(reader.tensorInfos.map(\.name) == types.tensorInfos.map(\.name))
        for entry in reader.entries {
            let original = try types.tensor(named: entry.info.name)
            #expect(try #require(entry.offset) % 64 == 0)
            #expect(try reader.tensor(named: entry.info.name).isIdentical(to: original.converted(to: entry.info.dtype)))
        }
        var one = StateDict()
        one["w"] = Tensor([1, 2, 3] as [Float], shape: [3])
        try CheckpointWriters.write(one, to: folder.file("w.npy"))
        #expect(
            try NpyReader(Bytes(mapping: folder.file("w.npy")), name: "w.npy").tensor(named: "w").floats() == [1, 2, 3])
        #expect(throws: ZooError.self) { try NpyWriter.write(types, to: folder.file("many.npy")) }
    }

    @Test func writtenArraysEqualNumPys() throws {
        let folder = try TemporaryFolder()
        let original = try FormatOracle.bytes("npy/plain.npy")
        try NpyWriter.write(NpyReader(original, name: "plain.npy"), to: folder.file("plain.npy"))
        #expect(try Bytes(mapping: folder.file("plain.npy")).array == original.array)
    }

    // MARK: Damage

    @Test func everyPrefixIsRefused() throws {
        try Damage.prefixes(NpyReader.self, "npy/fortran.npy")
        try Damage.prefixes(NpyReader.self, "npy/version3.npy")
        try Damage.prefixes(NpzReader.self, "npy/refused.npz")
        try Damage.prefixes(NpzReader.self, "npy/deflated.npz", stride: 7)
    }

    @Test func damagedBytesDoNoHarm() throws {
        try Damage.singleBytes(NpyReader.self, "npy/fortran.npy")
        try Damage.singleBytes(NpzReader.self, "npy/refused.npz")
        try Damage.fuzz(NpyReader.self, ["npy/fortran.npy", "npy/version2.npy", "npy/plain.npy"], iterations: 2000)
        try Damage.fuzz(NpzReader.self, ["npy/refused.npz", "npy/deflated.npz"], iterations: 1000)
    }

    private func array(_ dictionary: String, data: Int = 8) -> Bytes {
        let text = Array(dictionary.utf8)
        return Bytes(
            [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(text.count & 255), UInt8(text.count >> 8)] + text
                + [UInt8](repeating: 0, count: data))
    }

    @Test func hostileHeadersAreRefused() throws {
        func header(_ shape: String, _ descriptor: String = "'<f4'", _ order: String = "False") -> String {
            "{'descr': \(descriptor), 'fortran_order': \(order), 'shape': \(shape), }"
        }
        #expect(try Damage.attempt(NpyReader.self, array(header("(2,)"))) == nil)
        #expect(try Damage.attempt(NpyReader.self, array(header("(2L,)"))) == nil)
        let faults = [
            header("(10**10,)"), header("(10000000000,)"), header("(-2,)"), header("(-2,-1)"),
            header("(9223372036854775807, 9223372036854775807)"), header("(99999999999999999999,)"),
            header("(0, 9223372036854775807, 8)"), header("(2,", "'<f4'"), header("(2.0,)"), header("2"),
            header("(2,)", "__import__('os')"), header("(2,)", "'<f4'", "1"), header("(2,)") + " + 1",
            "{'descr': '<f4', 'shape': (2,)}", "{'descr': '<f4', 'descr': '<f4', 'shape': (2,)}", "{", "", "[]",
            header("(1,)"), header("(3,)"),
        ]
        for fault in faults {
            #expect(try Damage.attempt(NpyReader.self, array(fault)) != nil, "read: \(fault)")
        }
        for (descriptor, word) in [
            ("'|O'", "pickles"), ("'<U4'", "text"), ("[('a', '<f4')]", "structured"), ("'<f16'", "f16"),
        ] {
            let reader = try NpyReader(array(header("(2,)", descriptor)), name: "a/weights.v1.npy")
            #expect(reader.entries.isEmpty)
            #expect(reader.skipped[0].name == "weights.v1")
            #expect(reader.skipped[0].reason.contains(word))
        }
    }
}
