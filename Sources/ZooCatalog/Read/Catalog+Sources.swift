import ZooBase

/// A source as the catalog knows it.
public struct SourceRow: Sendable {
    /// The id.
    public var id: Int64
    /// What was recorded when indexing began.
    public var record: SourceRecord
    /// How far indexing got.
    public var state: SourceState
    /// Why it failed.
    public var message: String?
    /// How many models and checkpoints it holds.
    public var modelCount: Int
    /// How many checkpoints.
    public var checkpointCount: Int
    /// How many members were not indexed.
    public var skippedCount: Int
}

/// How much a catalog holds.
public struct CatalogCounts: Sendable, Hashable {
    /// Sources.
    public var sources: Int
    /// Zoos.
    public var zoos: Int
    /// Models.
    public var models: Int
    /// Checkpoints.
    public var checkpoints: Int
    /// Distinct layouts.
    public var layouts: Int
    /// Metric rows.
    public var metrics: Int

    package init(sources: Int, zoos: Int, models: Int, checkpoints: Int, layouts: Int, metrics: Int) {
        self.sources = sources
        self.zoos = zoos
        self.models = models
        self.checkpoints = checkpoints
        self.layouts = layouts
        self.metrics = metrics
    }
}

/// Checkpoints of equal content.
public struct DuplicateGroup: Sendable, Hashable {
    /// The digest that they share.
    public var digest: String
    /// Their ids, ascending.
    public var checkpoints: [Int64]
}

extension Catalog {
    /// How much there is; reads no checkpoints.
    public func counts() throws -> CatalogCounts {
        try read { connection in
            func count(_ sql: String) throws -> Int { try connection.integer(sql) ?? 0 }
            return CatalogCounts(
                sources: try count("SELECT count(*) FROM source"), zoos: try count("SELECT count(*) FROM zoo"),
                models: try count("SELECT count(*) FROM model_summary"),
                checkpoints: try count("SELECT sum(checkpoint_count) FROM model_summary"),
                layouts: try count("SELECT count(*) FROM layout"), metrics: try count("SELECT count(*) FROM metric"))
        }
    }

    /// All sources.
    public func sources() throws -> [SourceRow] {
        try read { connection in
            try connection.rows(
                """
                SELECT o.id, o.path, o.kind, o.byte_count, o.modified, o.digest, o.manifest, o.state, o.message,
                    (SELECT count(*) FROM model m WHERE m.source_id = o.id),
                    (SELECT sum(s.checkpoint_count) FROM model m JOIN model_summary s ON s.model_id = m.id
                        WHERE m.source_id = o.id),
                    (SELECT count(*) FROM skipped_member k WHERE k.source_id = o.id)
                FROM source o ORDER BY o.id
                """
            ) { row in
                SourceRow(
                    id: row.int(0),
                    record: SourceRecord(
                        path: row.text(1), kind: row.text(2), byteCount: row.optionalInt(3),
                        modified: row.optionalInt(4), digest: row.optionalText(5), manifest: row.optionalText(6)),
                    state: SourceState(rawValue: row.text(7)) ?? .failed, message: row.optionalText(8),
                    modelCount: Int(row.int(9)), checkpointCount: Int(row.int(10)), skippedCount: Int(row.int(11)))
            }
        }
    }

    /// The members of a source that were not indexed, and why.
    public func skipped(in source: Int64) throws -> [(path: String, reason: String)] {
        try read { connection in
            try connection.rows(
                "SELECT path, reason FROM skipped_member WHERE source_id = ? ORDER BY path", [.int(source)]
            ) {
                ($0.text(0), $0.text(1))
            }
        }
    }

    /// Checkpoints with the same content, largest groups first.
    ///
    /// - Complexity: sorts the digests of all checkpoints.
    public func duplicates(limit: Int = 1000) throws -> [DuplicateGroup] {
        try read { connection in
            try connection.rows(
                """
                SELECT digest, group_concat(id) FROM checkpoint WHERE digest IS NOT NULL GROUP BY digest
                    HAVING count(*) > 1 ORDER BY count(*) DESC, digest LIMIT ?
                """, [.int(Int64(limit))]
            ) { row in
                DuplicateGroup(
                    digest: row.text(0),
                    checkpoints: row.text(1).split(separator: ",").compactMap { Int64($0) }.sorted())
            }
        }
    }

    /// Checkpoints whose weights are not finite or could not be read.
    public func unhealthyCheckpoints(limit: Int = 100_000) throws -> [CheckpointRow] {
        try checkpoints(
            "checkpoint c INDEXED BY checkpoint_unhealthy", "c.health <> 'ok' ORDER BY c.id LIMIT ?",
            [.int(Int64(limit))])
    }

    /// Models whose results name epochs for which the usual step of their checkpoints lets expect one, without one:
    /// the epochs missing between the first and the last checkpoint.
    public func missingEpochs(limit: Int = 100_000) throws -> [(model: Int64, name: String, epochs: [Int])] {
        try read { connection in
            var found: [(model: Int64, name: String, epochs: [Int])] = []
            let epochs = try connection.prepare(
                "SELECT DISTINCT epoch FROM checkpoint WHERE model_id = ? AND epoch IS NOT NULL ORDER BY epoch")
            let models = try connection.prepare(
                """
                SELECT s.model_id, m.name FROM model_summary s CROSS JOIN model m ON m.id = s.model_id
                    WHERE s.checkpoint_count > 2 ORDER BY s.model_id
                """)
            while found.count < limit, try models.step() {
                epochs.reset()
                epochs.bind(1, models.int(0))
                var present: [Int] = []
                while try epochs.step() { present.append(Int(epochs.int(0))) }
                let gaps = Self.gaps(present)
                if !gaps.isEmpty { found.append((models.int(0), models.text(1), gaps)) }
            }
            return found
        }
    }

    /// The epochs missing from a row with a usual step: the one that occurs most often, if more than half the time.
    /// At most a thousand are listed.
    package static func gaps(_ epochs: [Int]) -> [Int] {
        let steps = zip(epochs, epochs.dropFirst()).map { $1 - $0 }
        let counts = Dictionary(grouping: steps, by: { $0 }).mapValues(\.count)
        guard let usual = counts.max(by: { ($0.value, -$0.key) < ($1.value, -$1.key) }), usual.value * 2 > steps.count
        else { return [] }
        var missing: [Int] = []
        for (before, after) in zip(epochs, epochs.dropFirst()) where (after - before) % usual.key == 0 {
            var epoch = before + usual.key
            while epoch < after, missing.count < 1000 {
                missing.append(epoch)
                epoch += usual.key
            }
        }
        return missing
    }
}
