import ZooBase

extension TableFormat {
    /// A table in GitHub's Markdown, numbers as people read them, columns not padded.
    public static let markdown = TableFormat(name: "markdown", extensions: ["md", "markdown"]) { output, _ in
        MarkdownSink(output)
    }
}

final class MarkdownSink: TableSink {
    private var buffer: BufferedOutput
    private var formats: [CellFormat] = []

    init(_ output: any ByteOutput) { buffer = BufferedOutput(output) }

    func begin(_ columns: [Table.Column]) throws {
        formats = columns.map { CellFormat($0) }
        try line(formats.map { escape($0.heading) })
        try line(columns.map { $0.alignment == .right ? "---:" : "---" })
    }

    func append(_ row: [Table.Cell]) throws {
        try line(zip(row, formats).map { escape($1.text($0)) })
    }

    func end() throws { try buffer.flush() }

    private func line(_ fields: [String]) throws {
        buffer.append("| " + fields.joined(separator: " | ") + " |\n")
        try buffer.drain()
    }

    /// A bar would end the cell; line ends would end the row; `<`, `*`, `_` and `` ` `` could become markup.
    private func escape(_ text: String) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "|", "*", "_", "`", "\\", "[", "]": escaped += "\\\(scalar)"
            case "<": escaped += "&lt;"
            case "\n", "\r", "\t": escaped += " "
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }
}
