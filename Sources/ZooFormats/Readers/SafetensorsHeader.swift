import ZooBase
import ZooTensor

/// The JSON header of a safetensors file, scanned in one pass.
///
/// A general JSON value per tensor costs more than the rest of opening a file with ten thousand tensors, and an
/// object that keeps the last of equal keys would hide a repeated name; so the scan knows the shape of the header.
struct SafetensorsHeader {
    /// One tensor as the header states it.
    struct Item {
        var name: String
        var dtype: String
        var shape: [Int]
        var begin: Int
        var end: Int
    }

    /// The tensors in the order of the header.
    private(set) var items: [Item] = []
    /// The member `__metadata__`.
    private(set) var metadata = JSONObject()

    /// Scans a header.
    ///
    /// - Parameters:
    ///   - buffer: the header's bytes, padding included.
    ///   - offset: where they begin in the file, for messages.
    /// - Throws: `corrupt` with the byte offset of the first fault.
    init(_ buffer: UnsafeRawBufferPointer, offset: Int) throws {
        var scan = Scan(buffer: buffer, offset: offset)
        // A member takes some 60 bytes; a guess too small only costs a copy.
        items.reserveCapacity(buffer.count / 80)
        try scan.members { scan, key in
            if scan.text(key, is: "__metadata__") {
                metadata = try scan.textObject()
            } else {
                items.append(try Self.item(&scan, named: try scan.string(key)))
            }
        }
        try scan.end()
    }

    private static func item(_ scan: inout Scan, named name: String) throws -> Item {
        var dtype: String?
        var shape: [Int]?
        var offsets: (begin: Int, end: Int)?
        try scan.members { scan, key in
            let isRepeated: Bool
            if scan.text(key, is: "dtype") {
                isRepeated = dtype != nil
                dtype = try scan.string()
            } else if scan.text(key, is: "shape") {
                isRepeated = shape != nil
                var extents: [Int] = []
                try scan.integers { extents.append($0) }
                shape = extents
            } else if scan.text(key, is: "data_offsets") {
                isRepeated = offsets != nil
                offsets = try scan.pair(of: "data_offsets", name)
            } else {
                isRepeated = false
                _ = try scan.anything()
            }
            if isRepeated { throw scan.fault("tensor '\(name)' states one of its properties twice") }
        }
        guard let dtype else { throw scan.fault("tensor '\(name)' has no dtype") }
        guard let shape else { throw scan.fault("tensor '\(name)' has no shape") }
        guard let offsets else { throw scan.fault("tensor '\(name)' has no data_offsets") }
        return Item(name: name, dtype: dtype, shape: shape, begin: offsets.begin, end: offsets.end)
    }

    /// The element type of a safetensors dtype; nil for those that are not read.
    static func type(_ code: String) -> DType? {
        switch code {
        case "F32": .float32
        case "BF16": .bfloat16
        case "F16": .float16
        case "F64": .float64
        case "I64": .int64
        case "I32": .int32
        case "I16": .int16
        case "I8": .int8
        case "U8": .uint8
        case "BOOL": .bool
        case "U16": .uint16
        case "U32": .uint32
        case "U64": .uint64
        case "F8_E4M3": .float8E4M3
        case "F8_E5M2": .float8E5M2
        case "C64": .complex64
        default: nil
        }
    }

    /// The safetensors dtype of an element type; nil when the format has none (double complex).
    static func code(_ type: DType) -> String? {
        switch type {
        case .float32: "F32"
        case .bfloat16: "BF16"
        case .float16: "F16"
        case .float64: "F64"
        case .int64: "I64"
        case .int32: "I32"
        case .int16: "I16"
        case .int8: "I8"
        case .uint8: "U8"
        case .bool: "BOOL"
        case .uint16: "U16"
        case .uint32: "U32"
        case .uint64: "U64"
        case .float8E4M3: "F8_E4M3"
        case .float8E5M2: "F8_E5M2"
        case .complex64: "C64"
        case .complex128: nil
        }
    }
}
