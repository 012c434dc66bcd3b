import ZooBase

/// How one column's cells are shown to people: units applied, one number of decimals down the column.
struct CellFormat {
    private let column: Table.Column
    /// Digits after the point that suit all numbers seen; nil prints each with its own significant digits.
    private var decimals: Int?

    init(_ column: Table.Column) { self.column = column }

    /// Looks at the first rows of a column: when its numbers are of like size, they get the same number of decimals
    /// so that the points line up.
    init(_ column: Table.Column, seeing cells: some Sequence<Table.Cell>) {
        self.column = column
        guard column.kind == .double else { return }
        let numbers = cells.compactMap { if case .double(let value) = $0, value.isFinite { abs(value) } else { nil } }
        decimals = Self.decimals(numbers, digits: column.digits)
    }

    /// The heading: the column's name, with the unit when cells do not show it.
    var heading: String {
        if case .named(let unit) = column.unit { "\(column.name) (\(unit))" } else { column.name }
    }

    /// A cell as people read it; missing cells are `-`, control characters never reach a terminal.
    func text(_ cell: Table.Cell) -> String {
        switch cell {
        case .text(let text): Self.printable(text)
        case .integer(let value): column.kind == .double ? double(Double(value)) : integer(value)
        case .double(let value): double(value)
        case .bool(let value): value ? "yes" : "no"
        case .json(.string(let text)): Self.printable(text)
        case .json(let value): Self.printable(value.text())
        case .missing: "-"
        }
    }

    private func integer(_ value: Int64) -> String {
        switch column.unit {
        case .bytes: Quantity.bytes(Int(value))
        case .seconds: Quantity.duration(Double(value))
        case .count: Quantity.count(value)
        case .fraction: double(Double(value))
        case .none, .named: String(value)
        }
    }

    private func double(_ value: Double) -> String {
        guard value.isFinite else { return Table.Cell.name(nonFinite: value) }
        switch column.unit {
        case .bytes where abs(value) < 0x1p62: return Quantity.bytes(Int(value))
        case .seconds: return Quantity.duration(value)
        case .fraction: return Quantity.fixed(value * 100, decimals: max(0, column.digits - 3)) + " %"
        default:
            if let decimals, abs(value) < 1e9 { return Quantity.fixed(value, decimals: decimals) }
            return Quantity.significant(value, digits: column.digits)
        }
    }

    /// Decimals that give the smallest number at least two significant digits and the largest `digits`; nil when the
    /// numbers differ too much in size for one format.
    private static func decimals(_ numbers: [Double], digits: Int) -> Int? {
        let sizes = numbers.filter { $0 > 0 }
        guard let smallest = sizes.min(), let largest = sizes.max() else { return numbers.isEmpty ? nil : 0 }
        guard largest < 1e7, smallest >= 1e-5, largest / smallest < 1e5 else { return nil }
        let forLargest = digits - places(largest)
        let forSmallest = 2 - places(smallest)
        let wanted = min(max(0, forLargest, forSmallest), 6)
        return (0...wanted).first { used in
            numbers.allSatisfy {
                Quantity.fixed($0, decimals: used).double == Quantity.fixed($0, decimals: wanted).double
            }
        }
    }

    /// Digits before the point; zero for 0.1 to 1, negative below.
    private static func places(_ value: Double) -> Int {
        var places = 0
        var scale = 1.0
        while value >= scale {
            scale *= 10
            places += 1
        }
        if places > 0 { return places }
        while value < scale / 10 {
            scale /= 10
            places -= 1
        }
        return places
    }

    private static func printable(_ text: String) -> String {
        let isPlain = text.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7F }
        guard !isPlain else { return text }
        var clean = ""
        for scalar in text.unicodeScalars {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate:
                clean += scalar == "\u{200D}" ? "\u{200D}" : "\u{FFFD}"
            default: clean.unicodeScalars.append(scalar)
            }
        }
        return clean
    }
}

extension String {
    fileprivate var double: Double? { Double(self) }
}
