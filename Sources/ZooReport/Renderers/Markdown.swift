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

    /// A bar would end the cell; line ends would end the row; `<`, `*`, `` ` `` and an underscore that is not inside a
    /// word could become markup.
    private func escape(_ text: String) -> String {
        var escaped = ""
        var isAfterWord = false
        let scalars = Array(text.unicodeScalars)
        for (position, scalar) in scalars.enumerated() {
            let isWord = scalar.properties.isAlphabetic || scalar.properties.numericType != nil
            switch scalar {
            case "|", "*", "`", "\\", "[", "]": escaped += "\\\(scalar)"
            case "_":
                let next = position + 1 < scalars.count ? scalars[position + 1].properties : nil
                let isInside = isAfterWord && (next?.isAlphabetic == true || next?.numericType != nil)
                escaped += isInside ? "_" : "\\_"
            case "<": escaped += "&lt;"
            case "\n", "\r", "\t": escaped += " "
            default: escaped.unicodeScalars.append(scalar)
            }
            isAfterWord = isWord
        }
        return escaped
    }
}
