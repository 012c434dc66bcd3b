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
            guard key != "__metadata__" else {
                metadata = try scan.textObject()
                return
            }
            items.append(try Self.item(&scan, named: key))
        }
        try scan.end()
    }

    private static func item(_ scan: inout Scan, named name: String) throws -> Item {
        var dtype: String?
        var shape: [Int]?
        var offsets: [Int]?
        try scan.members { scan, key in
            let isRepeated: Bool
            switch key {
            case "dtype":
                isRepeated = dtype != nil
                dtype = try scan.string()
            case "shape":
                isRepeated = shape != nil
                shape = try scan.integers()
            case "data_offsets":
                isRepeated = offsets != nil
                offsets = try scan.integers()
            default:
                isRepeated = false
                _ = try scan.anything()
            }
            if isRepeated { throw scan.fault("tensor '\(name)' states its \(key) twice") }
        }
        guard let dtype else { throw scan.fault("tensor '\(name)' has no dtype") }
        guard let shape else { throw scan.fault("tensor '\(name)' has no shape") }
        guard let offsets, offsets.count == 2 else {
            throw scan.fault("tensor '\(name)' needs two data_offsets, found \(offsets?.count ?? 0)")
        }
        return Item(name: name, dtype: dtype, shape: shape, begin: offsets[0], end: offsets[1])
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

extension SafetensorsHeader {
    /// A cursor over JSON text that knows what must come next.
    fileprivate struct Scan {
        let buffer: UnsafeRawBufferPointer
        let offset: Int
        var position = 0

        func fault(_ what: String) -> ZooError {
            ZooError(.corrupt, "header at byte \(offset + position): \(what)")
        }

        private mutating func skipSpace() {
            while position < buffer.count {
                switch buffer[position] {
                case 0x20, 0x09, 0x0A, 0x0D: position += 1
                default: return
                }
            }
        }

        /// Takes a punctuation mark if it comes next.
        private mutating func take(_ mark: Unicode.Scalar) -> Bool {
            skipSpace()
            guard position < buffer.count, buffer[position] == UInt8(ascii: mark) else { return false }
            position += 1
            return true
        }

        private mutating func expect(_ mark: Unicode.Scalar) throws {
            guard take(mark) else { throw fault("expected '\(mark)', found \(found)") }
        }

        private var found: String {
            guard position < buffer.count else { return "the end of the header" }
            let byte = buffer[position]
            return 0x20..<0x7F ~= byte ? "'\(Unicode.Scalar(byte))'" : "byte \(byte)"
        }

        /// Calls `body` at the value of each member of an object.
        mutating func members(_ body: (inout Scan, String) throws -> Void) throws {
            try expect("{")
            if take("}") { return }
            while true {
                skipSpace()
                let key = try string()
                try expect(":")
                skipSpace()
                try body(&self, key)
                if take(",") { continue }
                try expect("}")
                return
            }
        }

        mutating func end() throws {
            skipSpace()
            guard position == buffer.count else { throw fault("expected the end of the header, found \(found)") }
        }

        mutating func string() throws -> String {
            guard position < buffer.count, buffer[position] == UInt8(ascii: "\"") else {
                throw fault("expected a string, found \(found)")
            }
            let start = position
            try skipString()
            let quoted = UnsafeRawBufferPointer(rebasing: buffer[start..<position])
            let inner = UnsafeRawBufferPointer(rebasing: quoted[1..<(quoted.count - 1)])
            if !inner.contains(where: { $0 == UInt8(ascii: "\\") || $0 < 0x20 }),
                let text = String(validating: inner, as: UTF8.self)
            {
                return text
            }
            guard
                case .string(let text) = try ZooError.locate(
                    "header at byte \(offset + start)", { try JSONParser.parse(quoted) })
            else { throw fault("expected a string") }
            return text
        }

        private mutating func skipString() throws {
            position += 1
            while position < buffer.count {
                switch buffer[position] {
                case UInt8(ascii: "\""):
                    position += 1
                    return
                case UInt8(ascii: "\\"): position += 2
                default: position += 1
                }
            }
            position = buffer.count
            throw fault("a string is not closed")
        }

        /// A list of integers that are not negative.
        mutating func integers() throws -> [Int] {
            try expect("[")
            var numbers: [Int] = []
            if take("]") { return numbers }
            while true {
                skipSpace()
                numbers.append(try integer())
                if take(",") { continue }
                try expect("]")
                return numbers
            }
        }

        private mutating func integer() throws -> Int {
            let start = position
            var value = 0
            while position < buffer.count, buffer[position] &- 0x30 < 10 {
                guard let scaled = multiplied(value, 10) else { throw fault("a number beyond 64 bits") }
                let (sum, overflow) = scaled.addingReportingOverflow(Int(buffer[position] &- 0x30))
                if overflow { throw fault("a number beyond 64 bits") }
                value = sum
                position += 1
            }
            guard position > start else { throw fault("expected a whole number of 0 or more, found \(found)") }
            return value
        }

        /// Any JSON value, parsed.
        mutating func anything() throws -> JSONValue {
            let start = position
            var depth = 0
            repeat {
                guard position < buffer.count else { throw fault("a value is not closed") }
                switch buffer[position] {
                case UInt8(ascii: "\""): try skipString()
                case UInt8(ascii: "{"), UInt8(ascii: "["):
                    depth += 1
                    position += 1
                case UInt8(ascii: "}"), UInt8(ascii: "]"):
                    depth -= 1
                    position += 1
                default: position += 1
                }
            } while depth > 0 || !atValueEnd
            let text = UnsafeRawBufferPointer(rebasing: buffer[start..<position])
            return try ZooError.locate("header at byte \(offset + start)") { try JSONParser.parse(text) }
        }

        private var atValueEnd: Bool {
            guard position < buffer.count else { return true }
            switch buffer[position] {
            case UInt8(ascii: ","), UInt8(ascii: "}"), UInt8(ascii: "]"): return true
            default: return false
            }
        }

        /// An object, as `__metadata__` must be.
        mutating func textObject() throws -> JSONObject {
            let start = position
            guard case .object(let object) = try anything() else {
                position = start
                throw fault("expected __metadata__ to be an object, found \(found)")
            }
            return object
        }
    }
}
