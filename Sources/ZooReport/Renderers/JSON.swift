import ZooBase

extension TableFormat {
    /// One JSON array with one object per row, an object per line. Every column's key is there in every object; a
    /// number that is not finite, or missing for a reason, is `null` with the reason beside it under `<key>_reason`.
    public static let json = TableFormat(name: "json", extensions: ["json"]) { output, _ in
        JSONSink(output, isArray: true)
    }

    /// The same objects, one per line, without the array.
    public static let jsonl = TableFormat(name: "jsonl", extensions: ["jsonl", "ndjson"]) { output, _ in
        JSONSink(output, isArray: false)
    }
}

final class JSONSink: TableSink {
    private var buffer: BufferedOutput
    private let isArray: Bool
    private var rowCount = 0
    /// `"key":` of each column and of its reason, ready to be copied.
    private var keys: [(value: [UInt8], reason: [UInt8])] = []

    init(_ output: any ByteOutput, isArray: Bool) {
        buffer = BufferedOutput(output)
        self.isArray = isArray
    }

    func begin(_ columns: [Table.Column]) throws {
        keys = columns.map { (Self.quotedKey($0.name), Self.quotedKey($0.reasonKey)) }
        if isArray { buffer.append("[") }
    }

    func append(_ row: [Table.Cell]) throws {
        if isArray { buffer.append(rowCount == 0 ? "\n" : ",\n") }
        rowCount += 1
        buffer.append("{")
        for (position, cell) in row.enumerated() {
            if position > 0 { buffer.append(",") }
            buffer.bytes.append(contentsOf: keys[position].value)
            value(cell)
            guard let reason = cell.reason else { continue }
            buffer.append(",")
            buffer.bytes.append(contentsOf: keys[position].reason)
            JSONValue.quote(reason, into: &buffer.bytes)
        }
        buffer.append(isArray ? "}" : "}\n")
        try buffer.drain()
    }

    func end() throws {
        if isArray { buffer.append(rowCount == 0 ? "]\n" : "\n]\n") }
        try buffer.flush()
    }

    private func value(_ cell: Table.Cell) {
        switch cell {
        case .text(let text): JSONValue.quote(text, into: &buffer.bytes)
        case .integer(let value): buffer.append(String(value))
        case .double(let value): buffer.append(value.isFinite ? value.description : "null")
        case .bool(let value): buffer.append(value ? "true" : "false")
        case .json(let value): buffer.append(value.text())
        case .missing: buffer.append("null")
        }
    }

    private static func quotedKey(_ name: String) -> [UInt8] {
        var bytes: [UInt8] = []
        JSONValue.quote(name, into: &bytes)
        return bytes + [UInt8(ascii: ":")]
    }
}
