import Testing
import ZooBase
import ZooFormats
import ZooTensor

@Suite struct GGUFTests {
    @Test func tensorsEqualTheReferencePackages() throws {
        let reader = try FormatOracle.check("gguf", "types.gguf")
        #expect(reader.skipped.map(\.name) == ["refused.iq4"])
        #expect(reader.skipped[0].reason.contains("IQ4_NL"))
    }

    @Test func keysAreRead() throws {
        let metadata = try GGUFReader(FormatOracle.bytes("gguf/types.gguf"), name: "types").metadata
        #expect(metadata["general.architecture"] == "llama")
        #expect(metadata["zoo.count"] == 7)
        #expect(metadata["zoo.negative"] == -5)
        #expect(metadata["zoo.huge"]?.double == 0x1p64)
        #expect(metadata["zoo.rate"] == 0.5)
        #expect(metadata["zoo.flag"] == true)
        #expect(metadata["zoo.text"] == "grüße")
        #expect(metadata["zoo.list"] == [1, 2, 3])
        #expect(metadata["zoo.tokens"] == ["array_of": "string", "count": 1500])
        #expect(metadata["zoo.scores"]?["count"] == 1200)
    }

    // MARK: Damage

    @Test func everyPrefixIsRefused() throws {
        // The last tensor's 34 bytes are padded to 64; without the padding nothing is lost.
        try Damage.prefixes(GGUFReader.self, "gguf/small.gguf", allowed: 258..<288)
        try Damage.prefixes(GGUFReader.self, "gguf/types.gguf", stride: 97, allowed: 34_800..<34_880)
    }

    @Test func damagedBytesDoNoHarm() throws {
        try Damage.singleBytes(GGUFReader.self, "gguf/small.gguf")
        try Damage.fuzz(GGUFReader.self, ["gguf/small.gguf"], iterations: 3000)
        try Damage.fuzz(GGUFReader.self, ["gguf/types.gguf"], iterations: 200)
    }

    /// Little-endian bytes of numbers and texts, as a header holds them.
    private struct Header {
        var bytes = Array("GGUF".utf8)
        init(version: UInt32 = 3, tensors: UInt64, keys: UInt64) {
            put(version)
            put(tensors)
            put(keys)
        }
        mutating func put<T: FixedWidthInteger>(_ value: T) {
            bytes += withUnsafeBytes(of: value.littleEndian, Array.init)
        }
        mutating func put(_ text: String) {
            put(UInt64(text.utf8.count))
            bytes += Array(text.utf8)
        }
        mutating func tensor(_ name: String, _ extents: [UInt64], type: UInt32 = 0, offset: UInt64 = 0) {
            put(name)
            put(UInt32(extents.count))
            for extent in extents { put(extent) }
            put(type)
            put(offset)
        }
        func refusal(data: Int = 64) throws -> ZooError? {
            let padding = (32 - bytes.count % 32) % 32 + data
            return try Damage.attempt(GGUFReader.self, Bytes(bytes + [UInt8](repeating: 0, count: padding)))
        }
    }

    @Test func hostileHeadersAreRefused() throws {
        var good = Header(tensors: 2, keys: 0)
        good.tensor("a", [4, 2])
        good.tensor("b", [4], offset: 32)
        #expect(try good.refusal() == nil)
        for (tensors, keys) in [(UInt64(1) << 60, UInt64(0)), (0, 1 << 60), (.max, 0), (0, .max)] {
            #expect(try Header(tensors: tensors, keys: keys).refusal()?.message.contains("announced") == true)
        }
        for version: UInt32 in [0, 1, 4, 3 << 24] {
            #expect(try Header(version: version, tensors: 0, keys: 0).refusal()?.code == .unsupported)
        }
        let tensors: [([UInt64], UInt32, UInt64)] = [
            ([1 << 60], 0, 0), ([1 << 63], 0, 0), ([.max, .max], 0, 0), ([4, 4, 4, 4, 4], 0, 0), ([4], 0, 64),
            ([4], 0, 1), ([4], 0, .max - 31), ([17], 0, 0), ([16], 2, 0), ([0, 1 << 62, 8], 0, 0),
        ]
        for (extents, type, offset) in tensors {
            var header = Header(tensors: 1, keys: 0)
            header.tensor("a", extents, type: type, offset: offset)
            #expect(try header.refusal() != nil, "read: \(extents) at \(offset)")
        }
        for second in ["a", "b"] {
            var header = Header(tensors: 2, keys: 0)
            header.tensor("a", [16])
            header.tensor(second, [4], offset: 32)
            #expect(try header.refusal()?.message.contains(second == "a" ? "twice" : "overlap") == true)
        }
    }

    @Test func hostileKeysAreRefused() throws {
        func refusal(_ fill: (inout Header) -> Void) throws -> ZooError? {
            var header = Header(tensors: 0, keys: 1)
            header.put("key")
            fill(&header)
            return try header.refusal()
        }
        #expect(
            try refusal {
                $0.put(UInt32(4)); $0.put(UInt32(1))
            } == nil)
        #expect(try refusal { $0.put(UInt32(13)) } != nil)
        #expect(
            try refusal {
                $0.put(UInt32(8)); $0.put(UInt64.max)
            } != nil)
        #expect(
            try refusal {
                $0.put(UInt32(9)); $0.put(UInt32(8)); $0.put(UInt64(1) << 60)
            } != nil)
        #expect(
            try refusal {
                $0.put(UInt32(9)); $0.put(UInt32(0)); $0.put(UInt64(1) << 60)
            } != nil)
        let nested = try refusal { header in
            for _ in 0..<100 {
                header.put(UInt32(9))
                header.put(UInt32(9))
                header.put(UInt64(1))
            }
        }
        #expect(nested != nil)
        var alignment = Header(tensors: 0, keys: 1)
        alignment.put("general.alignment")
        alignment.put(UInt32(4))
        alignment.put(UInt32(0))
        #expect(try alignment.refusal()?.message.contains("power of two") == true)
    }
}
