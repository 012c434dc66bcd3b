import ZooBase
import ZooTensor

/// What an HDF5 file holds, as the child process that walked it reports.
///
/// The report comes from a process that a hostile file may have taken over, so it is parsed with the same mistrust as
/// the file: every length is checked, and ranges are checked against the file by whoever uses them.
struct HDF5Listing: Sendable {
    /// One dataset that can be read.
    struct Dataset: Sendable {
        /// Absolute, `/layers/dense/vars/0`.
        var path: String
        var dtype: DType
        var shape: Shape
        /// Bytes to swap together; 1 when the file is little-endian already.
        var swapWidth: Int
        /// Where the elements lie contiguous and unpacked; nil when the library has to read them.
        var offset: Int?
        /// Bytes that the elements take in the file.
        var storedBytes: Int
    }

    /// The value of an attribute.
    enum Attribute: Sendable {
        case texts([String], isScalar: Bool)
        case integers([Int64], isScalar: Bool)
        case numbers([Double], isScalar: Bool)
    }

    /// Groups in the order of the walk, `""` for the root.
    private(set) var groups: [String] = []
    /// Datasets in the order of the walk.
    private(set) var datasets: [Dataset] = []
    /// Objects and links that are not read.
    private(set) var skipped: [(name: String, reason: String)] = []
    /// Attributes of groups, by path and name.
    private(set) var attributes: [String: [(name: String, value: Attribute)]] = [:]
    /// What the library said when it gave up.
    private(set) var failure: String?
    /// Whether the walk came to its end.
    private(set) var isComplete = false

    /// Parses a report.
    ///
    /// - Throws: `corrupt` when it contradicts its own form.
    init(_ report: Bytes) throws {
        var cursor = Cursor(bytes: report)
        while cursor.position < report.count, !isComplete {
            switch try cursor.number(UInt8.self) {
            case UInt8(ascii: "G"): groups.append(try cursor.text())
            case UInt8(ascii: "D"): try addDataset(&cursor)
            case UInt8(ascii: "A"): try addAttribute(&cursor)
            case UInt8(ascii: "S"):
                let path = try cursor.text()
                skipped.append((Self.relative(path), try cursor.text()))
            case UInt8(ascii: "X"): failure = try cursor.text()
            case UInt8(ascii: "E"): isComplete = true
            default: throw ZooError(.corrupt, "the listing of the file makes no sense")
            }
        }
    }

    /// A path without its leading slash.
    static func relative(_ path: String) -> String { path.hasPrefix("/") ? String(path.dropFirst()) : path }

    /// The attribute of a group.
    func attribute(_ name: String, of group: String) -> Attribute? {
        attributes[group]?.first { $0.name == name }?.value
    }

    /// A list of texts, put together from `name0`, `name1` and so on when Keras had to split it: an attribute holds
    /// at most 64 kB.
    func texts(_ name: String, of group: String) -> [String]? {
        if case .texts(let texts, _) = attribute(name, of: group) { return texts }
        // h5py writes an empty list as numbers.
        if case .numbers(let numbers, _) = attribute(name, of: group), numbers.isEmpty { return [] }
        var all: [String] = []
        var part = 0
        while case .texts(let texts, _) = attribute("\(name)\(part)", of: group) {
            all += texts
            part += 1
        }
        return part > 0 ? all : nil
    }

    private mutating func addAttribute(_ cursor: inout Cursor) throws {
        let path = try cursor.text()
        let name = try cursor.text()
        let kind = try cursor.number(UInt8.self)
        let isScalar = try cursor.number(UInt8.self) != 0
        let count = Int(try cursor.number(UInt32.self))
        let value: Attribute
        switch kind {
        case 1: value = .texts(try cursor.list(count, least: 4) { try $0.text() }, isScalar: isScalar)
        case 2: value = .integers(try cursor.list(count, least: 8) { try $0.number() }, isScalar: isScalar)
        case 3:
            let numbers = try cursor.list(count, least: 8) { Double(bitPattern: try $0.number()) }
            value = .numbers(numbers, isScalar: isScalar)
        default: throw ZooError(.corrupt, "the listing of the file makes no sense")
        }
        attributes[path, default: []].append((name, value))
    }

    /// The numbers that describe an element type.
    private struct Element {
        var kind: UInt8
        var isSigned: Bool
        var isBigEndian: Bool
        var byteCount: Int
        var fields: [Int]
        var bias: UInt64

        var dtype: DType? {
            switch (kind, byteCount) {
            case (3, 1): .bool
            case (1, 1): isSigned ? .int8 : .uint8
            case (1, 2): isSigned ? .int16 : .uint16
            case (1, 4): isSigned ? .int32 : .uint32
            case (1, 8): isSigned ? .int64 : .uint64
            case (2, _): float(byteCount)
            case (4, 8): float(4) == .float32 ? .complex64 : nil
            case (4, 16): float(8) == .float64 ? .complex128 : nil
            default: nil
            }
        }

        /// Fields: positions of sign and exponent, exponent size, position and size of the significand.
        private func float(_ byteCount: Int) -> DType? {
            switch (byteCount, fields, bias) {
            case (2, [15, 10, 5, 0, 10], 15): .float16
            case (2, [15, 7, 8, 0, 7], 127): .bfloat16
            case (4, [31, 23, 8, 0, 23], 127): .float32
            case (8, [63, 52, 11, 0, 52], 1023): .float64
            default: nil
            }
        }

        var swapWidth: Int { isBigEndian ? (kind == 4 ? byteCount / 2 : byteCount) : 1 }
    }

    private mutating func addDataset(_ cursor: inout Cursor) throws {
        let path = try cursor.text()
        let kind = try cursor.number(UInt8.self)
        let isSigned = try cursor.number(UInt8.self) != 0
        let isBigEndian = try cursor.number(UInt8.self) != 0
        let byteCount = Int(try cursor.number(UInt32.self))
        let fields = try cursor.list(5, least: 2) { Int(try $0.number(UInt16.self)) }
        let element = Element(
            kind: kind, isSigned: isSigned, isBigEndian: isBigEndian, byteCount: byteCount, fields: fields,
            bias: try cursor.number())
        let rank = Int(try cursor.number(UInt8.self))
        let extents = try cursor.list(rank, least: 8) { try $0.number(UInt64.self) }
        let layout = try cursor.number(UInt8.self)
        let offset = try cursor.number(UInt64.self)
        let stored = try cursor.number(UInt64.self)
        let filters = try cursor.number(UInt8.self)
        guard let dtype = element.dtype else {
            skipped.append((Self.relative(path), "numbers of \(byteCount) bytes in this layout are not read"))
            return
        }
        let shape = try ZooError.locate(path) {
            try Shape(validating: extents.map { try Self.fitting($0, "an extent") })
        }
        let isInPlace = layout == 1 && filters == 0 && offset != .max
        datasets.append(
            Dataset(
                path: path, dtype: dtype, shape: shape, swapWidth: element.swapWidth,
                offset: isInPlace ? try Self.fitting(offset, "an offset") : nil,
                storedBytes: Int(clamping: stored)))
    }

    private static func fitting(_ value: UInt64, _ what: String) throws -> Int {
        guard let fits = Int(exactly: value) else { throw ZooError(.corrupt, "\(what) of \(value)") }
        return fits
    }
}

extension HDF5Listing {
    /// Reads the report: numbers in the machine's order, texts with 32-bit lengths.
    private struct Cursor {
        let bytes: Bytes
        var position = 0

        mutating func number<T: FixedWidthInteger>(_ type: T.Type = T.self) throws -> T {
            // `littleEndian` checks the range; the child wrote in this machine's own order.
            let value = T(littleEndian: try bytes.littleEndian(at: position))
            position += MemoryLayout<T>.size
            return value
        }

        mutating func text() throws -> String {
            let length = Int(try number(UInt32.self))
            let slice = try bytes.slice(position, length)
            position += length
            return slice.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
        }

        mutating func list<T>(_ count: Int, least: Int, _ element: (inout Cursor) throws -> T) throws -> [T] {
            guard count <= (bytes.count - position) / least else {
                throw ZooError(.corrupt, "the listing of the file is cut")
            }
            var elements: [T] = []
            elements.reserveCapacity(count)
            for _ in 0..<count { elements.append(try element(&self)) }
            return elements
        }
    }
}
