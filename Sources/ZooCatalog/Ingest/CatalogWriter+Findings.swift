import ZooBase

extension CatalogWriter {
    /// Records metrics; a value for the same checkpoint, other checkpoint and name is replaced.
    public func record(_ metrics: [MetricRow]) throws {
        try atomically(rows: metrics.count) {
            for metric in metrics {
                let name = try metricNameID(metric.name)
                try statements.run(
                    """
                    INSERT INTO metric (name_id, checkpoint_id, other_id, value, error, run_id, note)
                        VALUES (?, ?, ?, ?, ?, ?, ?)
                        ON CONFLICT (checkpoint_id, name_id, ifnull(other_id, 0)) DO UPDATE SET
                        value = excluded.value, error = excluded.error, run_id = excluded.run_id,
                        note = excluded.note
                    """
                ) {
                    $0.bind(1, name)
                    $0.bind(2, metric.checkpoint)
                    $0.bind(3, metric.other.map { Int($0) })
                    $0.bind(4, metric.value)
                    $0.bind(5, metric.error)
                    $0.bind(6, metric.run.map { Int($0) })
                    $0.bind(7, metric.note)
                }
            }
        }
    }

    private func metricNameID(_ name: String) throws -> Int64 {
        if let known = metricNames[name] { return known }
        try connection.run("INSERT INTO metric_name (name) VALUES (?)", .text(name))
        metricNames[name] = connection.lastInsertedID
        return connection.lastInsertedID
    }

    /// Records where a derived checkpoint comes from.
    public func record(_ lineage: [LineageRow]) throws {
        try atomically(rows: lineage.count) {
            for row in lineage {
                try statements.run("INSERT OR REPLACE INTO lineage VALUES (?, ?, ?, ?, ?)") {
                    $0.bind(1, row.child)
                    $0.bind(2, row.parent)
                    $0.bind(3, row.role)
                    $0.bind(4, row.coefficient)
                    $0.bind(5, row.run.map { Int($0) })
                }
            }
        }
    }

    /// Records a run and returns its id; its data set, if named, becomes known by name.
    public func record(_ run: RunRecord) throws -> Int64 {
        try atomically(rows: 1) {
            let dataset = try run.dataset.map { try upsertDataset(DatasetRecord(name: $0)) }
            try connection.run(
                """
                INSERT INTO run (command, seed, dataset_id, tool_version, started, seconds, machine, settings)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                """,
                .text(run.command), SQLValue(run.seed), dataset.map { .int($0) } ?? .null, .text(run.toolVersion),
                .text(run.started), SQLValue(run.seconds), SQLValue(run.machine),
                SQLValue(run.settings))
            return connection.lastInsertedID
        }
    }

    /// Records how long a run took.
    public func finish(run: Int64, seconds: Double) throws {
        try atomically(rows: 1) {
            try connection.run("UPDATE run SET seconds = ? WHERE id = ?", SQLValue(seconds), .int(run))
        }
    }

    /// The id of a data set, made when there is none of that name; what is nil or empty leaves the known values.
    public func upsert(_ dataset: DatasetRecord) throws -> Int64 {
        try atomically(rows: 1) { try upsertDataset(dataset) }
    }

    private func upsertDataset(_ dataset: DatasetRecord) throws -> Int64 {
        func text(_ object: JSONObject) -> SQLValue {
            object.count == 0 ? .null : .text(JSONValue.object(object).text())
        }
        try connection.run(
            """
            INSERT INTO dataset (name, path, digest, splits, shapes) VALUES (?, ?, ?, ?, ?)
                ON CONFLICT (name) DO UPDATE SET path = ifnull(excluded.path, path),
                digest = ifnull(excluded.digest, digest), splits = ifnull(excluded.splits, splits),
                shapes = ifnull(excluded.shapes, shapes)
            """,
            .text(dataset.name), SQLValue(dataset.path), SQLValue(dataset.digest), text(dataset.splits),
            text(dataset.shapes))
        guard let id = try connection.integer("SELECT id FROM dataset WHERE name = ?", .text(dataset.name)) else {
            throw ZooError(.internal, "data set '\(dataset.name)' was not stored")
        }
        return Int64(id)
    }
}
