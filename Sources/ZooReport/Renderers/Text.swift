import ZooBase

extension TableFormat {
    /// Aligned columns for people. Column widths are those of the first 1000 rows; a later, wider cell pushes its own
    /// row aside. On a terminal the widest columns are cut until rows fit, paths in their middle.
    public static let text = TableFormat(name: "text", extensions: ["txt"]) { output, options in
        TextSink(output, options)
    }
}

final class TextSink: TableSink {
    /// Rows that are looked at before the first line is written.
    private static let sampleLimit = 1000
    private static let gap = "  "
    /// No column is cut below this many terminal columns.
    private static let narrowest = 8

    private var buffer: BufferedOutput
    private let options: RenderOptions
    private var columns: [Table.Column] = []
    private var sample: [[Table.Cell]] = []
    private var formats: [CellFormat] = []
    private var widths: [Int]?

    init(_ output: any ByteOutput, _ options: RenderOptions) {
        buffer = BufferedOutput(output)
        self.options = options
    }

    func begin(_ columns: [Table.Column]) throws { self.columns = columns }

    func append(_ row: [Table.Cell]) throws {
        if let widths {
            try write(row, widths)
        } else {
            sample.append(row)
            if sample.count >= Self.sampleLimit { try writeSample() }
        }
    }

    func end() throws {
        if widths == nil { try writeSample() }
        try buffer.flush()
    }

    private func writeSample() throws {
        formats = columns.enumerated().map { position, column in
            CellFormat(column, seeing: sample.lazy.map { $0[position] })
        }
        var natural = formats.map { DisplayWidth.of($0.heading) }
        for row in sample {
            for (position, cell) in row.enumerated() {
                natural[position] = max(natural[position], DisplayWidth.of(formats[position].text(cell)))
            }
        }
        let fitted = fit(natural)
        widths = fitted
        try line(formats.map(\.heading), fitted, styled: "1")
        for row in sample { try write(row, fitted) }
        sample = []
    }

    /// Takes columns off the widest ones, paths and text before numbers, until a row fits the terminal.
    private func fit(_ natural: [Int]) -> [Int] {
        guard let terminal = options.width else { return natural }
        var widths = natural
        var excess = natural.reduce(0, +) + Self.gap.utf8.count * max(0, natural.count - 1) - terminal
        let cuttable = columns.indices.filter { columns[$0].kind == .text || columns[$0].kind == .json }
        while excess > 0 {
            guard let widest = cuttable.max(by: { widths[$0] < widths[$1] }), widths[widest] > Self.narrowest else {
                break
            }
            widths[widest] -= 1
            excess -= 1
        }
        return widths
    }

    private func write(_ row: [Table.Cell], _ widths: [Int]) throws {
        let fields = row.enumerated().map { position, cell in
            let text = formats[position].text(cell)
            // Only a terminal cuts; elsewhere a wide cell makes a wide line and nothing is lost.
            guard options.width != nil else { return text }
            guard columns[position].kind == .text || columns[position].kind == .json else { return text }
            return columns[position].isPath
                ? DisplayWidth.cutMiddle(text, to: widths[position]) : DisplayWidth.cutEnd(text, to: widths[position])
        }
        try line(fields, widths, styled: nil)
    }

    private func line(_ fields: [String], _ widths: [Int], styled style: String?) throws {
        var text = ""
        for (position, field) in fields.enumerated() {
            if position > 0 { text += Self.gap }
            let padding = String(repeating: " ", count: max(0, widths[position] - DisplayWidth.of(field)))
            switch columns[position].alignment {
            case .right: text += padding + field
            case .left: text += position == fields.count - 1 ? field : field + padding
            }
        }
        if options.color, let style { text = "\u{1B}[\(style)m\(text)\u{1B}[0m" }
        buffer.append(text + "\n")
        try buffer.drain()
    }
}
