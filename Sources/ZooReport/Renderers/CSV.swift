import ZooBase

extension TableFormat {
    /// Comma-separated values as RFC 4180 has them, with `\n` or `\r\n` inside quotes left as they are and `\r\n` at
    /// the end of each record. Missing cells are empty, an empty text is `""`; numbers that are not finite are `NaN`,
    /// `inf`, `-inf`, which pandas, R and NumPy read back.
    public static let csv = TableFormat(name: "csv", extensions: ["csv"]) { output, _ in CSVSink(output) }
}

final class CSVSink: TableSink {
    private var buffer: BufferedOutput

    init(_ output: any ByteOutput) { buffer = BufferedOutput(output) }

    func begin(_ columns: [Table.Column]) throws { try record(columns) { quote($0.name) } }

    func append(_ row: [Table.Cell]) throws { try record(row, field) }

    func end() throws { try buffer.flush() }

    private func record<T>(_ items: [T], _ write: (T) -> Void) throws {
        for (position, item) in items.enumerated() {
            if position > 0 { buffer.append(",") }
            write(item)
        }
        buffer.append("\r\n")
        try buffer.drain()
    }

    private func field(_ cell: Table.Cell) {
        switch cell {
        case .text(let text): quote(text)
        case .integer(let value): buffer.append(String(value))
        case .double(let value): buffer.append(value.isFinite ? value.description : Table.Cell.name(nonFinite: value))
        case .bool(let value): buffer.append(value ? "true" : "false")
        case .json(let value): quote(value.text())
        case .missing: break
        }
    }

    private func quote(_ text: String) {
        let special: (UInt8) -> Bool = { $0 == 0x22 || $0 == 0x2C || $0 == 0x0A || $0 == 0x0D }
        guard text.isEmpty || text.utf8.contains(where: special) else { return buffer.append(text) }
        buffer.append("\"")
        for byte in text.utf8 {
            if byte == UInt8(ascii: "\"") { buffer.append("\"") }
            buffer.bytes.append(byte)
        }
        buffer.append("\"")
    }
}
