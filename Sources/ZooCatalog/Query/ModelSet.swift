import ZooBase

/// Sets of models that a condition allows, found through an index instead of asking each model.
enum ModelSet {
    /// SQL that lists `model_id`s: all models for which the condition can hold. nil when only asking each model can tell.
    static func sql(_ condition: Expression, _ compiler: inout ExpressionCompiler) throws -> SQLText? {
        switch condition.kind {
        case .compare(let comparison, let left, let right):
            if let set = try config(left, comparison, right, &compiler) { return set }
            return try config(right, comparison.mirrored, left, &compiler) ?? text(condition, &compiler)
        case .isIn(let value, let list):
            guard case .name(let name) = value.kind, case .config(let ids, _) = try compiler.resolver.resolve(name)
            else {
                return try text(condition, &compiler)
            }
            let constants = try list.map { try compiler.compile($0).constant }
            guard constants.allSatisfy({ $0 != nil && $0 != .null }) else { return nil }
            let values = constants.compactMap { $0 }.map { "\($0)" as SQLText }.joined(", ")
            return values.text.isEmpty ? nil : self.list(ids, "v.value IN (\(values))")
        case .between(let value, let low, let high):
            guard case .name(let name) = value.kind, case .config(let ids, _) = try compiler.resolver.resolve(name),
                let least = try compiler.compile(low).constant, let most = try compiler.compile(high).constant,
                case let kinds = [least, most], kinds.allSatisfy({ kind(of: $0) == .number })
            else { return nil }
            return self.list(ids, "v.value BETWEEN \(least) AND \(most)")
        case .matches: return try text(condition, &compiler)
        default: return nil
        }
    }

    static func kind(of value: SQLValue) -> ColumnType? {
        switch value {
        case .null: nil
        case .int, .double: .number
        case .text: .text
        }
    }

    private static func list(_ ids: [Int64], _ condition: SQLText) -> SQLText {
        let keys = ids.map { "\(.int($0))" as SQLText }.joined(", ")
        // The value's index is named: SQLite would take the key's own for an inequality without statistics.
        return """
            SELECT v.model_id FROM config_value v INDEXED BY config_by_value
            WHERE v.key_id IN (\(keys)) AND \(condition)
            """
    }

    private static func config(
        _ left: Expression, _ comparison: Expression.Comparison, _ right: Expression,
        _ compiler: inout ExpressionCompiler
    ) throws -> SQLText? {
        guard comparison != .unequal, case .name(let name) = left.kind,
            case .config(let ids, _) = try compiler.resolver.resolve(name),
            let constant = try compiler.compile(right).constant, let kind = kind(of: constant)
        else { return nil }
        // All numbers sort before all texts in SQLite, so a range of one kind ends where the other begins.
        let value: SQLText = "v.value \(raw: comparison.rawValue) \(constant)"
        switch (kind, comparison) {
        case (.number, .greater), (.number, .greaterOrEqual): return list(ids, "\(value) AND v.value < ''")
        case (.text, .less), (.text, .lessOrEqual): return list(ids, "\(value) AND v.value >= ''")
        default: return list(ids, value)
        }
    }

    /// A condition on names: scanning the index of names once beats looking up each model's row.
    private static func text(_ condition: Expression, _ compiler: inout ExpressionCompiler) throws -> SQLText? {
        let names = Set(condition.names)
        guard !names.isEmpty, names.isSubset(of: ["model", "name", "architecture", "zoo"]) || names == ["model_id"]
        else {
            return nil
        }
        let sql = try compiler.condition(condition)
        guard sql.tables.isSubset(of: [.model, .zoo, .summary]) else { return nil }
        if sql.tables.contains(.summary) { return "SELECT s.model_id FROM model_summary s WHERE \(sql)" }
        let zoo = sql.tables.contains(.zoo) ? " JOIN zoo z ON z.id = m.zoo_id" : ""
        return "SELECT m.id AS model_id FROM model m\(raw: zoo) WHERE \(sql)"
    }

    /// The smallest of the sets; nil when none is small.
    static func smallest(of query: PreparedQuery) throws -> (sql: SQLText, count: Int)? {
        let (connection, largest) = (query.connection, query.limits.modelSet)
        var best: (sql: SQLText, count: Int)?
        for set in query.conditions.compactMap(\.models) {
            if set.tables.contains(.model) {
                // Found by a scan over names: not to be made twice.
                if let listed = try list(set, atMost: best?.count ?? largest, connection) { best = listed }
                continue
            }
            let limit = best?.count ?? largest
            let statement = try connection.prepare("SELECT count(*) FROM (\(set.text) LIMIT \(limit + 1))")
            try statement.bind(set.arguments)
            guard try statement.step(), case let count = Int(statement.int(0)), count <= limit else { continue }
            best = (set, count)
        }
        return best
    }

    private static func list(
        _ set: SQLText, atMost limit: Int, _ connection: Connection
    ) throws -> (sql: SQLText, count: Int)? {
        let ids = try connection.rows("\(set.text) LIMIT \(limit + 1)", set.arguments) { $0.int(0) }
        guard ids.count <= limit else { return nil }
        let text = "[" + ids.map(String.init).joined(separator: ",") + "]"
        return ("SELECT value AS model_id FROM json_each(\(.text(text)))", ids.count)
    }
}

/// Sets of checkpoints that a condition allows, found through the index of metrics.
enum CheckpointSet {
    /// SQL that lists `checkpoint_id`s: all checkpoints for which the condition can hold.
    static func sql(_ condition: Expression, _ compiler: inout ExpressionCompiler) throws -> SQLText? {
        switch condition.kind {
        case .compare(let comparison, let left, let right):
            if let set = try metric(left, comparison, right, &compiler) { return set }
            return try metric(right, comparison.mirrored, left, &compiler)
        case .between(let value, let low, _): return try metric(value, .greaterOrEqual, low, &compiler)
        case .not(let inner):
            guard case .isNull(let value) = inner.kind else { return nil }
            return try metric(value, nil, value, &compiler)
        default: return nil
        }
    }

    private static func metric(
        _ left: Expression, _ comparison: Expression.Comparison?, _ right: Expression,
        _ compiler: inout ExpressionCompiler
    ) throws -> SQLText? {
        guard case .name(let name) = left.kind, case .metric(let id) = try compiler.resolver.resolve(name) else {
            return nil
        }
        let all: SQLText = """
            SELECT y.checkpoint_id FROM metric y INDEXED BY metric_by_value
            WHERE y.name_id = \(.int(id)) AND y.other_id IS NULL
            """
        guard let comparison else { return all }
        guard let constant = try compiler.compile(right).constant, ModelSet.kind(of: constant) == .number else {
            return all
        }
        return "\(all) AND y.value \(raw: comparison.rawValue) \(constant)"
    }

    /// The smallest of the sets; nil when none is small.
    static func smallest(of query: PreparedQuery) throws -> SQLText? {
        let (connection, largest) = (query.connection, query.limits.checkpointSet)
        var best: (sql: SQLText, count: Int)?
        for set in query.conditions.compactMap(\.checkpoints) {
            let limit = best?.count ?? largest
            let statement = try connection.prepare("SELECT count(*) FROM (\(set.text) LIMIT \(limit + 1))")
            try statement.bind(set.arguments)
            guard try statement.step(), case let count = Int(statement.int(0)), count <= limit else { continue }
            best = (set, count)
        }
        return best?.sql
    }
}

/// What a condition on a checkpoint's number says about the range of that number over the model.
enum RangeBound {
    /// SQL over `model_summary` that holds for every model with such a checkpoint; nil when nothing follows.
    static func sql(_ condition: Expression, _ compiler: inout ExpressionCompiler) throws -> SQLText? {
        switch condition.kind {
        case .compare(let comparison, let left, let right):
            if let bound = try bound(left, comparison, right, &compiler) { return bound }
            return try bound(right, comparison.mirrored, left, &compiler)
        case .between(let value, let low, let high):
            guard let above = try bound(value, .greaterOrEqual, low, &compiler),
                let below = try bound(value, .lessOrEqual, high, &compiler)
            else { return nil }
            return "\(above) AND \(below)"
        default: return nil
        }
    }

    private static func bound(
        _ left: Expression, _ comparison: Expression.Comparison, _ right: Expression,
        _ compiler: inout ExpressionCompiler
    ) throws -> SQLText? {
        guard let zone = try compiler.compile(left).zone, let constant = try compiler.compile(right).constant,
            ModelSet.kind(of: constant) == .number
        else { return nil }
        let lowest = SQLText("s.\(zone.lowest)", tables: [.summary])
        let highest = SQLText("s.\(zone.highest)", tables: [.summary])
        switch comparison {
        case .less, .lessOrEqual: return "\(lowest) \(raw: comparison.rawValue) \(constant)"
        case .greater, .greaterOrEqual: return "\(highest) \(raw: comparison.rawValue) \(constant)"
        case .equal: return "\(lowest) <= \(constant) AND \(highest) >= \(constant)"
        case .unequal: return nil
        }
    }
}
