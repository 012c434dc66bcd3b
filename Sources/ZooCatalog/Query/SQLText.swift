/// A table of the queries, by its alias.
enum QueryTable: String, CaseIterable {
    case checkpoint = "c"
    case summary = "s"
    case model = "m"
    case zoo = "z"
    case source = "o"
    case layout = "l"
    case metric = "x"
    case metricName = "n"

    /// Whether a row of it is fixed by the model.
    var isOfModel: Bool { [.summary, .model, .zoo, .source].contains(self) }
}

/// A piece of SQL with its arguments and the tables it reads. Values enter as arguments, never as text:
/// `"c.epoch = \(value)"` becomes `c.epoch = ?`.
struct SQLText: ExpressibleByStringInterpolation {
    var text: String
    var arguments: [SQLValue]
    var tables: Set<QueryTable>

    init(_ text: String = "", tables: Set<QueryTable> = []) {
        self.text = text
        arguments = []
        self.tables = tables
    }

    init(stringLiteral value: String) { self.init(value) }

    init(stringInterpolation: Interpolation) { self = stringInterpolation.result }

    static func + (left: SQLText, right: SQLText) -> SQLText { "\(left)\(right)" }

    struct Interpolation: StringInterpolationProtocol {
        var result = SQLText()

        init(literalCapacity: Int, interpolationCount: Int) {}

        mutating func appendLiteral(_ literal: String) { result.text += literal }

        /// A value, as an argument.
        mutating func appendInterpolation(_ value: SQLValue) {
            result.text += "?"
            result.arguments.append(value)
        }

        /// A piece.
        mutating func appendInterpolation(_ piece: SQLText) {
            result.text += piece.text
            result.arguments += piece.arguments
            result.tables.formUnion(piece.tables)
        }

        /// Words of this program, never of a user or a file.
        mutating func appendInterpolation(raw text: String) { result.text += text }
    }
}

extension [SQLText] {
    /// All pieces with a separator between them.
    func joined(_ separator: String) -> SQLText {
        var result = SQLText()
        for (index, piece) in enumerated() {
            result = index == 0 ? piece : "\(result)\(raw: separator)\(piece)"
        }
        return result
    }

    /// All conditions at once; true when there is none.
    var conjunction: SQLText { isEmpty ? "1" : map { "(\($0))" as SQLText }.joined(" AND ") }
}
