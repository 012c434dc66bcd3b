import ZooBase

/// A summary over the rows of a group. Missing values and NaN are left out.
enum Aggregate: String {
    case count, mean, min, max, sum
}

/// The columns of a grouped query and the SQL that computes them.
struct Grouping {
    /// One column of the answer.
    struct Column {
        var name: String
        var type: ColumnType
        var content: Content
    }

    /// What a column holds.
    enum Content {
        /// A group key, by its index.
        case key(Int)
        /// A summary of an expression, or of whole rows.
        case aggregate(Aggregate, CompiledExpression?)
    }

    let keys: [CompiledExpression]
    let keyNames: [String]
    let columns: [Column]
    let sort: [(content: Content, isDescending: Bool)]

    init(_ query: Query, _ compiler: inout ExpressionCompiler) throws {
        let keyNames = query.groupBy.map { $0.trimmed }
        let keys = try query.groupBy.map { try compiler.compile($0, what: "group-by").1 }
        let names = query.columns.isEmpty ? keyNames + ["count"] : query.columns
        var columns: [Column] = []
        for name in names {
            let (content, type) = try Self.content(name, "columns", keyNames, keys, &compiler)
            columns.append(Column(name: name, type: type, content: content))
        }
        var sort: [(content: Content, isDescending: Bool)] = []
        for key in query.sort {
            let (text, isDescending) = try PreparedQuery.direction(key)
            sort.append((try Self.content(text, "sort", keyNames, keys, &compiler).0, isDescending))
        }
        (self.keyNames, self.keys, self.columns, self.sort) = (keyNames, keys, columns, sort)
    }

    /// Whether a column summarises rows: `count`, `mean(x)`. Without group keys all rows are one group.
    static func isSummary(_ column: String) -> Bool {
        switch (try? ExpressionParser.parse(column, what: ""))?.kind {
        case .name("count"): true
        case .call(let function, _): Aggregate(rawValue: function) != nil
        default: false
        }
    }

    private static func content(
        _ text: String, _ what: String, _ keyNames: [String], _ keys: [CompiledExpression],
        _ compiler: inout ExpressionCompiler
    ) throws -> (Content, ColumnType) {
        let trimmed = text.trimmed
        if let index = keyNames.firstIndex(of: trimmed) {
            return (.key(index), keys[index].isShownAsTruth ? .truth : keys[index].type)
        }
        let expression = try ExpressionParser.parse(text, what: what)
        if case .name("count") = expression.kind { return (.aggregate(.count, nil), .number) }
        guard case .call(let function, let arguments) = expression.kind, let aggregate = Aggregate(rawValue: function)
        else {
            throw ZooError(
                .usage, "\(what): '\(trimmed)' is neither a group key nor a summary",
                hint: "use count, mean(x), min(x), max(x), sum(x) or one of \(keyNames.joined(separator: ", "))")
        }
        if aggregate == .count, arguments.isEmpty { return (.aggregate(.count, nil), .number) }
        guard arguments.count == 1 else { throw ZooError(.usage, "\(what): \(function) takes one expression") }
        compiler.text = text
        compiler.what = what
        var value = try compiler.compile(arguments[0])
        if aggregate == .mean || aggregate == .sum {
            guard value.type != .text else { throw ZooError(.usage, "\(what): \(function) of a text") }
            value.sql = value.numeric ?? value.sql
        }
        let type: ColumnType = aggregate == .min || aggregate == .max ? value.type : .number
        return (.aggregate(aggregate, value), type == .truth ? .number : type)
    }

    /// Calls `body` with each group.
    func run(_ query: PreparedQuery, _ body: ([JSONValue]) throws -> Void) throws {
        let isOfModel = keys.allSatisfy(\.isOfModel)
        let isIndexed = query.conditions.contains { $0.isIndexed || $0.checkpoints != nil }
        let sql =
            query.rows == .checkpoints && isOfModel && !isIndexed ? inTwoSteps(query) : try inOneStep(query)
        let statement = try query.connection.prepare(sql.text)
        try statement.bind(sql.arguments)
        while try statement.step() {
            try body(
                columns.indices.map { index in
                    PreparedQuery.json(statement.value(index), isTruth: columns[index].type == .truth)
                })
        }
    }

    private func inOneStep(_ query: PreparedQuery) throws -> SQLText {
        let filter = try query.directFilter()
        let assembled = assemble { aggregate, value in
            guard let value else { return "count(*)" }
            return aggregate == .mean ? "avg(\(value.sql))" : "\(raw: aggregate.rawValue)(\(value.sql))"
        }
        let tables = assembled.tables.union(filter.where.tables)
        let from = FromClause.sql(filter.from, base: filter.base, tables: tables, isOrdered: query.rows != .metrics)
        return assembled.sql("\(from) WHERE \(filter.where)", limit: query.limit)
    }

    /// Keys that depend on the model alone: checkpoints are summarised per model first, so that the keys are looked up
    /// fifty thousand times and not millions of times. Without anything asked of checkpoints none is read.
    private func inTwoSteps(_ query: PreparedQuery) -> SQLText {
        let ofModel = query.conditions.filter(\.isOfModel).map(\.sql) + query.conditions.compactMap(\.ofRange)
        let ofRow = query.conditions.filter { !$0.isOfModel }.map(\.sql)
        var inner: [SQLText] = ["count(*) AS n"]
        let assembled = assemble { aggregate, value in
            let count: SQLText = ofRow.isEmpty && !needsRows ? "s.checkpoint_count" : "a.n"
            guard let value else { return "sum(\(count))" as SQLText }
            guard !value.isOfModel else { return Self.weighted(aggregate, value.sql, by: count) }
            let index = inner.count
            inner.append("count(\(value.sql)) AS n\(raw: String(index))")
            switch aggregate {
            case .count: return "sum(a.n\(raw: String(index)))" as SQLText
            case .mean, .sum: inner[index] = "\(inner[index]), total(\(value.sql)) AS t\(raw: String(index))"
            case .min, .max:
                inner[index] = "\(inner[index]), \(raw: aggregate.rawValue)(\(value.sql)) AS t\(raw: String(index))"
                return "\(raw: aggregate.rawValue)(a.t\(raw: String(index)))" as SQLText
            }
            let total = "sum(CASE WHEN a.n\(index) > 0 THEN a.t\(index) END)"
            return "\(raw: aggregate == .sum ? total : "\(total) / sum(a.n\(index))")" as SQLText
        }
        let condition = ofModel.conjunction
        guard needsRows || !ofRow.isEmpty else {
            let tables = assembled.tables.union(condition.tables)
            let from = FromClause.sql("model_summary s", base: .summary, tables: tables, isOrdered: true)
            return assembled.sql("\(from) WHERE s.checkpoint_count > 0 AND \(condition)", limit: query.limit)
        }
        let filter = (ofModel + ofRow).conjunction
        let selection = inner.joined(", ")
        // Reading models in order makes the groups arrive in order, without a sort.
        let rows = FromClause.sql(
            "model_summary s CROSS JOIN checkpoint c INDEXED BY checkpoint_model ON c.model_id = s.model_id",
            base: .checkpoint, tables: filter.tables.union(selection.tables).subtracting([.summary]), isOrdered: true)
        let start: SQLText = """
            (SELECT s.model_id, \(selection) FROM \(rows) WHERE \(filter) GROUP BY s.model_id) a
            CROSS JOIN model_summary s ON s.model_id = a.model_id
            """
        let from = FromClause.sql(start, base: .summary, tables: assembled.tables, isOrdered: true)
        return assembled.sql(from, limit: query.limit)
    }

    /// Whether a summary reads checkpoints.
    private var needsRows: Bool {
        (columns.map(\.content) + sort.map(\.content)).contains {
            if case .aggregate(_, let value?) = $0 { !value.isOfModel } else { false }
        }
    }

    /// A summary of a model's value that counts once for each of its rows.
    private static func weighted(_ aggregate: Aggregate, _ value: SQLText, by count: SQLText) -> SQLText {
        let rows: SQLText = "sum(CASE WHEN \(value) IS NOT NULL THEN \(count) END)"
        switch aggregate {
        case .count: return "ifnull(\(rows), 0)"
        case .mean: return "sum(1.0 * \(count) * \(value)) / \(rows)"
        case .sum: return "sum(\(count) * \(value))"
        case .min, .max: return "\(raw: aggregate.rawValue)(\(value))"
        }
    }

    // MARK: Assembly

    private struct Assembled {
        var selection: SQLText
        var grouping: SQLText
        var ordering: SQLText

        var tables: Set<QueryTable> { selection.tables.union(grouping.tables).union(ordering.tables) }

        func sql(_ from: SQLText, limit: Int?) -> SQLText {
            let cut: SQLText = limit.map { " LIMIT \(.int(Int64($0)))" } ?? ""
            guard !grouping.text.isEmpty else { return "SELECT \(selection) FROM \(from)\(cut)" }
            return "SELECT \(selection) FROM \(from) GROUP BY \(grouping) ORDER BY \(ordering)\(cut)"
        }
    }

    private func assemble(_ aggregate: (Aggregate, CompiledExpression?) -> SQLText) -> Assembled {
        var selected = columns.map { column in
            if case .key(let index) = column.content { keys[index].sql } else { text(of: column.content, aggregate) }
        }
        // Keys are selected once more, under names by which groups and order can refer to them.
        selected += keys.enumerated().map { "\($1.sql) AS g\(raw: String($0))" as SQLText }
        let names = keys.indices.map { "g\(raw: String($0))" as SQLText }
        let order = sort.map { key in
            let value = text(of: key.content, aggregate)
            return "\(value)\(raw: key.isDescending ? " DESC" : " ASC NULLS LAST")" as SQLText
        }
        return Assembled(
            selection: selected.joined(", "), grouping: names.joined(", "), ordering: (order + names).joined(", "))
    }

    private func text(
        of content: Content, _ aggregate: (Aggregate, CompiledExpression?) -> SQLText
    ) -> SQLText {
        switch content {
        case .key(let index): "g\(raw: String(index))"
        case .aggregate(let function, let value): aggregate(function, value)
        }
    }
}

extension StringProtocol {
    /// Without white space at both ends.
    var trimmed: String {
        guard let first = firstIndex(where: { !$0.isWhitespace }), let last = lastIndex(where: { !$0.isWhitespace })
        else { return "" }
        return String(self[first...last])
    }
}
