import ZooBase

/// The first rows of a sorted query over checkpoints, found without looking at most of them.
///
/// `model_summary` knows, for each model, the best that any of its checkpoints can offer for the sort key. Models are
/// taken in that order, their checkpoints are filtered and ranked, and the search ends when the next model's best is
/// behind the last row kept (the threshold algorithm of Fagin, Lotem and Naor, 2003, with one list). The answer is
/// exact; only the work depends on how well the bound fits.
struct TopRows {
    /// Past this many rows a plain sort is as good.
    static let largestLimit = 10_000
    private let query: PreparedQuery
    private let limit: Int
    private var connection: Connection { query.connection }

    /// One row kept, with its sort keys.
    private struct Candidate {
        var id: Int64
        var model: Int64
        var keys: [SQLValue]
    }

    init(_ query: PreparedQuery, limit: Int) {
        self.query = query
        self.limit = limit
    }

    /// The ids of the rows in order; nil when this is not the way to find them.
    func ids() throws -> [Int64]? {
        let first = query.sort.first
        if query.conditions.contains(where: \.isPoint) { return nil }
        if let metric = first?.value.metric { return try byMetric(metric) }
        if try CheckpointSet.smallest(of: query) != nil { return nil }
        guard first == nil || first?.value.zone != nil || first?.value.isOfModel == true else { return nil }
        if let found = try search() { return found }
        return isInOrderOfIndex ? try scan() : nil
    }

    /// The one checkpoint of each model that counts, as a column of `model_summary`.
    private var pin: String? { query.conditions.compactMap(\.pin).first }

    /// Whether an index holds the rows in the wished order, or few enough of them to sort.
    private var isInOrderOfIndex: Bool {
        guard let first = query.sort.first, query.sort.allSatisfy({ $0.value.sql.tables == [.checkpoint] }) else {
            return false
        }
        return first.value.zone == .testAccuracy || query.conditions.contains(where: \.isIndexed)
    }

    // MARK: By model

    private func search() throws -> [Int64]? {
        let patience = pin == nil && isInOrderOfIndex ? query.limits.patience : query.limits.lastPatience
        let set = try ModelSet.smallest(of: query)?.sql
        var best: [Candidate] = []
        var examined = 0
        var chunk = max(query.limits.chunk, min(limit, 512))
        let checkpoints = try statementOfChunk()
        for isMissing in query.sort.isEmpty ? [false] : [false, true] {
            let models = try statementOfModels(set, isMissing: isMissing)
            var next = try models.step()
            while next {
                var ids: [Int64] = []
                while next, ids.count < chunk {
                    if try isSettled(best, by: models) {
                        // Models gathered before this one still have to be looked at.
                        if ids.isEmpty { return best.map(\.id) }
                        break
                    }
                    if pin == nil { ids.append(models.int(0)) } else if !models.isNull(2) { ids.append(models.int(2)) }
                    examined += 1
                    next = try models.step()
                }
                best = merge(best, try candidates(of: ids, checkpoints))
                if examined > patience, set == nil { return nil }
                chunk = min(chunk * 2, 1024)
            }
        }
        return best.map(\.id)
    }

    /// Whether the model that the statement stands at, and all after it, come behind all rows kept.
    private func isSettled(_ best: [Candidate], by models: SQLStatement) throws -> Bool {
        guard best.count == limit, let last = best.last else { return false }
        if let sort = query.sort.first, let key = last.keys.first {
            let order = Self.order(models.value(1), key, isDescending: sort.isDescending)
            if order != 0 { return order > 0 }
        }
        return query.sort.count <= 1 && models.int(0) > last.model
    }

    /// Models in the order of their best, first those that have one.
    private func statementOfModels(_ set: SQLText?, isMissing: Bool) throws -> SQLStatement {
        let conditions = query.conditions.filter(\.isOfModel).map(\.sql) + query.conditions.compactMap(\.ofRange)
        var start: SQLText =
            set.map { "(\($0)) w CROSS JOIN model_summary s ON s.model_id = w.model_id" }
            ?? "model_summary s"
        var bound: SQLText = "NULL"
        if let sort = query.sort.first {
            bound =
                sort.value.zone.map {
                    SQLText("s.\(sort.isDescending ? $0.highest : $0.lowest)", tables: [.summary])
                } ?? sort.value.sql
            if set == nil, !isMissing, let zone = sort.value.zone {
                start = "model_summary s\(raw: try indexHint(sort.isDescending ? zone.highest : zone.lowest))"
            }
            if set == nil, !isMissing, !sort.value.configKeys.isEmpty {
                let keys = sort.value.configKeys.map { "\(.int($0))" as SQLText }.joined(", ")
                start = """
                    config_value q INDEXED BY config_by_value CROSS JOIN model_summary s
                    ON s.model_id = q.model_id AND q.key_id IN (\(keys))
                    """
                bound = "q.value"
            }
        }
        let direction = query.sort.first?.isDescending == true ? "DESC" : "ASC"
        let condition = conditions.conjunction
        let from = FromClause.sql(
            start, base: .summary, tables: condition.tables.union(bound.tables), isOrdered: true)
        let presence: SQLText = query.sort.isEmpty ? "1" : "\(bound) IS \(raw: isMissing ? "" : "NOT ")NULL"
        let order: SQLText =
            query.sort.isEmpty || isMissing ? "s.model_id" : "\(bound) \(raw: direction), s.model_id"
        let sql: SQLText = """
            SELECT s.model_id, \(bound), \(raw: pin.map { "s.\($0)" } ?? "NULL") FROM \(from)
            WHERE s.checkpoint_count > 0 AND \(presence) AND \(condition) ORDER BY \(order)
            """
        let statement = try connection.prepare(sql.text)
        try statement.bind(sql.arguments)
        return statement
    }

    /// Without exact statistics SQLite would sort all models instead of walking the index; after a kill during a large
    /// load there may be none.
    private func indexHint(_ column: String) throws -> String {
        let exists = try connection.integer(
            "SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = ?", .text("summary_\(column)"))
        return exists == nil ? "" : " INDEXED BY summary_\(column)"
    }

    /// The best rows of some models, the list of models (or of their one checkpoint) being the first argument.
    private func statementOfChunk() throws -> SQLStatement {
        let condition = query.conditions.filter { !$0.isOfModel }.map(\.sql).conjunction
        let keys = query.sort.map { "\($0.value.sql)" as SQLText }
        let selection = (["c.id", "c.model_id"] + keys).joined(", ")
        let order = query.sort.map {
            "\($0.value.sql)\(raw: $0.isDescending ? " DESC" : " ASC NULLS LAST")" as SQLText
        }
        let ordering = (order + ["c.model_id", "c.id"]).joined(", ")
        let tables = condition.tables.union(selection.tables).union(ordering.tables)
        let rows: SQLText =
            pin == nil
            ? "checkpoint c INDEXED BY checkpoint_model ON c.model_id = k.value" : "checkpoint c ON c.id = k.value"
        let from = FromClause.sql(
            "json_each(?1) k CROSS JOIN \(rows)", base: .checkpoint, tables: tables, isOrdered: true)
        // Named by number, the list may stand behind the arguments of the selection in the text.
        let sql: SQLText = """
            SELECT \(selection) FROM \(from) WHERE \(condition) ORDER BY \(ordering) LIMIT \(.int(Int64(limit)))
            """
        let numbered = Self.numbered(sql.text)
        let statement = try connection.prepare(numbered)
        for (index, value) in sql.arguments.enumerated() { statement.bind(index + 2, value) }
        return statement
    }

    /// The same text with its plain arguments numbered from 2 on.
    private static func numbered(_ text: String) -> String {
        var result = ""
        var next = 2
        var characters = text.makeIterator()
        var current = characters.next()
        while let character = current {
            current = characters.next()
            result.append(character)
            if character == "?", current != "1" {  // "?1" is numbered already
                result += String(next)
                next += 1
            }
        }
        return result
    }

    private func candidates(of models: [Int64], _ statement: SQLStatement) throws -> [Candidate] {
        statement.reset()
        statement.bind(1, "[" + models.map(String.init).joined(separator: ",") + "]")
        var rows: [Candidate] = []
        while try statement.step() {
            let keys = query.sort.indices.map { statement.value(2 + $0) }
            rows.append(Candidate(id: statement.int(0), model: statement.int(1), keys: keys))
        }
        return rows
    }

    // MARK: By index

    /// Walks checkpoints in the order of an index and asks of each whether the other conditions hold, until there are
    /// enough; those without the sort key follow.
    private func scan() throws -> [Int64]? {
        let own = query.conditions.filter { $0.sql.tables.isSubset(of: [.checkpoint]) }.map(\.sql)
        let others = query.conditions.filter { !$0.sql.tables.isSubset(of: [.checkpoint]) }.map(\.sql)
        let test = try others.isEmpty ? nil : statementOfTest(others.conjunction)
        var found: [Int64] = []
        for isMissing in [false, true] {
            let rows = try statementOfScan(own, isMissing: isMissing)
            while found.count < limit, try rows.step() {
                let id = rows.int(0)
                if let test {
                    test.reset()
                    test.bind(1, id)
                    guard try test.step() else { continue }
                }
                found.append(id)
            }
        }
        return found
    }

    private func statementOfScan(_ conditions: [SQLText], isMissing: Bool) throws -> SQLStatement {
        let presence = query.sort.prefix(1).map {
            "\($0.value.sql) IS \(raw: isMissing ? "" : "NOT ")NULL" as SQLText
        }
        let keys = query.sort.enumerated().map { index, sort in
            // Within the rows that have the first key its order is the index's own, without a place for the missing.
            let missing = index == 0 ? "" : " NULLS LAST"
            return "\(sort.value.sql)\(raw: sort.isDescending ? " DESC" : " ASC\(missing)")" as SQLText
        }
        let order = (keys.dropFirst(isMissing ? 1 : 0) + ["c.model_id", "c.id"]).joined(", ")
        let sql: SQLText =
            "SELECT c.id FROM checkpoint c WHERE \((conditions + presence).conjunction) ORDER BY \(order)"
        let statement = try connection.prepare(sql.text)
        try statement.bind(sql.arguments)
        return statement
    }

    private func statementOfTest(_ condition: SQLText) throws -> SQLStatement {
        let from = FromClause.sql("checkpoint c", base: .checkpoint, tables: condition.tables, isOrdered: true)
        let sql: SQLText = "SELECT 1 FROM \(from) WHERE c.id = ?1 AND \(condition)"
        let statement = try connection.prepare(Self.numbered(sql.text))
        for (index, value) in sql.arguments.enumerated() { statement.bind(index + 2, value) }
        return statement
    }

    // MARK: Order

    private func merge(_ left: [Candidate], _ right: [Candidate]) -> [Candidate] {
        guard !left.isEmpty else { return right }
        var merged: [Candidate] = []
        merged.reserveCapacity(min(limit, left.count + right.count))
        var (i, j) = (0, 0)
        while merged.count < limit, i < left.count || j < right.count {
            if j == right.count || (i < left.count && isBefore(left[i], right[j])) {
                merged.append(left[i])
                i += 1
            } else {
                merged.append(right[j])
                j += 1
            }
        }
        return merged
    }

    private func isBefore(_ left: Candidate, _ right: Candidate) -> Bool {
        for (index, sort) in query.sort.enumerated() {
            let order = Self.order(left.keys[index], right.keys[index], isDescending: sort.isDescending)
            if order != 0 { return order < 0 }
        }
        return (left.model, left.id) < (right.model, right.id)
    }

    /// Negative when the first value comes first: SQLite's order (numbers, then texts by their bytes), nothing last.
    private static func order(_ left: SQLValue, _ right: SQLValue, isDescending: Bool) -> Int {
        let (first, second) = (rank(left), rank(right))
        if first == 2 || second == 2 { return first == second ? 0 : first == 2 ? 1 : -1 }
        var order = first - second
        if order == 0 {
            switch (left, right) {
            case (.int(let a), .int(let b)): order = a == b ? 0 : a < b ? -1 : 1
            case (.text(let a), .text(let b)):
                order = a.utf8.elementsEqual(b.utf8) ? 0 : a.utf8.lexicographicallyPrecedes(b.utf8) ? -1 : 1
            default:
                let (a, b) = (number(left), number(right))
                order = a == b ? 0 : a < b ? -1 : 1
            }
        }
        return isDescending ? -order : order
    }

    private static func rank(_ value: SQLValue) -> Int {
        switch value {
        case .int, .double: 0
        case .text: 1
        case .null: 2
        }
    }

    private static func number(_ value: SQLValue) -> Double {
        switch value {
        case .int(let value): Double(value)
        case .double(let value): value
        case .null, .text: 0
        }
    }

    // MARK: By metric

    /// Walks the index of metrics in the order of their values; rows without the metric follow.
    private func byMetric(_ metric: Int64) throws -> [Int64]? {
        guard let sort = query.sort.first else { return nil }
        let rest = query.sort.dropFirst().map {
            "\($0.value.sql)\(raw: $0.isDescending ? " DESC" : " ASC NULLS LAST")" as SQLText
        }
        let condition = query.conditions.map(\.sql).conjunction
        let direction: SQLText = "p.value \(raw: sort.isDescending ? "DESC" : "ASC")"
        let ordering = ([direction] + rest + ["c.model_id", "c.id"]).joined(", ")
        let from = FromClause.sql(
            "metric p INDEXED BY metric_by_value CROSS JOIN checkpoint c ON c.id = p.checkpoint_id", base: .checkpoint,
            tables: condition.tables.union(ordering.tables), isOrdered: true)
        let sql: SQLText = """
            SELECT c.id FROM \(from)
            WHERE p.name_id = \(.int(metric)) AND p.other_id IS NULL AND p.value IS NOT NULL AND \(condition)
            ORDER BY \(ordering) LIMIT \(.int(Int64(limit)))
            """
        let found = try connection.rows(sql.text, sql.arguments) { $0.int(0) }
        guard found.count < limit else { return found }
        let others = query.withoutMetric()
        let more = TopRows(others, limit: limit - found.count)
        return try more.ids().map { found + $0 } ?? found + others.idsDirectly(limit: limit - found.count)
    }
}

extension PreparedQuery {
    /// The same query over the rows that do not have the metric it is sorted by.
    fileprivate func withoutMetric() -> PreparedQuery {
        var copy = self
        copy.sortOnlyRest()
        return copy
    }

    /// The ids of the first rows, by one statement.
    fileprivate func idsDirectly(limit: Int) throws -> [Int64] {
        var order = sort.map { "\($0.value.sql)\(raw: $0.isDescending ? " DESC" : " ASC NULLS LAST")" as SQLText }
        order += ["c.model_id", "c.id"]
        let filter = try directFilter()
        let ordering = order.joined(", ")
        let from = FromClause.sql(
            filter.from, base: filter.base, tables: filter.where.tables.union(ordering.tables), isOrdered: true)
        let sql: SQLText =
            "SELECT c.id FROM \(from) WHERE \(filter.where) ORDER BY \(ordering) LIMIT \(.int(Int64(limit)))"
        return try connection.rows(sql.text, sql.arguments) { $0.int(0) }
    }
}
