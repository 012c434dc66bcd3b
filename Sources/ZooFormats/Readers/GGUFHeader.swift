import ZooBase

/// A cursor over the header of a GGUF file: little-endian numbers, strings with 64-bit lengths, typed values.
///
/// Source: the GGUF specification, versions 2 and 3. Every count is checked against the bytes left before anything
/// is done with it.
struct GGUFCursor {
    let bytes: Bytes
    private(set) var position = 0

    /// Arrays longer than this are summarised as their element type and count: vocabularies.
    static let longestListedArray = 1000
    /// Arrays of arrays deeper than this are refused.
    static let maximumDepth = 4

    init(_ bytes: Bytes) { self.bytes = bytes }

    private var remaining: Int { bytes.count - position }

    private func fault(_ what: String) -> ZooError { ZooError(.corrupt, "header at byte \(position): \(what)") }

    mutating func number<T: FixedWidthInteger>(_ type: T.Type = T.self) throws -> T {
        guard remaining >= MemoryLayout<T>.size else { throw fault("truncated: the file ends here") }
        let value: T = try bytes.littleEndian(at: position)
        position += MemoryLayout<T>.size
        return value
    }

    /// A 64-bit count of things that take at least `least` bytes each.
    mutating func count(of things: String, takingAtLeast least: Int) throws -> Int {
        let value: UInt64 = try number()
        guard value <= UInt64(remaining / least) else {
            throw fault("\(value) \(things) are announced, but only \(remaining) bytes follow")
        }
        return Int(value)
    }

    private mutating func skip(_ length: Int) throws {
        guard length <= remaining else { throw fault("truncated: needs \(length) bytes, found \(remaining)") }
        position += length
    }

    /// A string; bytes that are not UTF-8 become U+FFFD.
    mutating func string() throws -> String {
        let length = try count(of: "bytes of text", takingAtLeast: 1)
        let start = position
        try skip(length)
        return try bytes.slice(start, length).withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
    }

    /// A value of the metadata after its type number.
    mutating func value(_ type: UInt32, depth: Int = 0) throws -> JSONValue {
        switch type {
        case 0: return .int(Int64(try number(UInt8.self)))
        case 1: return .int(Int64(try number(Int8.self)))
        case 2: return .int(Int64(try number(UInt16.self)))
        case 3: return .int(Int64(try number(Int16.self)))
        case 4: return .int(Int64(try number(UInt32.self)))
        case 5: return .int(Int64(try number(Int32.self)))
        case 6: return .double(Double(Float(bitPattern: try number())))
        case 7: return .bool(try number(UInt8.self) != 0)
        case 8: return .string(try string())
        case 9: return try array(depth: depth)
        case 10:
            let value = try number(UInt64.self)
            return Int64(exactly: value).map { .int($0) } ?? .double(Double(value))
        case 11: return .int(try number(Int64.self))
        case 12: return .double(Double(bitPattern: try number()))
        default: throw fault("expected a value type of 0 to 12, found \(type)")
        }
    }

    private mutating func array(depth: Int) throws -> JSONValue {
        guard depth < Self.maximumDepth else { throw fault("arrays nested deeper than \(Self.maximumDepth)") }
        let type: UInt32 = try number()
        guard let width = Self.width(type) else { throw fault("expected an element type of 0 to 12, found \(type)") }
        let count = try count(of: "array elements", takingAtLeast: width.least)
        guard count > Self.longestListedArray else {
            var elements: [JSONValue] = []
            elements.reserveCapacity(count)
            for _ in 0..<count { elements.append(try value(type, depth: depth + 1)) }
            return .array(elements)
        }
        if width.isFixed {
            try skip(count * width.least)
        } else {
            for _ in 0..<count { try skipValue(type, depth: depth + 1) }
        }
        return ["array_of": .string(width.name), "count": .int(Int64(count))]
    }

    private mutating func skipValue(_ type: UInt32, depth: Int) throws {
        if type == 8 {
            try skip(try count(of: "bytes of text", takingAtLeast: 1))
        } else {
            _ = try value(type, depth: depth)
        }
    }

    private static func width(_ type: UInt32) -> (least: Int, isFixed: Bool, name: String)? {
        switch type {
        case 0: (1, true, "uint8")
        case 1: (1, true, "int8")
        case 2: (2, true, "uint16")
        case 3: (2, true, "int16")
        case 4: (4, true, "uint32")
        case 5: (4, true, "int32")
        case 6: (4, true, "float32")
        case 7: (1, true, "bool")
        case 8: (8, false, "string")
        case 9: (12, false, "array")
        case 10: (8, true, "uint64")
        case 11: (8, true, "int64")
        case 12: (8, true, "float64")
        default: nil
        }
    }
}
