import ZooBase

/// What a command found: named, typed columns and rows of cells, before any rendering.
///
/// A `Table` in memory is for results that fit a screen or a page. Results of millions of rows go row by row through a
/// `TableSink`, which every renderer is.
public struct Table: Sendable, Hashable {
    /// The columns in order.
    public var columns: [Column]
    /// The rows; each has one cell per column.
    public private(set) var rows: [[Cell]]
    /// Facts about the table as a whole. Parquet files carry them as key-value metadata; other formats leave them out.
    public var metadata: [String: String]

    /// Creates a table.
    ///
    /// - Precondition: every row has one cell per column.
    public init(_ columns: [Column], rows: [[Cell]] = [], metadata: [String: String] = [:]) {
        precondition(rows.allSatisfy { $0.count == columns.count }, "a row has one cell per column")
        self.columns = columns
        self.rows = rows
        self.metadata = metadata
    }

    /// Adds a row.
    ///
    /// - Precondition: one cell per column.
    public mutating func append(_ row: [Cell]) {
        precondition(row.count == columns.count, "a row has one cell per column")
        rows.append(row)
    }

    /// Sends the whole table through a renderer.
    public func write(to sink: some TableSink) throws {
        try sink.begin(columns)
        for row in rows { try sink.append(row) }
        try sink.end()
    }

    /// The table as text of a registered format; for formats that are text.
    public func rendered(as format: TableFormat, _ options: RenderOptions = RenderOptions()) throws -> String {
        let output = MemoryOutput()
        try write(to: format.makeSink(output, options.adding(metadata)))
        return String(decoding: output.bytes, as: UTF8.self)
    }
}

extension Table {
    /// One column: its key, what its cells hold, and how people like to read it.
    public struct Column: Sendable, Hashable {
        /// What the cells hold.
        public enum Kind: String, Sendable, Hashable, CaseIterable {
            /// Text.
            case text
            /// 64-bit integers.
            case integer
            /// Double-precision numbers.
            case double
            /// Truth values.
            case bool
            /// Any JSON value: a configuration, a shape.
            case json
        }

        /// What the numbers count. Only text for people is scaled by it; every other format keeps the plain number.
        public enum Unit: Sendable, Hashable {
            /// A plain number.
            case none
            /// Bytes, shown as `1.2 GB`.
            case bytes
            /// Seconds, shown as `3 min 05 s`.
            case seconds
            /// Things counted, shown as `2,600,000`.
            case count
            /// A fraction of one, shown as `91.3 %`.
            case fraction
            /// Any other unit, named in the heading.
            case named(String)
        }

        /// On which side cells line up.
        public enum Alignment: Sendable, Hashable {
            /// At the left edge.
            case left
            /// At the right edge.
            case right
        }

        /// The key: JSON member, CSV heading, Parquet column.
        public var name: String
        /// What the cells hold.
        public var kind: Kind
        /// What the numbers count.
        public var unit: Unit
        /// On which side cells line up: numbers right, all else left, unless said otherwise.
        public var alignment: Alignment
        /// Significant digits of doubles in text for people.
        public var digits: Int
        /// Whether cells are paths: on a narrow terminal their middle is left out, not their end.
        public var isPath: Bool

        /// Creates a column.
        public init(
            _ name: String, _ kind: Kind = .text, unit: Unit = .none, alignment: Alignment? = nil, digits: Int = 4,
            isPath: Bool = false
        ) {
            self.name = name
            self.kind = kind
            self.unit = unit
            self.alignment = alignment ?? (kind == .integer || kind == .double ? .right : .left)
            self.digits = digits
            self.isPath = isPath
        }

        /// The key under which JSON gives the reason for a missing number.
        public var reasonKey: String { name + "_reason" }
    }

    /// One value.
    public enum Cell: Sendable, Hashable {
        /// Text.
        case text(String)
        /// An integer.
        case integer(Int64)
        /// A number. One that is not finite is kept where the format can and is null with a reason in JSON.
        case double(Double)
        /// A truth value.
        case bool(Bool)
        /// Any JSON value.
        case json(JSONValue)
        /// No value, and why, when there is something to say.
        case missing(reason: String?)

        /// No value, nothing to say.
        public static var null: Cell { .missing(reason: nil) }

        /// An integer of any width that fits.
        public static func int(_ value: Int) -> Cell { .integer(Int64(value)) }

        /// Text, or null.
        public init(_ value: String?) { self = value.map(Cell.text) ?? .null }
        /// An integer, or null.
        public init(_ value: Int?) { self = value.map(Cell.int) ?? .null }
        /// An integer, or null.
        public init(_ value: Int64?) { self = value.map(Cell.integer) ?? .null }
        /// A number, or null.
        public init(_ value: Double?) { self = value.map(Cell.double) ?? .null }
        /// A truth value, or null.
        public init(_ value: Bool?) { self = value.map(Cell.bool) ?? .null }

        /// Why there is no usable number here: the given reason, or the kind of non-number.
        public var reason: String? {
            switch self {
            case .missing(let reason): reason
            case .double(let value) where !value.isFinite: Self.name(nonFinite: value)
            default: nil
            }
        }

        /// `NaN`, `inf` or `-inf`.
        static func name(nonFinite value: Double) -> String { value.isNaN ? "NaN" : value < 0 ? "-inf" : "inf" }
    }
}
