import ZooBase

/// Reads `progress.csv`, the fallback where `result.json` is missing: a header from the first report, then a line per
/// report; text in double quotes may hold commas, quotes (doubled) and line breaks.
struct ProgressTable {
    private(set) var gatherer: ResultGatherer
    private(set) var isTruncated = false
    private(set) var notes = JSONObject()

    init(keys: ResultKeys) { gatherer = ResultGatherer(keys: keys) }

    /// Reads a whole file.
    mutating func read(_ buffer: UnsafeRawBufferPointer) throws {
        var cursor = CSVCursor(buffer)
        guard let header = cursor.record() else { return }
        var names = header
        if let first = names.first, first.unicodeScalars.first == "\u{FEFF}" {
            names[0] = String(first.unicodeScalars.dropFirst())
        }
        let meanings = names.map { name in name.hasPrefix("config/") ? nil : gatherer.keys.meaning(name) }
        while !gatherer.isFull, let fields = cursor.record() {
            if cursor.line & 0x3FF == 0 { try Cancellation.check() }
            if fields.count == 1, fields[0].isEmpty { continue }
            if cursor.isAtEnd, !cursor.isClosed || fields.count < names.count && !cursor.endedWithLineBreak {
                isTruncated = true
                break
            }
            take(fields, names, meanings, line: cursor.line)
        }
    }

    private mutating func take(_ fields: [String], _ names: [String], _ meanings: [ResultKeyMeaning?], line: Int) {
        if fields.count != names.count {
            gatherer.problem(line, "\(fields.count) fields; expected \(names.count)")
            return
        }
        gatherer.beginRow()
        var lineNotes = JSONObject()
        for (index, field) in fields.enumerated() {
            guard let meaning = meanings[index], !field.isEmpty else { continue }
            if case .bookkeeping = meaning {
                if field.utf8.count <= 4096 { lineNotes[names[index]] = Self.note(field) }
            } else if field.utf8.count <= 64, let value = Double(field) {
                gatherer.take(value, as: meaning, key: names[index])
            }
        }
        if gatherer.endRow(line: line) { notes = lineNotes }
    }

    private static func note(_ field: String) -> JSONValue {
        switch field {
        case "True": .bool(true)
        case "False": .bool(false)
        default: Int64(field).map(JSONValue.int) ?? Double(field).map(JSONValue.double) ?? .string(field)
        }
    }
}

/// Splits CSV text into records (RFC 4180).
private struct CSVCursor {
    /// The most fields of a record.
    static let maximumFieldCount = 65_536

    private let buffer: UnsafeRawBufferPointer
    private var position = 0
    /// Number of the record read last, the header being 1.
    private(set) var line = 0
    /// Whether the last record's quotes were closed.
    private(set) var isClosed = true
    private(set) var endedWithLineBreak = true

    init(_ buffer: UnsafeRawBufferPointer) { self.buffer = buffer }

    var isAtEnd: Bool { position >= buffer.count }

    /// The next record; nil at the end.
    mutating func record() -> [String]? {
        guard !isAtEnd else { return nil }
        line += 1
        var fields: [String] = []
        while true {
            let text = field()
            if fields.count < Self.maximumFieldCount { fields.append(text) }
            endedWithLineBreak = false
            guard !isAtEnd else { return fields }
            let byte = buffer[position]
            position += 1
            if byte == UInt8(ascii: ",") {
                if isAtEnd { fields.append("") } else { continue }
                return fields
            }
            endedWithLineBreak = true
            return fields
        }
    }

    private mutating func field() -> String {
        isClosed = true
        var bytes: [UInt8] = []
        if !isAtEnd, buffer[position] == UInt8(ascii: "\"") { quoted(&bytes) }
        let start = position
        while !isAtEnd, buffer[position] != UInt8(ascii: ","), buffer[position] != 10 { position += 1 }
        bytes += buffer[start..<position]
        if bytes.last == 13 { bytes.removeLast() }
        return String(decoding: bytes, as: UTF8.self)
    }

    private mutating func quoted(_ bytes: inout [UInt8]) {
        isClosed = false
        position += 1
        while !isAtEnd {
            let byte = buffer[position]
            position += 1
            if byte != UInt8(ascii: "\"") {
                bytes.append(byte)
            } else if !isAtEnd, buffer[position] == UInt8(ascii: "\"") {
                bytes.append(byte)
                position += 1
            } else {
                isClosed = true
                return
            }
        }
    }
}
