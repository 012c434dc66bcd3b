import CZlib
import Foundation

/// Reads what `ParquetSink` writes straight from the bytes, by the format's own description: Thrift structures as
/// dictionaries of field ids, pages, levels, values. Written apart from the writer and sharing nothing with it.
struct ParquetReader {
    indirect enum Thrift: Equatable {
        case int(Int)
        case bytes([UInt8])
        case list([Thrift])
        case fields([Int: Thrift])
        case flag(Bool)

        subscript(field: Int) -> Thrift? { if case .fields(let fields) = self { fields[field] } else { nil } }
        var int: Int? { if case .int(let value) = self { value } else { nil } }
        var list: [Thrift] { if case .list(let items) = self { items } else { [] } }
        var text: String? { if case .bytes(let bytes) = self { String(decoding: bytes, as: UTF8.self) } else { nil } }
        var bytes: [UInt8]? { if case .bytes(let bytes) = self { bytes } else { nil } }
    }

    enum Value: Equatable {
        case null
        case integer(Int64)
        case double(UInt64)
        case bool(Bool)
        case text(String)
    }

    struct Malformed: Error { let what: String }

    let bytes: [UInt8]
    let metadata: Thrift

    init(_ bytes: [UInt8]) throws {
        self.bytes = bytes
        guard bytes.prefix(4) == Array("PAR1".utf8)[...], bytes.suffix(4) == Array("PAR1".utf8)[...] else {
            throw Malformed(what: "magic")
        }
        let length = Self.little(bytes, bytes.count - 8, 4)
        var cursor = bytes.count - 8 - length
        metadata = try Self.structure(bytes, &cursor)
        guard cursor == bytes.count - 8 else { throw Malformed(what: "footer length") }
    }

    var columnNames: [String] { (metadata[2]?.list ?? []).dropFirst().compactMap { $0[4]?.text } }
    var groups: [Thrift] { metadata[4]?.list ?? [] }

    /// All values of a column, over all row groups.
    func values(_ column: Int) throws -> [Value] {
        try groups.flatMap { group in
            guard let chunk = group[1]?.list[column][3] else { throw Malformed(what: "chunk") }
            return try values(chunk)
        }
    }

    private func values(_ chunk: Thrift) throws -> [Value] {
        let physical = chunk[1]?.int ?? -1
        let isPacked = chunk[4]?.int == 2
        var dictionary: [Value] = []
        if let offset = chunk[11]?.int {
            let (header, page) = try self.page(offset, isPacked)
            guard header[1]?.int == 2, let count = header[7]?[1]?.int else { throw Malformed(what: "dictionary page") }
            dictionary = try Self.plain(page, 0, count, physical)
        }
        guard let offset = chunk[9]?.int else { throw Malformed(what: "data page offset") }
        let (header, page) = try self.page(offset, isPacked)
        guard header[1]?.int == 0, let count = header[5]?[1]?.int, count == chunk[5]?.int else {
            throw Malformed(what: "data page")
        }
        let levelBytes = Self.little(page, 0, 4)
        let levels = try Self.hybrid(page[4..<4 + levelBytes], bitWidth: 1, count)
        let present = levels.reduce(0, +)
        var body: [Value]
        switch header[5]?[2]?.int {
        case 0: body = try Self.plain(page, 4 + levelBytes, present, physical)
        case 8:
            let width = Int(page[4 + levelBytes])
            body = try Self.hybrid(page[(5 + levelBytes)...], bitWidth: width, present).map { dictionary[$0] }
        default: throw Malformed(what: "encoding")
        }
        body.reverse()
        return levels.map { $0 == 1 ? body.removeLast() : .null }
    }

    private func page(_ offset: Int, _ isPacked: Bool) throws -> (header: Thrift, payload: [UInt8]) {
        var cursor = offset
        let header = try Self.structure(bytes, &cursor)
        guard let plainSize = header[2]?.int, let storedSize = header[3]?.int else {
            throw Malformed(what: "page sizes")
        }
        let stored = Array(bytes[cursor..<cursor + storedSize])
        let payload = isPacked ? try Self.gunzip(stored, plainSize) : stored
        guard payload.count == plainSize else { throw Malformed(what: "page size") }
        return (header, payload)
    }

    // MARK: Encodings

    private static func plain(_ page: [UInt8], _ start: Int, _ count: Int, _ physical: Int) throws -> [Value] {
        var offset = start
        return try (0..<count).map { index in
            switch physical {
            case 0: return .bool(page[start + index / 8] >> UInt8(index % 8) & 1 == 1)
            case 2:
                offset += 8
                return .integer(Int64(truncatingIfNeeded: little(page, offset - 8, 8)))
            case 5:
                offset += 8
                return .double(UInt64(truncatingIfNeeded: little(page, offset - 8, 8)))
            case 6:
                let length = little(page, offset, 4)
                offset += 4 + length
                return .text(String(decoding: page[offset - length..<offset], as: UTF8.self))
            default: throw Malformed(what: "physical type")
            }
        }
    }

    static func hybrid(_ bytes: ArraySlice<UInt8>, bitWidth: Int, _ count: Int) throws -> [Int] {
        var values: [Int] = []
        var cursor = bytes.startIndex
        let all = Array(bytes)
        cursor = 0
        while values.count < count {
            let header = try varint(all, &cursor)
            if header & 1 == 0 {
                let width = (bitWidth + 7) / 8
                values += Array(repeating: little(all, cursor, width), count: header >> 1)
                cursor += width
            } else {
                for index in 0..<(header >> 1) * 8 {
                    var value = 0
                    for bit in 0..<bitWidth {
                        let position = index * bitWidth + bit
                        value |= Int(all[cursor + position / 8] >> UInt8(position % 8) & 1) << bit
                    }
                    values.append(value)
                }
                cursor += (header >> 1) * bitWidth
            }
        }
        guard cursor == all.count else { throw Malformed(what: "bytes after the last run") }
        return Array(values.prefix(count))
    }

    private static func gunzip(_ bytes: [UInt8], _ size: Int) throws -> [UInt8] {
        var stream = z_stream()
        guard inflateInit2_(&stream, 31, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
            throw Malformed(what: "inflateInit2")
        }
        defer { inflateEnd(&stream) }
        var source = bytes
        var output = [UInt8](repeating: 0, count: size + 1)
        let status = source.withUnsafeMutableBufferPointer { source in
            output.withUnsafeMutableBufferPointer { target in
                stream.next_in = source.baseAddress
                stream.avail_in = UInt32(source.count)
                stream.next_out = target.baseAddress
                stream.avail_out = UInt32(target.count)
                return inflate(&stream, Z_FINISH)
            }
        }
        guard status == Z_STREAM_END else { throw Malformed(what: "gzip") }
        return Array(output.prefix(Int(stream.total_out)))
    }

    // MARK: Thrift's compact protocol

    private static func structure(_ bytes: [UInt8], _ cursor: inout Int) throws -> Thrift {
        var fields: [Int: Thrift] = [:]
        var last = 0
        while true {
            let header = try byte(bytes, &cursor)
            if header == 0 { return .fields(fields) }
            let field = header >> 4 == 0 ? zigzag(try varint(bytes, &cursor)) : last + header >> 4
            fields[field] = try value(header & 0xF, bytes, &cursor)
            last = field
        }
    }

    private static func value(_ type: Int, _ bytes: [UInt8], _ cursor: inout Int) throws -> Thrift {
        switch type {
        case 1: return .flag(true)
        case 2: return .flag(false)
        case 4, 5, 6: return .int(zigzag(try varint(bytes, &cursor)))
        case 8:
            let length = try varint(bytes, &cursor)
            cursor += length
            guard cursor <= bytes.count else { throw Malformed(what: "binary length") }
            return .bytes(Array(bytes[cursor - length..<cursor]))
        case 9:
            let header = try byte(bytes, &cursor)
            let count = header >> 4 == 15 ? try varint(bytes, &cursor) : header >> 4
            return .list(try (0..<count).map { _ in try value(header & 0xF, bytes, &cursor) })
        case 12: return try structure(bytes, &cursor)
        default: throw Malformed(what: "thrift type \(type)")
        }
    }

    private static func byte(_ bytes: [UInt8], _ cursor: inout Int) throws -> Int {
        guard cursor < bytes.count else { throw Malformed(what: "end") }
        cursor += 1
        return Int(bytes[cursor - 1])
    }

    private static func varint(_ bytes: [UInt8], _ cursor: inout Int) throws -> Int {
        var value = 0
        var shift = 0
        while true {
            let next = try byte(bytes, &cursor)
            value |= (next & 0x7F) << shift
            if next < 0x80 { return value }
            shift += 7
        }
    }

    private static func zigzag(_ value: Int) -> Int { Int(bitPattern: UInt(bitPattern: value) >> 1) ^ -(value & 1) }

    private static func little(_ bytes: [UInt8], _ offset: Int, _ width: Int) -> Int {
        (0..<width).reduce(0) { $0 | Int(bytes[offset + $1]) << (8 * $1) }
    }
}
