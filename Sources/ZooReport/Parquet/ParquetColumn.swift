import ZooBase

/// The part of one column that the current row group holds, already in Parquet's plain encoding.
struct ParquetColumn {
    /// Parquet's physical types by their number in the format.
    enum Physical: Int {
        case boolean = 0
        case int64 = 2
        case double = 5
        case byteArray = 6
    }

    /// A dictionary with more entries than this is given up for plain values.
    private static let dictionaryLimit = 1 << 16

    let column: Table.Column
    private var definitions: [UInt32] = []
    private var plain: [UInt8] = []
    private var booleans: [Bool] = []
    /// Distinct texts in order of appearance; nil once there were too many of them.
    private var dictionary: [String: UInt32]? = [:]
    private var dictionaryBytes: [UInt8] = []
    private var indices: [UInt32] = []
    /// The text that the last index stands for.
    private var lastText = ""
    private var integerRange: (low: Int64, high: Int64)?
    private var doubleRange: (low: Double, high: Double)?
    private(set) var nullCount = 0

    init(_ column: Table.Column) { self.column = column }

    var physical: Physical {
        switch column.kind {
        case .text, .json: .byteArray
        case .integer: .int64
        case .double: .double
        case .bool: .boolean
        }
    }

    /// How many cells, nulls included.
    var count: Int { definitions.count }

    /// Bytes held, about.
    var byteCount: Int { plain.count + dictionaryBytes.count + 4 * (indices.count + definitions.count) }

    /// - Throws: `mismatch` when the cell is not of the column's kind.
    mutating func append(_ cell: Table.Cell) throws {
        switch (column.kind, cell) {
        case (_, .missing):
            nullCount += 1
            definitions.append(0)
            return
        case (.text, .text(let text)), (.text, .json(.string(let text))): append(text)
        case (.integer, .integer(let value)): append(value)
        case (.double, .double(let value)): append(value)
        case (.double, .integer(let value)): append(Double(value))
        case (.bool, .bool(let value)): booleans.append(value)
        case (.json, .json(let value)): append(value.text())
        case (.json, .text(let text)): append(JSONValue.string(text).text())
        case (.json, .integer(let value)): append(String(value))
        case (.json, .double(let value)): append(JSONValue.double(value).text())
        case (.json, .bool(let value)): append(value ? "true" : "false")
        default:
            throw ZooError(
                .mismatch, "column '\(column.name)': \(column.kind.rawValue) expected, found \(cell)",
                hint: "cast the column to one type, or export to CSV or JSON")
        }
        definitions.append(1)
    }

    private mutating func append(_ value: Int64) {
        plain.appendLittleEndian(value)
        integerRange = integerRange.map { (min($0.low, value), max($0.high, value)) } ?? (value, value)
    }

    private mutating func append(_ value: Double) {
        plain.appendLittleEndian(value.bitPattern)
        guard !value.isNaN else { return }
        doubleRange = doubleRange.map { (min($0.low, value), max($0.high, value)) } ?? (value, value)
    }

    private mutating func append(_ text: String) {
        // Neighbouring rows often belong to one model: a comparison is cheaper than a look-up.
        if dictionary != nil, text == lastText, let last = indices.last { return indices.append(last) }
        lastText = text
        if let known = dictionary?[text] { return indices.append(known) }
        guard let next = dictionary?.count, next < Self.dictionaryLimit else {
            if dictionary != nil { spellOutDictionary() }
            Self.append(text, to: &plain)
            return
        }
        dictionary?[text] = UInt32(next)
        indices.append(UInt32(next))
        Self.append(text, to: &dictionaryBytes)
    }

    private static func append(_ text: String, to bytes: inout [UInt8]) {
        bytes.appendLittleEndian(UInt32(text.utf8.count))
        bytes.append(contentsOf: text.utf8)
    }

    /// Replaces indices by the texts they stand for.
    private mutating func spellOutDictionary() {
        var starts: [Int] = []
        var offset = 0
        while offset < dictionaryBytes.count {
            starts.append(offset)
            offset += 4 + length(at: offset)
        }
        for index in indices {
            let start = starts[Int(index)]
            plain.append(contentsOf: dictionaryBytes[start..<start + 4 + length(at: start)])
        }
        dictionary = nil
        dictionaryBytes = []
        indices = []
    }

    private func length(at offset: Int) -> Int {
        (0..<4).reduce(0) { $0 | Int(dictionaryBytes[offset + $1]) << (8 * $1) }
    }

    /// The dictionary page's payload and entry count; nil when values are plain.
    var dictionaryPage: (bytes: [UInt8], count: Int)? {
        guard physical == .byteArray, let dictionary, !dictionary.isEmpty else { return nil }
        return (dictionaryBytes, dictionary.count)
    }

    /// The data page's payload: definition levels behind their length, then values.
    var dataPage: [UInt8] {
        let levels = LevelEncoder.encode(definitions, bitWidth: 1)
        var page: [UInt8] = []
        page.reserveCapacity(4 + levels.count + plain.count)
        page.appendLittleEndian(UInt32(levels.count))
        page += levels
        if let dictionaryPage {
            let bitWidth = LevelEncoder.bitWidth(maximum: dictionaryPage.count - 1)
            page.append(UInt8(bitWidth))
            page += LevelEncoder.encode(indices, bitWidth: bitWidth)
        } else if physical == .boolean {
            page += Self.bits(booleans)
        } else {
            page += plain
        }
        return page
    }

    /// Smallest and largest value in plain encoding; nil for types without an order here and for no values.
    var range: (low: [UInt8], high: [UInt8])? {
        var low: [UInt8] = []
        var high: [UInt8] = []
        if let integerRange {
            low.appendLittleEndian(integerRange.low)
            high.appendLittleEndian(integerRange.high)
        } else if let doubleRange {
            // The format asks for -0 as a lower and +0 as an upper bound: the two compare equal.
            low.appendLittleEndian((doubleRange.low == 0 ? -0.0 : doubleRange.low).bitPattern)
            high.appendLittleEndian((doubleRange.high == 0 ? 0.0 : doubleRange.high).bitPattern)
        } else {
            return nil
        }
        return (low, high)
    }

    private static func bits(_ values: [Bool]) -> [UInt8] {
        var packed = [UInt8](repeating: 0, count: (values.count + 7) / 8)
        for (position, value) in values.enumerated() where value { packed[position / 8] |= 1 << UInt8(position % 8) }
        return packed
    }
}
