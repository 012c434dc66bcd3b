import ZooBase

/// A question to the catalog.
///
/// `where` is a condition such as `lr < 0.01 and width = 32 and epoch = last`; columns and sort keys are expressions of
/// the same language. Names are built-in columns (`Query.columnNames`), configuration keys (full or by their last
/// component), further numbers of results, and metrics. Rows without a value for a sort key come last, whichever the
/// direction; equal rows are in the order of models and checkpoints.
public struct Query: Sendable, Hashable {
    /// What a row is.
    public enum Rows: String, Sendable, CaseIterable {
        /// One checkpoint, with the results of its epoch.
        case checkpoints
        /// One model, with the results of its last epoch.
        case models
        /// One metric of a checkpoint, or of a pair.
        case metrics
    }

    /// What a row is.
    public var rows: Rows
    /// Which rows; nil: all.
    public var condition: String?
    /// What to show: expressions; or `count`, `mean(x)`, `min(x)`, `max(x)`, `sum(x)` over groups (without `groupBy`
    /// over all rows). Empty: a selection that suits the rows.
    public var columns: [String]
    /// Sort keys, the first most important: `test_accuracy desc`, `-test_accuracy`, `lr`.
    public var sort: [String]
    /// The most rows; nil: all.
    public var limit: Int?
    /// Expressions whose equal values make one row.
    public var groupBy: [String]

    /// Creates a query.
    public init(
        from rows: Rows = .checkpoints, where condition: String? = nil, columns: [String] = [], sort: [String] = [],
        limit: Int? = nil, groupBy: [String] = []
    ) {
        self.rows = rows
        self.condition = condition
        self.columns = columns
        self.sort = sort
        self.limit = limit
        self.groupBy = groupBy
    }

    /// The built-in names of a kind of row.
    public static func columnNames(of rows: Rows) -> [String] { QueryColumn.all(of: rows).keys.sorted() }
}

/// The answer to a query.
public struct QueryResult: Sendable {
    /// The names of the columns, as they were asked for.
    public var columns: [String]
    /// Their types.
    public var types: [ColumnType]
    /// The rows. A number that is NaN in the source is `.double(.nan)`, a missing one `.null`.
    public var rows: [[JSONValue]]
    /// What the reader should know: which keys a bare name was read as, that a limit cut the rows.
    public var notes: [String] = []

    /// The rows as objects.
    public var objects: [JSONObject] { rows.map { JSONObject(zip(columns, $0).map { ($0, $1) }) } }
}

extension Catalog {
    /// Answers a query.
    ///
    /// - Throws: `usage` for a fault in an expression, with its place; `notFound` never: no rows is an answer.
    public func run(_ query: Query) throws -> QueryResult { try run(query, limits: PlannerLimits()) }

    package func run(_ query: Query, limits: PlannerLimits) throws -> QueryResult {
        try read { connection in
            try connection.snapshot {
                var prepared = try PreparedQuery(query, connection, limits: limits)
                var rows: [[JSONValue]] = []
                try prepared.forEach { rows.append($0) }
                return QueryResult(columns: prepared.names, types: prepared.types, rows: rows, notes: prepared.notes)
            }
        }
    }

    /// Answers a query row by row, for exports: memory does not grow with the rows (a sort needs its keys).
    ///
    /// - Parameters:
    ///   - header: called once with names and types, before the first row.
    ///   - row: called for each row; what it throws ends the query.
    public func stream(
        _ query: Query, header: ([String], [ColumnType]) throws -> Void, row: ([JSONValue]) throws -> Void
    ) throws {
        try read { connection in
            try connection.snapshot {
                var prepared = try PreparedQuery(query, connection)
                try header(prepared.names, prepared.types)
                try prepared.forEach(row)
            }
        }
    }
}
