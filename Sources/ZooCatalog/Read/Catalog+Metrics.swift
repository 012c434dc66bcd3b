import ZooBase

extension Catalog {
    /// The names under which anything was measured, in alphabetical order.
    public func metricNames() throws -> [String] {
        try read { try $0.rows("SELECT name FROM metric_name ORDER BY name") { $0.text(0) } }
    }

    /// One metric of some checkpoints, measured on each alone; those without it are left out.
    public func metrics(named name: String, of checkpoints: [Int64]) throws -> [Int64: MetricRow] {
        let rows = try metricRows("x.other_id IS NULL", name, checkpoints)
        return Dictionary(rows.map { ($0.checkpoint, $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// All metrics of some checkpoints that a run of the same settings has measured, of pairs too.
    public func metrics(of checkpoints: [Int64], settings: String) throws -> [MetricRow] {
        let list = "[" + checkpoints.map(String.init).joined(separator: ",") + "]"
        return try read { connection in
            try connection.rows(
                """
                SELECT x.checkpoint_id, x.other_id, n.name, x.value, x.error, x.run_id, x.note
                    FROM json_each(?2) k CROSS JOIN metric x ON x.checkpoint_id = k.value
                    CROSS JOIN run r ON r.id = x.run_id AND r.settings = ?1
                    CROSS JOIN metric_name n ON n.id = x.name_id ORDER BY k.key, x.id
                """, [.text(settings), .text(list)]
            ) { row in
                MetricRow(
                    checkpoint: row.int(0), other: row.optionalInt(1).map { Int64($0) }, name: row.text(2),
                    value: row.optionalDouble(3) ?? .nan, error: row.optionalDouble(4),
                    run: row.optionalInt(5).map { Int64($0) }, note: row.optionalText(6))
            }
        }
    }

    /// One metric of pairs among some checkpoints.
    public func pairMetrics(named name: String, among checkpoints: [Int64]) throws -> [MetricRow] {
        let known = Set(checkpoints)
        return try metricRows("x.other_id IS NOT NULL", name, checkpoints).filter { row in
            row.other.map(known.contains) ?? false
        }
    }

    private func metricRows(_ condition: String, _ name: String, _ checkpoints: [Int64]) throws -> [MetricRow] {
        let list = "[" + checkpoints.map(String.init).joined(separator: ",") + "]"
        return try read { connection in
            try connection.rows(
                """
                SELECT x.checkpoint_id, x.other_id, n.name, x.value, x.error, x.run_id
                    FROM metric_name n CROSS JOIN json_each(?2) k
                    CROSS JOIN metric x ON x.checkpoint_id = k.value AND x.name_id = n.id
                    WHERE n.name = ?1 AND \(condition) ORDER BY k.key, x.id
                """, [.text(name), .text(list)]
            ) { row in
                MetricRow(
                    checkpoint: row.int(0), other: row.optionalInt(1).map { Int64($0) }, name: row.text(2),
                    value: row.optionalDouble(3) ?? .nan, error: row.optionalDouble(4),
                    run: row.optionalInt(5).map { Int64($0) })
            }
        }
    }

    /// The configurations of models by their ids; unknown ids are left out.
    public func configs(of models: some Sequence<Int64>) throws -> [Int64: JSONObject] {
        let list = "[" + models.map(String.init).joined(separator: ",") + "]"
        let rows = try read { connection in
            try connection.rows(
                "SELECT m.id, m.config FROM json_each(?) k CROSS JOIN model m ON m.id = k.value", [.text(list)]
            ) { ($0.int(0), try CatalogReader.object($0.optionalText(1))) }
        }
        return Dictionary(rows, uniquingKeysWith: { first, _ in first })
    }
}
