import ZooBase
import ZooTensor

/// Reads that work on any connection of a catalog.
enum CatalogReader {
    /// The tensors of a layout.
    static func layout(_ id: Int64, _ connection: Connection) throws -> Layout {
        let entries = try connection.rows(
            "SELECT name, dtype, shape, offset FROM layout_tensor WHERE layout_id = ? ORDER BY position", [.int(id)]
        ) { row in
            guard let dtype = DType(rawValue: row.text(1)) else {
                throw ZooError(.corrupt, "layout \(id): the catalog has the unknown element type '\(row.text(1))'")
            }
            let info = TensorInfo(name: row.text(0), dtype: dtype, shape: try Layout.shape(row.text(2)))
            return Layout.Entry(info: info, offset: row.optionalInt(3))
        }
        return Layout(entries)
    }

    /// A JSON column; empty for NULL.
    static func object(_ text: String?) throws -> JSONObject {
        guard let text else { return JSONObject() }
        guard let object = try JSONParser.parse(text).object else {
            throw ZooError(.corrupt, "the catalog has '\(text.prefix(40))' where a JSON object is expected")
        }
        return object
    }
}

extension Catalog {
    /// The tensors of a layout.
    ///
    /// - Throws: `notFound`.
    public func layout(_ id: Int64) throws -> Layout {
        try read { connection in
            guard try connection.integer("SELECT 1 FROM layout WHERE id = ?", .int(id)) != nil else {
                throw ZooError(.notFound, "\(path): there is no layout \(id)")
            }
            return try CatalogReader.layout(id, connection)
        }
    }

    /// A model by its id.
    ///
    /// - Throws: `notFound`.
    public func model(_ id: Int64) throws -> ModelRow {
        try read { connection in
            // SQLite gives << and | one precedence.
            let flags = ModelFlags.columns.enumerated().map { "(m.\($1) << \($0))" }.joined(separator: " | ")
            let row = try connection.row(
                """
                SELECT m.name, z.name, z.architecture, z.dataset, z.licence, z.citation, o.path, o.kind, m.path,
                    m.architecture, \(flags), m.config, m.bookkeeping, s.checkpoint_count, s.first_epoch, s.last_epoch,
                    s.best_epoch, s.parameter_count
                FROM model m JOIN zoo z ON z.id = m.zoo_id JOIN source o ON o.id = m.source_id
                    JOIN model_summary s ON s.model_id = m.id WHERE m.id = ?
                """, .int(id)
            ) { row in
                ModelRow(
                    id: id, name: row.text(0),
                    zoo: ZooRecord(
                        name: row.text(1), architecture: row.optionalText(2), dataset: row.optionalText(3),
                        licence: row.optionalText(4), citation: row.optionalText(5)),
                    sourcePath: row.text(6), sourceKind: row.text(7), path: row.text(8),
                    architecture: row.optionalText(9), flags: ModelFlags(rawValue: Int(row.int(10))),
                    config: try CatalogReader.object(row.optionalText(11)),
                    bookkeeping: try CatalogReader.object(row.optionalText(12)), checkpointCount: Int(row.int(13)),
                    firstEpoch: row.optionalInt(14), lastEpoch: row.optionalInt(15), bestEpoch: row.optionalInt(16),
                    parameterCount: row.optionalInt(17))
            }
            guard let row else { throw ZooError(.notFound, "\(path): there is no model \(id)") }
            return row
        }
    }

    /// The results of a model, epoch by epoch.
    public func history(of model: Int64) throws -> [ResultRow] {
        try read { connection in
            let extras = try connection.rows(
                """
                SELECT v.epoch, k.name, v.value FROM result_value v JOIN result_key k ON k.id = v.key_id
                    WHERE v.model_id = ? ORDER BY v.epoch, k.id
                """, [.int(model)]
            ) { (epoch: Int($0.int(0)), name: $0.text(1), value: $0.optionalDouble(2) ?? .nan) }
            let byEpoch = Dictionary(grouping: extras, by: \.epoch)
            return try connection.rows(
                """
                SELECT epoch, \(EpochValues.columns.joined(separator: ", ")), nan_mask FROM result
                    WHERE model_id = ? ORDER BY epoch
                """, [.int(model)]
            ) { row in
                let epoch = Int(row.int(0))
                return ResultRow(
                    epoch: epoch, values: EpochValues(from: row, at: 1),
                    extras: (byEpoch[epoch] ?? []).map { ($0.name, $0.value) })
            }
        }
    }

    /// All checkpoints of a model, in the order of epochs.
    public func checkpoints(of model: Int64) throws -> [CheckpointRow] {
        try checkpoints(
            "checkpoint c INDEXED BY checkpoint_model", "c.model_id = ? ORDER BY c.epoch, c.id", [.int(model)])
    }

    /// Checkpoints by their ids, in the order of the ids given; unknown ids are left out.
    public func checkpoints(ids: [Int64]) throws -> [CheckpointRow] {
        let list = "[" + ids.map(String.init).joined(separator: ",") + "]"
        return try checkpoints(
            "json_each(?) k CROSS JOIN checkpoint c ON c.id = k.value", "1 ORDER BY k.key", [.text(list)])
    }

    func checkpoints(_ from: String, _ condition: String, _ arguments: [SQLValue]) throws -> [CheckpointRow] {
        try read { connection in
            try connection.rows(
                "SELECT \(CheckpointRow.columns) FROM \(from) \(CheckpointRow.joins) WHERE \(condition)", arguments,
                CheckpointRow.init)
        }
    }

    /// What was measured on a checkpoint, alone or as either of a pair.
    public func metrics(of checkpoint: Int64) throws -> [MetricRow] {
        try read { connection in
            try connection.rows(
                """
                SELECT x.checkpoint_id, x.other_id, n.name, x.value, x.error, x.run_id FROM metric x
                    JOIN metric_name n ON n.id = x.name_id WHERE x.checkpoint_id = ?1 OR x.other_id = ?1
                    ORDER BY n.name, x.id
                """, [.int(checkpoint)]
            ) { row in
                MetricRow(
                    checkpoint: row.int(0), other: row.optionalInt(1).map { Int64($0) }, name: row.text(2),
                    value: row.optionalDouble(3) ?? .nan, error: row.optionalDouble(4),
                    run: row.optionalInt(5).map { Int64($0) })
            }
        }
    }

    /// What a checkpoint was made from, and what was made from it.
    public func lineage(of checkpoint: Int64) throws -> (parents: [LineageRow], children: [LineageRow]) {
        try read { connection in
            func rows(_ side: String) throws -> [LineageRow] {
                try connection.rows(
                    """
                    SELECT child_id, parent_id, role, coefficient, run_id FROM lineage WHERE \(side) = ?
                        ORDER BY role, parent_id, child_id
                    """, [.int(checkpoint)]
                ) {
                    LineageRow(
                        child: $0.int(0), parent: $0.int(1), role: $0.text(2), coefficient: $0.optionalDouble(3),
                        run: $0.optionalInt(4).map { Int64($0) })
                }
            }
            return (try rows("child_id"), try rows("parent_id"))
        }
    }

    /// A run by its id.
    ///
    /// - Throws: `notFound`.
    public func run(_ id: Int64) throws -> RunRecord {
        try read { connection in
            let row = try connection.row(
                """
                SELECT r.command, r.seed, d.name, r.tool_version, r.started, r.seconds, r.machine,
                    r.settings FROM run r
                    LEFT JOIN dataset d ON d.id = r.dataset_id WHERE r.id = ?
                """, .int(id)
            ) {
                RunRecord(
                    command: $0.text(0), seed: $0.optionalInt(1), dataset: $0.optionalText(2), toolVersion: $0.text(3),
                    started: $0.text(4), seconds: $0.optionalDouble(5), machine: $0.optionalText(6),
                    settings: $0.optionalText(7))
            }
            guard let row else { throw ZooError(.notFound, "\(path): there is no run \(id)") }
            return row
        }
    }
}
