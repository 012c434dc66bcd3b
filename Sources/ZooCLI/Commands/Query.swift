import ArgumentParser
import ZooBase
import ZooCatalog
import ZooReport

/// `zoo query`: rows of the catalog.
package struct QueryCommand: ZooCommand {
    package static let configuration = CommandConfiguration(
        commandName: "query",
        abstract: "Find checkpoints, models or metrics in the catalog.",
        discussion: """
            WHERE compares columns (epoch, test_accuracy, architecture, zoo), configuration keys by full or bare name \
            (optim::lr or lr), further results and metrics with numbers and texts: =, !=, <, <=, >, >=, in (…), \
            between … and …, like, is null, is nan, and, or, not, arithmetic. 'epoch = last' and 'epoch = best' pick \
            one checkpoint of each model.

            Example:
              zoo query "lr < 0.01 and nlin = 'gelu' and epoch = last" --sort -test_accuracy --limit 5
              zoo query --from models --group-by nlin --columns "nlin, count, mean(test_accuracy)"
              zoo query "diverged" --from models --json
            """)

    @Argument(help: "A condition; without one all rows.")
    package var condition: String?

    @Option(help: "checkpoints, models or metrics.")
    package var from: RowKind = .checkpoints

    @Option(help: ArgumentHelp("Expressions to show, separated by commas.", valueName: "list"))
    package var columns: String?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Sort keys, separated by commas; -key or 'key desc' for descending.", valueName: "list"))
    package var sort: String?

    @Option(help: ArgumentHelp("The most rows.", valueName: "number"))
    package var limit: Int?

    @Option(help: ArgumentHelp("Expressions whose equal values make one row.", valueName: "list"))
    package var groupBy: String?

    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    /// The kinds of rows as the command line names them.
    package enum RowKind: String, ExpressibleByArgument, CaseIterable {
        case checkpoints, models, metrics

        var rows: Query.Rows {
            switch self {
            case .checkpoints: .checkpoints
            case .models: .models
            case .metrics: .metrics
            }
        }
    }

    package func run(in session: Session) throws {
        let query = Query(
            from: from.rows, where: condition, columns: ExpressionList.split(columns), sort: ExpressionList.split(sort),
            limit: limit, groupBy: ExpressionList.split(groupBy))
        try session.emit(try Catalog(session.catalogPath).run(query))
    }
}

/// Lists of expressions on the command line.
enum ExpressionList {
    /// Cuts at commas outside brackets and quotes: `nlin, mean(test_accuracy)` is two.
    static func split(_ text: String?) -> [String] {
        guard let text else { return [] }
        var parts: [String] = [""]
        var depth = 0
        var quote: Character?
        for character in text {
            if let open = quote {
                if character == open { quote = nil }
            } else if character == "'" || character == "\"" {
                quote = character
            } else if character == "(" {
                depth += 1
            } else if character == ")" {
                depth -= 1
            } else if character == ",", depth == 0 {
                parts.append("")
                continue
            }
            parts[parts.count - 1].append(character)
        }
        return parts.map { $0.trimming(while: \.isWhitespace) }.filter { !$0.isEmpty }
    }
}

extension String {
    /// Without the characters at both ends for which the condition holds.
    func trimming(while condition: (Character) -> Bool) -> String {
        var rest = self[...]
        while let first = rest.first, condition(first) { rest.removeFirst() }
        while let last = rest.last, condition(last) { rest.removeLast() }
        return String(rest)
    }
}

extension Session {
    /// Writes the answer to a query, and notes about it to standard error.
    package func emit(_ result: QueryResult) throws {
        let table = result.table
        try emit(table)
        for text in result.notes { note(text) }
        if resultFormat.name == TableFormat.text.name { note("\(Quantity.count(result.rows.count)) rows") }
    }
}

extension QueryResult {
    /// The answer as a table. A column of whole numbers is one of integers; one of mixed values is JSON.
    package var table: Table {
        var seen = ColumnKinds(types)
        for row in rows { seen.observe(row) }
        let kinds = seen.kinds
        let columns = zip(self.columns, kinds).map { name, kind in
            Table.Column(name, kind, isPath: ["path", "source", "model", "model_path"].contains(name))
        }
        return Table(columns, rows: rows.map { row in zip(row, kinds).map { Table.Cell($0, as: $1) } })
    }
}

/// What the columns of a result hold, as seen in its rows.
struct ColumnKinds {
    private static let all: [Table.Column.Kind] = [.bool, .integer, .double, .text, .json]
    private let types: [ColumnType]
    /// One bit for each of `all`.
    private var seen: [UInt8]

    init(_ types: [ColumnType] = []) {
        self.types = types
        seen = [UInt8](repeating: 0, count: types.count)
    }

    mutating func observe(_ row: [JSONValue]) {
        for (column, value) in row.enumerated() { seen[column] |= Self.bit(value) }
    }

    /// Whether the row holds nothing that was not seen.
    func admits(_ row: [JSONValue]) -> Bool { zip(row, seen).allSatisfy { Self.bit($0) & ~$1 == 0 } }

    var kinds: [Table.Column.Kind] {
        zip(seen, types).map { bits, type in
            if bits == 0b110 { return .double }
            return bits == 0 ? type.emptyKind : bits.nonzeroBitCount > 1 ? .json : Self.all[bits.trailingZeroBitCount]
        }
    }

    private static func bit(_ value: JSONValue) -> UInt8 {
        switch value {
        case .null: 0
        case .bool: 1
        case .int: 1 << 1
        case .double: 1 << 2
        case .string: 1 << 3
        case .array, .object: 1 << 4
        }
    }
}

extension ColumnType {
    /// The kind of a column that has no values.
    var emptyKind: Table.Column.Kind {
        switch self {
        case .number: .double
        case .text: .text
        case .truth: .bool
        case .any: .json
        }
    }
}

extension Table.Cell {
    /// A JSON value as a cell of a column's kind.
    init(_ value: JSONValue, as kind: Table.Column.Kind) {
        switch (value, kind) {
        case (.null, _): self = .null
        case (_, .json): self = .json(value)
        case (.bool(let flag), _): self = .bool(flag)
        case (.int(let number), .double): self = .double(Double(number))
        case (.int(let number), _): self = .integer(number)
        case (.double(let number), _): self = .double(number)
        case (.string(let text), _): self = .text(text)
        case (.array, _), (.object, _): self = .json(value)
        }
    }
}
