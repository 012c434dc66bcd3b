import ZooTensor

/// How the elements of a GGUF tensor are stored, by the number in the file.
struct GGUFType: Sendable, Hashable {
    /// The number in the file.
    let code: UInt32

    /// Elements and bytes of one block, for types that can be read.
    var block: (elements: Int, byteCount: Int)? {
        if let plain { return (1, plain.byteCount) }
        return switch code {
        case 2: (32, 18)
        case 3: (32, 20)
        case 6: (32, 22)
        case 7: (32, 24)
        case 8: (32, 34)
        case 10: (256, 84)
        case 11: (256, 110)
        case 12: (256, 144)
        case 13: (256, 176)
        case 14: (256, 210)
        default: nil
        }
    }

    /// The element type of numbers stored one by one.
    var plain: DType? {
        switch code {
        case 0: .float32
        case 1: .float16
        case 24: .int8
        case 25: .int16
        case 26: .int32
        case 27: .int64
        case 28: .float64
        case 30: .bfloat16
        default: nil
        }
    }

    /// The name that the GGML project gives the type.
    var name: String {
        let names: [UInt32: String] = [
            0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 4: "Q4_2", 5: "Q4_3", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 9: "Q8_1",
            10: "Q2_K", 11: "Q3_K", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS",
            18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16",
            26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M", 30: "BF16", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4",
            40: "NVFP4",
        ]
        return names[code] ?? "number \(code)"
    }
}
