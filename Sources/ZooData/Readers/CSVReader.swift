import ZooBase
import ZooNN
import ZooTensor

/// Reads comma-separated values (RFC 4180): one file, or `train.csv`, `test.csv` … of a folder.
///
/// A first row with a field that is no number is a header. The label is the column asked for, else the one called
/// `label`, `class`, `target` or `y`, else the last; its values are whole numbers, or names that are numbered in sorted
/// order. All other columns are inputs, taken as they are.
public enum CSVReader: DatasetReader {
    /// `csv`.
    public static let format = "csv"
    /// Columns of one file.
    private static let columnLimit = 1 << 20
    private static let labelNames = ["label", "class", "target", "y"]

    /// Whether names end in `.csv`; the format has no other mark.
    public static func accepts(_ place: DataPlace) -> Bool {
        switch place {
        case .file(let file): file.baseName.hasSuffix(".csv")
        case .folder(let folder): !paths(folder).isEmpty
        }
    }

    private static func paths(_ folder: DataFolder) -> [String] {
        folder.paths { $0.lowercased().hasSuffix(".csv") && SplitName.of($0) != nil }
    }

    /// The splits, each wholly parsed: only reading tells counts.
    public static func splits(_ place: DataPlace, _ options: DataOptions) throws -> [StoredSplit] {
        let files: [DataFile]
        switch place {
        case .file(let file): files = [file]
        case .folder(let folder): files = try paths(folder).map { try folder.file($0) }
        }
        let tables = try files.map { file in
            (file: file, table: try ZooError.locate(file.name) { try CSVTable(file.bytes, label: options.labels) })
        }
        // Names are numbered over all files, so that a class missing in one of them does not shift the others.
        let names = tables.contains { $0.table.names != nil } ? Set(tables.flatMap { $0.table.texts }).sorted() : []
        return try tables.map { file, table in
            let labels = try ZooError.locate(file.name) { try table.labels(names) }
            let split = DatasetSplit(
                name: file.splitName ?? "all", count: table.count, inputShape: [table.width], classNames: names)
            return StoredSplit(split, dtype: .float32) {
                StoredSamples(
                    inputs: Tensor(table.values, shape: [table.count, table.width]), labels: .labels(labels))
            }
        }
    }

    fileprivate static func labelColumn(_ header: [String]?, count: Int, wanted: String?) throws -> Int {
        if let wanted {
            if let column = header?.firstIndex(of: wanted) { return column }
            throw ZooError(
                .notFound, "there is no column '\(wanted)'",
                hint: header.map { NearestName.hint(wanted, in: $0, kind: "columns") } ?? "the file has no header")
        }
        return labelNames.lazy.compactMap { name in header?.firstIndex { $0.lowercased() == name } }.first ?? count - 1
    }

    fileprivate static var mostColumns: Int { columnLimit }
}

/// A parsed file.
private struct CSVTable: Sendable {
    var values: [Float] = []
    /// The labels as written.
    var texts: [String] = []
    /// Not nil when a label is no whole number.
    var names: Set<String>?
    var width = 0
    var count: Int { texts.count }

    init(_ bytes: Bytes, label: String?) throws {
        var rows = CSVRows(bytes)
        guard let first = try rows.next() else { throw ZooError(.notFound, "the file has no rows") }
        let isHeader = first.contains { Float($0) == nil }
        let isNamedLabel = isHeader && first.dropLast().allSatisfy { Float($0) != nil }
        let header = isHeader && !isNamedLabel ? first : nil
        let column = try CSVReader.labelColumn(header, count: first.count, wanted: label)
        width = first.count - 1
        guard width > 0 else { throw ZooError(.mismatch, "one column only; a row has inputs and a label") }
        if header == nil { try append(first, column, line: 1) }
        while let row = try rows.next() {
            guard row.count == width + 1 else {
                throw ZooError(.corrupt, "line \(rows.line): \(row.count) fields; the first row has \(width + 1)")
            }
            try append(row, column, line: rows.line)
        }
        guard count > 0 else { throw ZooError(.notFound, "the file has a header and no rows") }
    }

    private mutating func append(_ row: [String], _ column: Int, line: Int) throws {
        for (index, field) in row.enumerated() where index != column {
            guard let value = Float(field.trimmingSpaces), value.isFinite else {
                throw ZooError(
                    .mismatch, "line \(line), column \(index + 1): '\(field.prefix(40))' is no finite number")
            }
            values.append(value)
        }
        let text = row[column].trimmingSpaces
        guard !text.isEmpty else { throw ZooError(.mismatch, "line \(line): no label") }
        texts.append(text)
        if whole(text) == nil { names = (names ?? []).union([text]) }
    }

    private func whole(_ text: String) -> Int? { Int(text) ?? Double(text).flatMap { Int(exactly: $0) } }

    func labels(_ names: [String]) throws -> [Int] {
        guard !names.isEmpty else { return texts.compactMap(whole) }
        if texts.allSatisfy({ Double($0) != nil }) {
            throw ZooError(
                .mismatch, "the label '\(self.names?.min() ?? texts[0])' is neither a whole number nor a name",
                hint: "name the column of the classes with --labels")
        }
        let positions = Dictionary(uniqueKeysWithValues: names.enumerated().map { ($1, $0) })
        return texts.map { positions[$0] ?? 0 }
    }
}

/// The rows of a CSV text.
private struct CSVRows {
    private let bytes: Bytes
    private var position = 0
    /// The line that the last row began on, from 1.
    private(set) var line = 0
    private var nextLine = 1

    init(_ bytes: Bytes) {
        self.bytes = bytes
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { position = 3 }
    }

    /// The next row that is not empty.
    mutating func next() throws -> [String]? {
        while position < bytes.count {
            line = nextLine
            if line % 4096 == 0 { try Cancellation.check() }
            let row = try fields()
            if row.count > 1 || row.first?.isEmpty == false { return row }
        }
        return nil
    }

    private mutating func fields() throws -> [String] {
        var row: [String] = []
        while true {
            row.append(try field())
            guard row.count <= CSVReader.mostColumns else {
                throw ZooError(.limit, "line \(line): more than \(CSVReader.mostColumns) columns")
            }
            guard position < bytes.count else { return row }
            let byte = bytes[position]
            position += 1
            if byte == 0x2C { continue }
            if byte == 0x0D, position < bytes.count, bytes[position] == 0x0A { position += 1 }
            nextLine += 1
            return row
        }
    }

    private mutating func field() throws -> String {
        if position < bytes.count, bytes[position] == 0x22 { return try quoted() }
        let start = position
        while position < bytes.count, ![0x2C, 0x0A, 0x0D].contains(bytes[position]) { position += 1 }
        return String(decoding: try bytes.slice(start, position - start).array, as: UTF8.self)
    }

    private mutating func quoted() throws -> String {
        position += 1
        var text: [UInt8] = []
        while position < bytes.count {
            let byte = bytes[position]
            position += 1
            if byte == 0x0A { nextLine += 1 }
            guard byte == 0x22 else {
                text.append(byte)
                continue
            }
            guard position < bytes.count, bytes[position] == 0x22 else {
                guard position == bytes.count || [0x2C, 0x0A, 0x0D].contains(bytes[position]) else {
                    throw ZooError(.corrupt, "line \(line): text after a closing quote")
                }
                return String(decoding: text, as: UTF8.self)
            }
            text.append(0x22)
            position += 1
        }
        throw ZooError(.corrupt, "line \(line): a quote is not closed")
    }
}

extension String {
    /// Without blanks at both ends.
    fileprivate var trimmingSpaces: String {
        guard let first = firstIndex(where: { $0 != " " && $0 != "\t" }),
            let last = lastIndex(where: { $0 != " " && $0 != "\t" })
        else { return "" }
        return first == startIndex && last == index(before: endIndex) ? self : String(self[first...last])
    }
}
