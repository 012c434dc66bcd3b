import ZooBase

/// An expression with its names resolved, as SQL.
///
/// Missing values and NaN are SQL's NULL: a comparison with one is unknown, and so is its negation. A configuration
/// value of the other kind (a text where numbers are compared) counts as missing.
struct CompiledExpression {
    var sql: SQLText
    var type: ColumnType
    /// SQL that is 1 where the value is NaN.
    var isNaN: SQLText?
    /// The range over a model's checkpoints that bounds it.
    var zone: ZonedColumn?
    /// The constant it is.
    var constant: SQLValue?
    /// The configuration keys it reads, when it is a name of the configuration.
    var configKeys: [Int64] = []
    /// How a configuration value reads as a number, or as a text: missing if it is of the other kind.
    var numeric: SQLText?
    var textual: SQLText?
    /// Whether it is shown as true and false though it is stored as 1 and 0.
    var isShownAsTruth = false
    /// The metric it is.
    var metric: Int64?
    /// The text without parentheses, for a longer chain of sums or products.
    var chain: (sql: SQLText, isProduct: Bool)?

    /// Whether a row of it is fixed by the model alone.
    var isOfModel: Bool { sql.tables.allSatisfy(\.isOfModel) }
}

/// Turns syntax trees into SQL over the tables of `QueryTable`.
struct ExpressionCompiler {
    var resolver: NameResolver
    let rows: Query.Rows
    /// The text that is compiled, and what it is: for messages.
    var text = ""
    var what = "where"

    init(_ connection: Connection, rows: Query.Rows) {
        resolver = NameResolver(connection, rows: rows)
        self.rows = rows
    }

    /// Parses and compiles.
    mutating func compile(_ text: String, what: String) throws -> (Expression, CompiledExpression) {
        self.text = text
        self.what = what
        let expression = try ExpressionParser.parse(text, what: what)
        return (expression, try compile(expression))
    }

    /// Compiles a condition.
    mutating func condition(_ expression: Expression) throws -> SQLText {
        let compiled = try compile(expression)
        switch compiled.type {
        case .truth: return compiled.sql
        case .any: return "(\(compiled.numeric ?? compiled.sql) <> 0)"
        case .number, .text:
            throw fault(expression, "this is a \(compiled.type.rawValue), not a condition; compare it with something")
        }
    }

    private func fault(_ expression: Expression, _ message: String) -> ZooError {
        ExpressionParser.fault(what, text, at: expression.position, message)
    }

    /// Compiles any expression.
    mutating func compile(_ expression: Expression) throws -> CompiledExpression {
        switch expression.kind {
        case .literal(let value): return literal(value)
        case .truth(let value):
            return CompiledExpression(sql: value ? "1" : "0", type: .truth, constant: SQLValue(value))
        case .name(let name): return try compile(name: name, expression)
        case .negate(let inner):
            let value = try number(inner)
            return CompiledExpression(sql: "(- \(value.sql))", type: .number, isNaN: value.isNaN)
        case .not(let inner): return truth("(NOT \(try condition(inner)))")
        // A chain becomes one level of parentheses: SQLite's parser takes few.
        case .and: return truth("(\(try expression.conjuncts.map { try condition($0) }.joined(" AND ")))")
        case .or: return truth("(\(try expression.disjuncts.map { try condition($0) }.joined(" OR ")))")
        case .compare(let comparison, let left, let right):
            if let special = try lastOrBest(comparison, left, right) { return special }
            return truth(try compare(comparison, left, right, at: expression))
        case .arithmetic(let operation, let left, let right): return try arithmetic(operation, left, right)
        case .isIn(let value, let list): return try isIn(value, list, at: expression)
        case .between(let value, let low, let high):
            let lower = try compare(.greaterOrEqual, value, low, at: expression)
            return truth("(\(lower) AND \(try compare(.lessOrEqual, value, high, at: expression)))")
        case .matches(let pattern, let left, let right): return try matches(pattern, left, right)
        case .isNull(let inner):
            let value = try compile(inner)
            return truth(value.isNaN.map { "(\(value.sql) IS NULL AND NOT (\($0)))" } ?? "(\(value.sql) IS NULL)")
        case .isNaN(let inner):
            let value = try compile(inner)
            if value.type == .any { return truth("(ifnull(\(value.textual ?? value.sql), '') = 'NaN')") }
            return truth(value.isNaN.map { "(\($0))" } ?? "0")
        case .call(let function, let arguments): return try call(function, arguments, at: expression)
        }
    }

    private func truth(_ sql: SQLText) -> CompiledExpression { CompiledExpression(sql: sql, type: .truth) }

    private func literal(_ value: SQLValue) -> CompiledExpression {
        switch value {
        case .null: CompiledExpression(sql: "NULL", type: .any, constant: .null, numeric: "NULL", textual: "NULL")
        case .int, .double: CompiledExpression(sql: "\(value)", type: .number, constant: value)
        case .text: CompiledExpression(sql: "\(value)", type: .text, constant: value)
        }
    }

    // MARK: Names

    private mutating func compile(name: String, _ expression: Expression) throws -> CompiledExpression {
        let resolved: ResolvedName
        do {
            resolved = try resolver.resolve(name)
        } catch let error as ZooError {
            throw ZooError(error.code, fault(expression, error.message).message, hint: error.hint)
        }
        switch resolved {
        case .column(let column):
            return CompiledExpression(sql: column.sql, type: column.type, isNaN: column.isNaN, zone: column.zone)
        case .config(let ids, let kinds): return config(ids, kinds)
        case .result(let id):
            let row: SQLText =
                rows == .models
                ? SQLText("r.model_id = s.model_id AND r.epoch = s.last_result_epoch", tables: [.summary])
                : SQLText("r.model_id = c.model_id AND r.epoch = c.epoch", tables: [.checkpoint])
            return number(from: "result_value r WHERE \(row) AND r.key_id = \(.int(id))", value: "r.value")
        case .metric(let id):
            let row: SQLText =
                rows == .models
                ? SQLText("y.checkpoint_id = s.last_checkpoint_id", tables: [.summary])
                : SQLText("y.checkpoint_id = c.id", tables: [.checkpoint])
            var compiled = number(
                from: "metric y WHERE \(row) AND y.name_id = \(.int(id)) AND ifnull(y.other_id, 0) = 0",
                value: "y.value")
            compiled.metric = id
            return compiled
        }
    }

    private func number(from rows: SQLText, value: String) -> CompiledExpression {
        CompiledExpression(
            sql: "(SELECT \(raw: value) FROM \(rows))", type: .number,
            isNaN: "ifnull((SELECT \(raw: value) IS NULL FROM \(rows)), 0)")
    }

    private func config(_ ids: [Int64], _ kinds: ConfigRows.Kinds) -> CompiledExpression {
        func scalar(_ value: String) -> SQLText {
            let keys = ids.map { "\(.int($0))" as SQLText }.joined(", ")
            let model = SQLText("s.model_id", tables: [.summary])
            return "(SELECT \(raw: value) FROM config_value v WHERE v.key_id IN (\(keys)) AND v.model_id = \(model))"
        }
        return CompiledExpression(
            sql: scalar("v.value"), type: .any, configKeys: ids,
            numeric: scalar("CASE WHEN typeof(v.value) <> 'text' THEN v.value END"),
            textual: scalar("CASE WHEN typeof(v.value) = 'text' THEN v.value END"),
            isShownAsTruth: kinds.contains(.truth) && kinds.isSubset(of: [.truth, .null]))
    }

    /// `epoch = last`, `epoch != best`.
    private func lastOrBest(
        _ comparison: Expression.Comparison, _ left: Expression, _ right: Expression
    ) throws -> CompiledExpression? {
        guard rows != .models, case .name("epoch") = left.kind else { return nil }
        let word: String
        switch right.kind {
        case .name(let name): word = name
        case .literal(.text(let text)): word = text
        default: return nil
        }
        let columns = ["last": "is_last", "@last": "is_last", "best": "is_best", "@best": "is_best"]
        guard let column = columns[word] else { return nil }
        guard comparison == .equal || comparison == .unequal else {
            throw fault(right, "'\(word)' can only be compared with = and !=")
        }
        return truth(SQLText("(c.\(column) = \(comparison == .equal ? 1 : 0))", tables: [.checkpoint]))
    }

    // MARK: Operators

    private mutating func number(_ expression: Expression) throws -> CompiledExpression {
        var value = try compile(expression)
        switch value.type {
        case .number: break
        case .any: value.sql = value.numeric ?? value.sql
        case .text, .truth: throw fault(expression, "expected a number, this is a \(value.type.rawValue)")
        }
        return value
    }

    private mutating func textValue(_ expression: Expression) throws -> SQLText {
        let value = try compile(expression)
        switch value.type {
        case .text: return value.sql
        case .any: return value.textual ?? value.sql
        case .number, .truth: throw fault(expression, "expected a text, this is a \(value.type.rawValue)")
        }
    }

    private mutating func arithmetic(
        _ operation: Expression.Arithmetic, _ left: Expression, _ right: Expression
    ) throws -> CompiledExpression {
        if operation == .subtract, let gap = resolver.columns["ggap"],
            isColumn(left, "train_accuracy"), isColumn(right, "test_accuracy")
        {
            // The same number as the derived column, whose range per model is known.
            return CompiledExpression(sql: gap.sql, type: .number, isNaN: gap.isNaN, zone: gap.zone)
        }
        let (a, b) = (try number(left), try number(right))
        let isNaN: SQLText? =
            switch (a.isNaN, b.isNaN) {
            case (let a?, let b?): "((\(a)) OR (\(b)))"
            case (let one?, nil), (nil, let one?): one
            case (nil, nil): nil
            }
        let isProduct = operation == .multiply || operation == .divide
        let start = a.chain.flatMap { $0.isProduct == isProduct ? $0.sql : nil } ?? a.sql
        // Whole numbers divide as real ones.
        let first: SQLText = operation == .divide ? "1.0 * \(start)" : start
        let sql: SQLText = "\(first) \(raw: operation.rawValue) \(b.sql)"
        var result = CompiledExpression(sql: "(\(sql))", type: .number, isNaN: isNaN)
        result.chain = (sql, isProduct)
        return result
    }

    private func isColumn(_ expression: Expression, _ name: String) -> Bool {
        guard case .name(let spelling) = expression.kind else { return false }
        return spelling == name || spelling == name.replacing("accuracy", with: "acc")
    }

    private mutating func compare(
        _ comparison: Expression.Comparison, _ left: Expression, _ right: Expression, at expression: Expression
    ) throws -> SQLText {
        let (a, b) = (try compile(left), try compile(right))
        func join(_ a: SQLText, _ b: SQLText) -> SQLText { "(\(a) \(raw: comparison.rawValue) \(b))" }
        switch (a.type, b.type) {
        case (.any, .any):
            let sameKind: SQLText = "((typeof(\(a.sql)) = 'text') = (typeof(\(b.sql)) = 'text'))"
            return "(CASE WHEN \(sameKind) THEN \(join(a.sql, b.sql)) END)"
        case (.any, .text): return join(a.textual ?? a.sql, b.sql)
        case (.text, .any): return join(a.sql, b.textual ?? b.sql)
        case (.any, _): return join(a.numeric ?? a.sql, "+\(b.sql)")
        case (_, .any): return join("+\(a.sql)", b.numeric ?? b.sql)
        case (.text, .text), (.number, .number), (.truth, .truth), (.truth, .number), (.number, .truth):
            return join(a.sql, b.sql)
        case (.text, _), (_, .text):
            throw fault(expression, "a \(a.type.rawValue) is compared with a \(b.type.rawValue)")
        }
    }

    private mutating func isIn(
        _ value: Expression, _ list: [Expression], at expression: Expression
    ) throws -> CompiledExpression {
        let constants = try list.map { try compile($0).constant }
        let compiled = try compile(value)
        let isNumeric = constants.allSatisfy {
            if case .int = $0 { true } else if case .double = $0 { true } else { false }
        }
        let isText = constants.allSatisfy { if case .text = $0 { true } else { false } }
        let subject: SQLText? =
            switch compiled.type {
            case .number, .truth: isNumeric ? compiled.sql : nil
            case .text: isText ? compiled.sql : nil
            case .any: isNumeric ? compiled.numeric : isText ? compiled.textual : nil
            }
        if let subject {
            let values = constants.compactMap { $0 }.map { "\($0)" as SQLText }.joined(", ")
            return truth("(\(subject) IN (\(values)))")
        }
        let tests = try list.map { try compare(.equal, value, $0, at: expression) }
        guard tests.count <= 400 else { throw fault(expression, "more than 400 values of mixed kinds in a list") }
        return truth("(\(tests.joined(" OR ")))")
    }

    private mutating func matches(
        _ pattern: Expression.Pattern, _ left: Expression, _ right: Expression
    ) throws -> CompiledExpression {
        let subject = try textValue(left)
        let needle = try textValue(right)
        if pattern == .like { return truth("(\(subject) LIKE \(needle))") }
        if case .literal(.text(let text)) = right.kind, text.contains("*") || text.contains("?") {
            return truth("(\(subject) GLOB \(needle))")
        }
        return truth("(instr(\(subject), \(needle)) > 0)")
    }

    private mutating func call(
        _ function: String, _ arguments: [Expression], at expression: Expression
    ) throws -> CompiledExpression {
        if Aggregate(rawValue: function) != nil {
            throw fault(expression, "'\(function)' summarises groups; use it in --columns or --sort with --group-by")
        }
        guard function == "abs" else { throw fault(expression, "unknown function '\(function)'; there is abs(x)") }
        guard arguments.count == 1 else { throw fault(expression, "abs takes one number") }
        let value = try number(arguments[0])
        return CompiledExpression(sql: "abs(\(value.sql))", type: .number, isNaN: value.isNaN)
    }
}
