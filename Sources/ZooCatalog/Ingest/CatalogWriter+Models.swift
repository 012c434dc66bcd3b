import ZooBase
import ZooTensor

extension CatalogWriter {
    /// Records a model with its results and checkpoints, wholly or not at all, and returns its id.
    ///
    /// A model of the same source, path and name is replaced: it keeps its id, checkpoints of the same member path keep
    /// theirs, and with them their metrics and lineage as long as their content is the same.
    @discardableResult
    public func ingest(_ model: ModelIngest) throws -> Int64 {
        let rows = model.results.count + model.checkpoints.count + model.config.count + 2
        return try ZooError.locate(model.path) {
            try atomically(rows: rows) {
                let known = try knownModel(model)
                let id = try store(model, known: known)
                try storeConfig(model.config, of: id)
                let results = try storeResults(model.results, of: id)
                try storeCheckpoints(model, id: id, results: results, replacing: known != nil)
                try noteCheckpoints(model.checkpoints.count)
                return id
            }
        }
    }

    private func knownModel(_ model: ModelIngest) throws -> Int64? {
        let statement = try statements.statement("SELECT id FROM model WHERE source_id = ? AND path = ? AND name = ?")
        defer { statement.reset() }
        statement.bind(1, model.source)
        statement.bind(2, model.path)
        statement.bind(3, model.name)
        return try statement.step() ? statement.int(0) : nil
    }

    private func store(_ model: ModelIngest, known: Int64?) throws -> Int64 {
        let columns =
            ["zoo_id", "source_id", "name", "path", "architecture"] + ModelFlags.columns + ["config", "bookkeeping"]
        let generation = "(SELECT generation FROM source WHERE id = ?2)"
        let sql: String
        if known == nil {
            sql =
                "INSERT INTO model (\(columns.joined(separator: ", ")), generation) VALUES "
                + "(\((1...columns.count).map { "?\($0)" }.joined(separator: ", ")), \(generation))"
        } else {
            let assignments = columns.enumerated().map { "\($1) = ?\($0 + 1)" }.joined(separator: ", ")
            sql = "UPDATE model SET \(assignments), generation = \(generation) WHERE id = ?\(columns.count + 1)"
        }
        let statement = try statements.statement(sql)
        statement.bind(1, model.zoo)
        statement.bind(2, model.source)
        statement.bind(3, model.name)
        statement.bind(4, model.path)
        statement.bind(5, model.architecture)
        for bit in ModelFlags.columns.indices { statement.bind(6 + bit, Int64(model.flags.rawValue >> bit & 1)) }
        statement.bind(12, model.config.count == 0 ? nil : JSONValue.object(model.config).text())
        statement.bind(13, model.bookkeeping.count == 0 ? nil : JSONValue.object(model.bookkeeping).text())
        if let known { statement.bind(14, known) }
        try statement.runOnce()
        return known ?? connection.lastInsertedID
    }

    // MARK: Configuration

    private func storeConfig(_ config: JSONObject, of model: Int64) throws {
        try statements.run("DELETE FROM config_value WHERE model_id = ?") { $0.bind(1, model) }
        let rows = try ConfigRows.rows(config)
        var bareNames: Set<String> = []
        for row in rows {
            let key = try configKey(row)
            if !bareNames.insert(key.bare).inserted { try markAmbiguous(key.bare) }
            // Flattened keys can meet ({"a.b": 1, "a": {"b": 2}}); the last one counts, as in the JSON itself.
            try statements.run("INSERT OR REPLACE INTO config_value VALUES (?, ?, ?)") {
                $0.bind(1, key.id)
                $0.bind(2, model)
                $0.bind(3, row.value)
            }
        }
    }

    private func configKey(_ row: ConfigRows.Row) throws -> ConfigKeyState {
        if var known = configKeys[row.key] {
            guard !known.kinds.contains(row.kind) else { return known }
            known.kinds.formUnion(row.kind)
            try connection.run(
                "UPDATE config_key SET kinds = ? WHERE id = ?", .int(Int64(known.kinds.rawValue)), .int(known.id))
            configKeys[row.key] = known
            return known
        }
        let bare = ConfigRows.bareName(row.key)
        try connection.run(
            "INSERT INTO config_key (name, bare, kinds, is_ambiguous) VALUES (?, ?, ?, ?)", .text(row.key), .text(bare),
            .int(Int64(row.kind.rawValue)), SQLValue(ambiguousBareNames.contains(bare)))
        let state = ConfigKeyState(id: connection.lastInsertedID, bare: bare, kinds: row.kind)
        configKeys[row.key] = state
        return state
    }

    private func markAmbiguous(_ bare: String) throws {
        guard ambiguousBareNames.insert(bare).inserted else { return }
        try connection.run("UPDATE config_key SET is_ambiguous = 1 WHERE bare = ?", .text(bare))
    }

    // MARK: Results

    private func storeResults(_ results: [ResultRow], of model: Int64) throws -> [Int: EpochValues] {
        try statements.run("DELETE FROM result WHERE model_id = ?") { $0.bind(1, model) }
        try statements.run("DELETE FROM result_value WHERE model_id = ?") { $0.bind(1, model) }
        var last: [Int: Int] = [:]
        for (index, row) in results.enumerated() { last[row.epoch] = index }
        var values: [Int: EpochValues] = [:]
        for (epoch, index) in last.sorted(by: { $0.key < $1.key }) {
            let row = results[index]
            values[epoch] = row.values
            try statements.run(WriterStatements.insertResult) {
                $0.bind(1, model)
                $0.bind(2, Int64(epoch))
                row.values.bind(to: $0, from: 3)
            }
            for extra in row.extras {
                let key = try resultKey(extra.name)
                try statements.run("INSERT OR REPLACE INTO result_value VALUES (?, ?, ?, ?)") {
                    $0.bind(1, model)
                    $0.bind(2, Int64(epoch))
                    $0.bind(3, key)
                    $0.bind(4, extra.value)
                }
            }
        }
        return values
    }

    private func resultKey(_ name: String) throws -> Int64 {
        if let known = resultKeys[name] { return known }
        try connection.run("INSERT INTO result_key (name) VALUES (?)", .text(name))
        resultKeys[name] = connection.lastInsertedID
        return connection.lastInsertedID
    }

    // MARK: Checkpoints

    private func storeCheckpoints(
        _ model: ModelIngest, id: Int64, results: [Int: EpochValues], replacing: Bool
    ) throws {
        var last: [String: Int] = [:]
        for (index, checkpoint) in model.checkpoints.enumerated() { last[checkpoint.path] = index }
        let unique = model.checkpoints.indices.filter { last[model.checkpoints[$0].path] == $0 }
            .map { model.checkpoints[$0] }
        // Stable by epoch; those without one come first, so that the last of the list is the last epoch.
        let ordered = unique.enumerated().sorted {
            ($0.element.epoch ?? .min, $0.offset) < ($1.element.epoch ?? .min, $1.offset)
        }.map(\.element)
        let summary = ModelSummary(checkpoints: ordered, results: results)
        var known = replacing ? try knownCheckpoints(of: id) : [:]
        var ids: [Int64] = []
        var layoutIDs: [Int64?] = []
        for index in ordered.indices {
            let layout = try ordered[index].layout.map(layoutID)
            layoutIDs.append(layout)
            let reused = known.removeValue(forKey: ordered[index].path)
            ids.append(
                try store(summary, index, model: id, source: model.source, layout: layout, reused: reused))
        }
        for (_, vanished) in known {
            try connection.run("DELETE FROM checkpoint WHERE id = ?", .int(vanished.id))
        }
        try store(summary, model: id, ids: ids, layout: layoutIDs.last ?? nil)
    }

    private struct KnownCheckpoint {
        var id: Int64
        var digest: String?
        var byteCount: Int
    }

    private func knownCheckpoints(of model: Int64) throws -> [String: KnownCheckpoint] {
        let rows = try connection.rows(
            "SELECT path, id, digest, byte_count FROM checkpoint WHERE model_id = ?", [.int(model)]
        ) { ($0.text(0), KnownCheckpoint(id: $0.int(1), digest: $0.optionalText(2), byteCount: Int($0.int(3)))) }
        return Dictionary(rows, uniquingKeysWith: { first, _ in first })
    }

    private func store(
        _ summary: ModelSummary, _ index: Int, model: Int64, source: Int64, layout: Int64?, reused: KnownCheckpoint?
    ) throws -> Int64 {
        let checkpoint = summary.checkpoints[index]
        if let reused, reused.digest != checkpoint.digest || reused.byteCount != checkpoint.byteCount {
            try forgetFindings(about: reused.id)
        }
        let sql = reused == nil ? WriterStatements.insertCheckpoint : WriterStatements.updateCheckpoint
        try statements.run(sql) {
            $0.bind(1, model)
            $0.bind(2, checkpoint.epoch)
            $0.bind(3, source)
            $0.bind(4, layout.map { Int($0) })
            $0.bind(5, checkpoint.health?.rawValue)
            summary.values(index).bind(to: $0, from: 6)
            $0.bind(14, Int64(index == summary.last ? 1 : 0))
            $0.bind(15, Int64(index == summary.best ? 1 : 0))
            $0.bind(16, checkpoint.path)
            $0.bind(17, checkpoint.offset)
            $0.bind(18, checkpoint.storedBytes)
            $0.bind(19, checkpoint.encoding.rawValue)
            $0.bind(20, checkpoint.byteCount)
            $0.bind(21, checkpoint.format)
            $0.bind(22, checkpoint.digest)
            if let reused { $0.bind(23, reused.id) }
        }
        return reused?.id ?? connection.lastInsertedID
    }

    /// What was measured on other content is no longer true.
    private func forgetFindings(about checkpoint: Int64) throws {
        try connection.run("DELETE FROM metric WHERE checkpoint_id = ?1 OR other_id = ?1", .int(checkpoint))
        try connection.run("DELETE FROM lineage WHERE child_id = ?", .int(checkpoint))
    }

    private func store(_ summary: ModelSummary, model: Int64, ids: [Int64], layout: Int64?) throws {
        let lastResult = summary.results.keys.max()
        let epochs = summary.range(.epoch)
        try statements.run(WriterStatements.replaceSummary) {
            $0.bind(1, model)
            $0.bind(2, Int64(ids.count))
            $0.bind(3, Int64(summary.results.count))
            $0.bind(4, epochs.map { Int($0.lowest) })
            $0.bind(5, epochs.map { Int($0.highest) })
            $0.bind(6, summary.best.flatMap { summary.checkpoints[$0].epoch })
            $0.bind(7, summary.last.map { Int(ids[$0]) })
            $0.bind(8, summary.best.map { Int(ids[$0]) })
            $0.bind(9, layout.map { Int($0) })
            $0.bind(10, summary.last.flatMap { summary.checkpoints[$0].layout?.parameterCount })
            $0.bind(11, lastResult)
            (lastResult.flatMap { summary.results[$0] } ?? EpochValues()).bind(to: $0, from: 12)
            for (position, column) in ZonedColumn.stored.enumerated() {
                let range = summary.range(column)
                $0.bind(20 + 2 * position, range?.lowest)
                $0.bind(21 + 2 * position, range?.highest)
            }
        }
    }

    // MARK: Layouts and interned names

    /// The id of a layout, stored when it is new.
    public func layoutID(_ layout: Layout) throws -> Int64 {
        if let known = layouts[layout] { return known }
        // The dictionary stays small even when hostile files have a new layout each; the file knows the rest.
        if layouts.count >= Self.cachedLayouts { layouts = [:] }
        if let known = try connection.integer("SELECT id FROM layout WHERE signature = ?", .text(layout.signature)) {
            layouts[layout] = Int64(known)
            return Int64(known)
        }
        try connection.run(
            "INSERT INTO layout (signature, structure, tensor_count, parameter_count, byte_count) VALUES (?, ?, ?, ?, ?)",
            .text(layout.signature), .text(layout.structure), .int(Int64(layout.entries.count)),
            .int(Int64(layout.parameterCount)), .int(Int64(layout.byteCount)))
        let id = connection.lastInsertedID
        for (position, entry) in layout.entries.enumerated() {
            try statements.run("INSERT INTO layout_tensor VALUES (?, ?, ?, ?, ?, ?)") {
                $0.bind(1, id)
                $0.bind(2, Int64(position))
                $0.bind(3, entry.info.name)
                $0.bind(4, entry.info.dtype.rawValue)
                $0.bind(5, entry.info.shape.description)
                $0.bind(6, entry.offset)
            }
        }
        layouts[layout] = id
        return id
    }

    /// Fills the dictionaries of interned rows from the file; after a rollback they may name rows that are gone.
    func loadInterned() throws {
        let keys = try connection.rows("SELECT id, name, bare, kinds, is_ambiguous FROM config_key") {
            (
                $0.text(1),
                ConfigKeyState(id: $0.int(0), bare: $0.text(2), kinds: ConfigRows.Kinds(rawValue: Int($0.int(3)))),
                $0.int(4) != 0
            )
        }
        configKeys = Dictionary(keys.map { ($0.0, $0.1) }, uniquingKeysWith: { first, _ in first })
        ambiguousBareNames = Set(keys.filter(\.2).map(\.1.bare))
        resultKeys = try interned("SELECT name, id FROM result_key")
        metricNames = try interned("SELECT name, id FROM metric_name")
        layouts = [:]
    }

    private static var cachedLayouts: Int { 2048 }

    private func interned(_ sql: String) throws -> [String: Int64] {
        Dictionary(try connection.rows(sql) { ($0.text(0), $0.int(1)) }, uniquingKeysWith: { first, _ in first })
    }
}
