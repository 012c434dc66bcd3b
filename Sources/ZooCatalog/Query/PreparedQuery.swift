import ZooBase

/// A query with all names resolved, ready to run on one connection.
struct PreparedQuery {
    let connection: Connection
    let rows: Query.Rows
    let limit: Int?
    let limits: PlannerLimits
    private(set) var names: [String] = []
    private(set) var conditions: [Condition] = []
    private(set) var sort: [SortKey] = []
    private(set) var columns: [CompiledExpression] = []
    private(set) var grouping: Grouping?
    private(set) var notes: [String] = []

    /// One of the conditions that all must hold.
    struct Condition {
        var expression: Expression
        var sql: SQLText
        /// A set of model ids that contains all models it holds for, cheap to enumerate.
        var models: SQLText?
        /// A set of checkpoint ids that contains all rows it holds for, cheap to enumerate.
        var checkpoints: SQLText?
        /// Whether an index finds its rows: of one checkpoint, one epoch, the last or best of each model.
        var isIndexed = false
        /// Whether it names its rows by their ids.
        var isPoint = false
        /// The column of `model_summary` with the one checkpoint of a model that it can hold for.
        var pin: String?
        /// What follows for the model from the ranges of its checkpoints.
        var ofRange: SQLText?

        var isOfModel: Bool { sql.tables.allSatisfy(\.isOfModel) }
    }

    /// One sort key.
    struct SortKey {
        var value: CompiledExpression
        var isDescending: Bool
    }

    init(_ query: Query, _ connection: Connection, limits: PlannerLimits = PlannerLimits()) throws {
        self.limits = limits
        self.connection = connection
        rows = query.rows
        limit = query.limit
        if let limit, limit < 0 { throw ZooError(.usage, "the limit is negative") }
        var compiler = ExpressionCompiler(connection, rows: query.rows)
        let conditionNames = try compileCondition(query.condition, &compiler)
        if query.groupBy.isEmpty, !query.columns.contains(where: Grouping.isSummary) {
            var sortNames: [String] = []
            for key in query.sort {
                let (text, isDescending) = try Self.direction(key)
                let (expression, value) = try compiler.compile(text, what: "sort")
                sortNames += expression.names
                sort.append(SortKey(value: value, isDescending: isDescending))
            }
            names = query.columns.isEmpty ? Self.defaults(query.rows, conditionNames + sortNames) : query.columns
            columns = try names.map { try compiler.compile($0, what: "columns").1 }
        } else {
            let grouping = try Grouping(query, &compiler)
            names = grouping.columns.map(\.name)
            self.grouping = grouping
        }
        notes = compiler.resolver.notes
    }

    /// `epoch = last`: the right side is no name of a column.
    private static func namesLastOrBest(_ condition: Expression) -> Bool {
        guard case .compare(_, let left, let right) = condition.kind, case .name("epoch") = left.kind else {
            return false
        }
        switch right.kind {
        case .name(let word), .literal(.text(let word)): return ["last", "best", "@last", "@best"].contains(word)
        default: return false
        }
    }

    private static func isIndexed(_ condition: Expression) -> Bool {
        if case .isNaN(let value) = condition.kind, case .name = value.kind { return true }
        return isEquality(condition, of: ["epoch"])
    }

    private static func isEquality(_ condition: Expression, of names: Set<String>) -> Bool {
        switch condition.kind {
        case .compare(.equal, let left, _), .isIn(let left, _):
            if case .name(let name) = left.kind { names.contains(name) } else { false }
        default: false
        }
    }

    private static func pin(_ condition: Expression) -> String? {
        let columns = ["last": "last_checkpoint_id", "best": "best_checkpoint_id"]
        switch condition.kind {
        case .name(let name) where name.hasPrefix("is_"): return columns[String(name.dropFirst(3))]
        case .name(let name) where name.hasPrefix("@"): return columns[String(name.dropFirst())]
        case .compare(.equal, _, let right) where namesLastOrBest(condition):
            switch right.kind {
            case .name(let word), .literal(.text(let word)): return columns[word.replacing("@", with: "")]
            default: return nil
            }
        default: return nil
        }
    }

    /// The types of the columns.
    var types: [ColumnType] {
        grouping?.columns.map(\.type) ?? columns.map { $0.isShownAsTruth ? .truth : $0.type }
    }

    private mutating func compileCondition(
        _ text: String?, _ compiler: inout ExpressionCompiler
    ) throws -> [String] {
        guard let text, text.contains(where: { !$0.isWhitespace }) else { return [] }
        compiler.text = text
        compiler.what = "where"
        let expression = try ExpressionParser.parse(text, what: "where")
        for part in expression.conjuncts {
            var condition = Condition(expression: part, sql: try compiler.condition(part))
            if !Self.namesLastOrBest(part) {
                condition.models = try ModelSet.sql(part, &compiler)
                if rows == .checkpoints {
                    condition.checkpoints = try CheckpointSet.sql(part, &compiler)
                    condition.ofRange = try RangeBound.sql(part, &compiler)
                }
            }
            if rows == .checkpoints {
                condition.pin = Self.pin(part)
                condition.isPoint = Self.isEquality(part, of: ["id", "checkpoint"])
                condition.isIndexed = condition.pin != nil || Self.isIndexed(part)
            }
            conditions.append(condition)
        }
        return expression.names
    }

    /// `x desc`, `x asc`, `-x`, `x`.
    static func direction(_ key: String) throws -> (String, Bool) {
        let trimmed = key.drop(while: \.isWhitespace)
        let words = trimmed.split(whereSeparator: \.isWhitespace)
        guard let last = words.last else { throw ZooError(.usage, "sort: an empty key") }
        if words.count > 1, ["desc", "asc"].contains(last.lowercased()) {
            return (String(trimmed[..<last.startIndex]), last.lowercased() == "desc")
        }
        return trimmed.first == "-" ? (String(trimmed.dropFirst()), true) : (String(trimmed), false)
    }

    /// What is shown when nothing is asked for: the usual columns and those the query speaks of.
    private static func defaults(_ rows: Query.Rows, _ mentioned: [String]) -> [String] {
        var names: [String]
        switch rows {
        case .checkpoints:
            names = ["id", "zoo", "model", "epoch", "train_accuracy", "val_accuracy", "test_accuracy", "test_loss"]
        case .models:
            names = ["id", "zoo", "model", "architecture", "checkpoints", "last_epoch", "test_accuracy"]
            names.append("best_test_accuracy")
        case .metrics: names = ["metric", "value", "error", "checkpoint", "model", "epoch", "other"]
        }
        let pseudo: Set<String> = ["last", "best", "@last", "@best"]
        for name in mentioned where !names.contains(name) && !pseudo.contains(name) { names.append(name) }
        return names
    }

    /// Drops the first sort key and with it the rows that have it.
    mutating func sortOnlyRest() {
        let first = sort.removeFirst()
        let position = Expression(kind: .truth(true), position: 0)
        conditions.append(Condition(expression: position, sql: "(\(first.value.sql) IS NULL)"))
    }

    // MARK: Running

    /// Calls `body` with each row in order.
    mutating func forEach(_ body: ([JSONValue]) throws -> Void) throws {
        if limit == 0 { return }
        if let grouping { return try grouping.run(self, body) }
        if rows == .checkpoints, let limit, limit <= TopRows.largestLimit,
            let ids = try TopRows(self, limit: limit).ids()
        {
            return try fetch(ids, body)
        }
        try runDirectly(body)
    }

    /// The columns of a row, each with the mark that it is NaN where it can be.
    private var selection: SQLText {
        columns.map { column in column.isNaN.map { "\(column.sql), \($0)" } ?? column.sql }.joined(", ")
    }

    private func row(_ statement: SQLStatement) throws -> [JSONValue] {
        var position = 0
        return columns.map { column in
            defer { position += column.isNaN == nil ? 1 : 2 }
            if column.isNaN != nil, statement.int(position + 1) != 0 { return .double(.nan) }
            return Self.json(statement.value(position), isTruth: column.isShownAsTruth || column.type == .truth)
        }
    }

    /// A value of SQLite as JSON.
    static func json(_ value: SQLValue, isTruth: Bool) -> JSONValue {
        switch value {
        case .null: .null
        case .int(let value): isTruth ? .bool(value != 0) : .int(value)
        case .double(let value): .double(value)
        case .text(let value): .string(value)
        }
    }

    private func fetch(_ ids: [Int64], _ body: ([JSONValue]) throws -> Void) throws {
        let list = "[" + ids.map(String.init).joined(separator: ",") + "]"
        let from = FromClause.sql(
            "json_each(\(.text(list))) k CROSS JOIN checkpoint c ON c.id = k.value", base: .checkpoint,
            tables: selection.tables, isOrdered: true)
        try each("SELECT \(selection) FROM \(from) ORDER BY k.key", body)
    }

    private func each(_ sql: SQLText, _ body: ([JSONValue]) throws -> Void) throws {
        let statement = try connection.prepare(sql.text)
        try statement.bind(sql.arguments)
        while try statement.step() { try body(try row(statement)) }
    }

    /// One statement that SQLite plans by itself, with the smallest set of models in front where there is one.
    private func runDirectly(_ body: ([JSONValue]) throws -> Void) throws {
        var order = sort.map { "\($0.value.sql)\(raw: $0.isDescending ? " DESC" : " ASC NULLS LAST")" as SQLText }
        switch rows {
        case .checkpoints: order += ["c.model_id", "c.id"]
        case .models: order += ["s.model_id"]
        case .metrics: order += ["x.id"]
        }
        let filter = try directFilter()
        let ordering = order.joined(", ")
        let tables = selection.tables.union(filter.where.tables).union(ordering.tables)
        let from = FromClause.sql(filter.from, base: filter.base, tables: tables, isOrdered: rows != .metrics)
        let cut: SQLText = limit.map { " LIMIT \(.int(Int64($0)))" } ?? ""
        try each("SELECT \(selection) FROM \(from) WHERE \(filter.where) ORDER BY \(ordering)\(cut)", body)
    }

    /// Where rows come from and which of them count, for a statement without further cunning.
    func directFilter() throws -> (from: SQLText, base: QueryTable, where: SQLText) {
        let condition = conditions.map(\.sql).conjunction
        switch rows {
        case .metrics: return ("metric x", .metric, condition)
        case .models:
            guard let set = try ModelSet.smallest(of: self) else {
                return ("model_summary s", .summary, condition)
            }
            return ("(\(set.sql)) w CROSS JOIN model_summary s ON s.model_id = w.model_id", .summary, condition)
        case .checkpoints:
            if let set = try CheckpointSet.smallest(of: self) {
                return ("(\(set)) w CROSS JOIN checkpoint c ON c.id = w.checkpoint_id", .checkpoint, condition)
            }
            guard let set = try ModelSet.smallest(of: self) else {
                return ("checkpoint c", .checkpoint, condition)
            }
            return ("(\(set.sql)) w CROSS JOIN checkpoint c ON c.model_id = w.model_id", .checkpoint, condition)
        }
    }
}

/// The tables behind a query, joined to where its rows come from.
enum FromClause {
    /// - Parameters:
    ///   - start: the first tables, with `base` among them.
    ///   - tables: all that is read.
    ///   - isOrdered: the tables are read in the order written, whatever SQLite estimates.
    static func sql(
        _ start: SQLText, base: QueryTable, tables: Set<QueryTable>, isOrdered: Bool
    ) -> SQLText {
        var present: Set<QueryTable> = [base]
        var result = start
        func join(_ table: QueryTable, _ text: String) {
            guard present.insert(table).inserted else { return }
            result = "\(result) \(raw: isOrdered && text.hasPrefix("JOIN") ? "CROSS " : "")\(raw: text)"
        }
        if base == .metric {
            join(.checkpoint, "JOIN checkpoint c ON c.id = x.checkpoint_id")
            if tables.contains(.metricName) { join(.metricName, "JOIN metric_name n ON n.id = x.name_id") }
        }
        let model = base == .summary ? "s.model_id" : base == .model ? "m.id" : "c.model_id"
        if tables.contains(.summary) { join(.summary, "JOIN model_summary s ON s.model_id = \(model)") }
        if !tables.isDisjoint(with: [.model, .zoo, .source]) { join(.model, "JOIN model m ON m.id = \(model)") }
        if tables.contains(.zoo) { join(.zoo, "JOIN zoo z ON z.id = m.zoo_id") }
        if tables.contains(.source) { join(.source, "JOIN source o ON o.id = m.source_id") }
        if tables.contains(.layout) { join(.layout, "LEFT JOIN layout l ON l.id = c.layout_id") }
        return result
    }
}
