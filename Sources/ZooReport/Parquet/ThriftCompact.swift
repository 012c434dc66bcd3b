/// Writes structures in Thrift's compact protocol, the part that Parquet's metadata uses.
///
/// Layout of a field: a byte with the distance to the previous field id in the upper half (zero: the id follows as a
/// zigzag varint) and the type in the lower; then the value. A structure ends with a zero byte. Integers are zigzag
/// varints, binaries are a varint length and the bytes, lists a byte with count and element type (count 15 and more:
/// 0xF in the upper half, then a varint).
struct ThriftCompact {
    private(set) var bytes: [UInt8] = []
    private var lastField: Int16 = 0

    private enum WireType: UInt8 {
        case i16 = 4
        case i32 = 5
        case i64 = 6
        case binary = 8
        case list = 9
        case structure = 12
    }

    mutating func i16(_ field: Int16, _ value: Int) { integer(field, .i16, Int64(value)) }

    mutating func i32(_ field: Int16, _ value: Int) { integer(field, .i32, Int64(value)) }

    mutating func i64(_ field: Int16, _ value: Int) { integer(field, .i64, Int64(value)) }

    mutating func binary(_ field: Int16, _ value: some Collection<UInt8>) {
        header(field, .binary)
        blob(value)
    }

    mutating func text(_ field: Int16, _ value: String) { binary(field, Array(value.utf8)) }

    mutating func structure(_ field: Int16, _ write: (inout ThriftCompact) -> Void) {
        header(field, .structure)
        nested(write)
    }

    mutating func list<T>(_ field: Int16, of items: [T], _ write: (T, inout ThriftCompact) -> Void) {
        listHeader(field, count: items.count, .structure)
        for item in items { nested { write(item, &$0) } }
    }

    mutating func list(_ field: Int16, i32 items: [Int]) {
        listHeader(field, count: items.count, .i32)
        for item in items { varint(Self.zigzag(Int64(item))) }
    }

    mutating func list(_ field: Int16, text items: [String]) {
        listHeader(field, count: items.count, .binary)
        for item in items { blob(Array(item.utf8)) }
    }

    /// Ends the outermost structure.
    mutating func end() { bytes.append(0) }

    private mutating func nested(_ write: (inout ThriftCompact) -> Void) {
        let outer = lastField
        lastField = 0
        write(&self)
        bytes.append(0)
        lastField = outer
    }

    private mutating func integer(_ field: Int16, _ type: WireType, _ value: Int64) {
        header(field, type)
        varint(Self.zigzag(value))
    }

    private mutating func header(_ field: Int16, _ type: WireType) {
        let distance = field - lastField
        if distance > 0, distance < 16 {
            bytes.append(UInt8(distance) << 4 | type.rawValue)
        } else {
            bytes.append(type.rawValue)
            varint(Self.zigzag(Int64(field)))
        }
        lastField = field
    }

    private mutating func listHeader(_ field: Int16, count: Int, _ type: WireType) {
        header(field, .list)
        if count < 15 {
            bytes.append(UInt8(count) << 4 | type.rawValue)
        } else {
            bytes.append(0xF0 | type.rawValue)
            varint(UInt64(count))
        }
    }

    private mutating func blob(_ value: some Collection<UInt8>) {
        varint(UInt64(value.count))
        bytes.append(contentsOf: value)
    }

    private mutating func varint(_ value: UInt64) { bytes.appendVarint(value) }

    private static func zigzag(_ value: Int64) -> UInt64 { UInt64(bitPattern: value << 1 ^ value >> 63) }
}

extension [UInt8] {
    /// Appends an unsigned LEB128 number.
    mutating func appendVarint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        append(UInt8(rest))
    }

    /// Appends an integer, least significant byte first.
    mutating func appendLittleEndian<T: FixedWidthInteger>(_ value: T) {
        Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
    }
}
