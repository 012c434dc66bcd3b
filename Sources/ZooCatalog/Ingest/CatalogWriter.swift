import GRDB
import ZooBase

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The one connection that writes. Rows gather in a transaction that is committed every fifty thousand rows or two
/// seconds, so that a kill loses two seconds' work and never half a model.
///
/// Not for several threads at once. Whoever reads sees what is committed.
public final class CatalogWriter {
    let connection: Connection
    let statements: WriterStatements
    private let queue: DatabaseQueue
    private var lock: WriterLock?
    private var uncommittedRows = 0
    private var transactionStart = 0.0
    private var isClosed = false
    var layouts: [Layout: Int64] = [:]
    var configKeys: [String: ConfigKeyState] = [:]
    var ambiguousBareNames: Set<String> = []
    var resultKeys: [String: Int64] = [:]
    var metricNames: [String: Int64] = [:]
    var sessionCheckpoints = 0
    var isBulk = false
    /// Checkpoints written by this writer after which indexes are put off.
    package var bulkThreshold = 50_000
    let earlierCheckpoints: Int

    /// Rows after which a transaction is committed.
    private static let batchRows = 50_000
    /// Seconds after which a transaction is committed.
    private static let batchSeconds = 2.0

    /// What is known of a configuration key.
    struct ConfigKeyState {
        var id: Int64
        var bare: String
        var kinds: ConfigRows.Kinds
    }

    init(path: String, lock: WriterLock) throws {
        self.lock = lock
        queue = try CatalogFile.openWriter(path)
        connection = try queue.writeWithoutTransaction { try CatalogFile.connection($0, path) }
        CatalogFile.detachObservers(connection)
        try CatalogFile.checkSchema(connection)
        statements = WriterStatements(connection)
        earlierCheckpoints = try connection.integer("SELECT sum(checkpoint_count) FROM model_summary") ?? 0
        try loadInterned()
    }

    deinit { try? close() }

    // MARK: Transactions

    /// Makes all that was written durable and visible to readers.
    public func commit() throws {
        guard uncommittedRows > 0 || isInTransaction else { return }
        if isInTransaction { try connection.execute("COMMIT") }
        uncommittedRows = 0
    }

    /// Commits, builds what was put off, refreshes the planner's statistics and gives the right to write back. Called again it does nothing.
    public func close() throws {
        guard !isClosed else { return }
        isClosed = true
        try commit()
        statements.finalizeAll()
        defer { lock = nil }
        // Nothing is lost when this fails (a full disk): the next writer does it.
        try? buildDeferredIndexes()
        try? refreshStatistics()
        // Readers may keep the log alive; emptied, the file by itself is the whole catalog and can be copied.
        try? connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        try CatalogFile.translating(connection.path) { try queue.close() }
    }

    /// Catalogs with fewer checkpoints do without statistics.
    private static let countedCheckpoints = 20_000

    /// Counts the small tables for SQLite's planner when much has come; how models are joined depends on it. The large
    /// ones are always read in an order that the query names.
    private func refreshStatistics() throws {
        let isKnown = try connection.integer("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_stat1'") != nil
        // A small catalog is read in a moment whatever the plan; counting it would take longer than indexing it.
        guard earlierCheckpoints + sessionCheckpoints >= Self.countedCheckpoints else { return }
        guard sessionCheckpoints * 10 > earlierCheckpoints || !isKnown else { return }
        for table in ["model", "model_summary", "zoo", "source", "layout", "config_key"] {
            try connection.execute("ANALYZE \(table)")
        }
    }

    /// Forgets what was not committed.
    public func rollback() throws {
        if isInTransaction { try connection.execute("ROLLBACK") }
        uncommittedRows = 0
        try loadInterned()
    }

    private var isInTransaction: Bool { connection.isInTransaction }

    /// Runs `body` wholly or not at all; commits when a batch is full.
    func atomically<T>(rows: Int, _ body: () throws -> T) throws -> T {
        guard !isClosed else { throw ZooError(.internal, "\(connection.path): the writer is closed") }
        if !isInTransaction {
            try connection.execute("BEGIN IMMEDIATE")
            transactionStart = now()
        }
        try connection.execute("SAVEPOINT item")
        let result: T
        do {
            result = try body()
            try connection.execute("RELEASE item")
        } catch {
            // A full disk makes SQLite roll everything back itself; then there is no savepoint any more.
            if isInTransaction { try? connection.execute("ROLLBACK TO item; RELEASE item") }
            try? loadInterned()
            throw error
        }
        uncommittedRows += rows
        if uncommittedRows >= Self.batchRows || now() - transactionStart > Self.batchSeconds { try commit() }
        return result
    }

    private func now() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }

    // MARK: Sources and zoos

    /// Begins or goes on indexing a source. When its size, time or digest have changed since the last time, or on
    /// `restart`, all models are to be read again; those not seen until `finish` are removed then.
    public func begin(_ source: SourceRecord, restart: Bool = false) throws -> SourceProgress {
        let known = try connection.row(
            "SELECT id, byte_count, modified, digest, state FROM source WHERE path = ?", .text(source.path)
        ) { row in
            (
                id: row.int(0), size: row.optionalInt(1), modified: row.optionalInt(2), digest: row.optionalText(3),
                state: row.text(4)
            )
        }
        guard let known else { return try insert(source) }
        let sameDigest = source.digest == nil || known.digest == nil || source.digest == known.digest
        let isSame = known.size == source.byteCount && known.modified == source.modified && sameDigest && !restart
        if isSame, known.state == SourceState.indexed.rawValue {
            return SourceProgress(id: known.id, isComplete: true, completedModels: try completedModels(of: known.id))
        }
        try atomically(rows: 1) {
            try connection.run(
                """
                UPDATE source SET kind = ?, byte_count = ?, modified = ?, digest = ?, manifest = ?, state = 'indexing',
                    generation = generation + ?, message = NULL, started = datetime('now'), finished = NULL WHERE id = ?
                """,
                .text(source.kind), SQLValue(source.byteCount), SQLValue(source.modified), SQLValue(source.digest),
                SQLValue(source.manifest), .int(isSame ? 0 : 1), .int(known.id))
            // A run that goes on does not read again what it skipped in models that are recorded.
            if !isSame { try connection.run("DELETE FROM skipped_member WHERE source_id = ?", .int(known.id)) }
        }
        try commit()
        return SourceProgress(id: known.id, isComplete: false, completedModels: try completedModels(of: known.id))
    }

    private func insert(_ source: SourceRecord) throws -> SourceProgress {
        let id = try atomically(rows: 1) {
            try connection.run(
                """
                INSERT INTO source (path, kind, byte_count, modified, digest, manifest, state, started)
                    VALUES (?, ?, ?, ?, ?, ?, 'indexing', datetime('now'))
                """,
                .text(source.path), .text(source.kind), SQLValue(source.byteCount), SQLValue(source.modified),
                SQLValue(source.digest), SQLValue(source.manifest))
            return connection.lastInsertedID
        }
        try commit()
        return SourceProgress(id: id, isComplete: false, completedModels: [])
    }

    /// What identifies a model within its source.
    public static func key(path: String, name: String) -> String { "\(path)\0\(name)" }

    /// The models of a source (by `key`) recorded since it last changed.
    public func completedModels(of source: Int64) throws -> Set<String> {
        Set(
            try connection.rows(
                """
                SELECT m.path, m.name FROM model m JOIN source o ON o.id = m.source_id
                    WHERE o.id = ? AND m.generation = o.generation
                """, [.int(source)]
            ) { Self.key(path: $0.text(0), name: $0.text(1)) })
    }

    /// Ends a source: models that it no longer has are removed, with their checkpoints and metrics.
    public func finish(_ source: Int64) throws {
        try atomically(rows: 1) {
            try connection.run(
                """
                DELETE FROM model WHERE source_id = ?1
                    AND generation <> (SELECT generation FROM source WHERE id = ?1)
                """, .int(source))
            try connection.run(
                "UPDATE source SET state = 'indexed', finished = datetime('now') WHERE id = ?", .int(source))
        }
        try commit()
    }

    /// Records that a source could not be read to its end.
    public func fail(_ source: Int64, message: String) throws {
        try atomically(rows: 1) {
            try connection.run(
                "UPDATE source SET state = 'failed', message = ?, finished = datetime('now') WHERE id = ?",
                .text(message), .int(source))
        }
        try commit()
    }

    /// Records a member that was not indexed, and why.
    public func skip(_ path: String, reason: String, in source: Int64) throws {
        try atomically(rows: 1) {
            try statements.run("INSERT OR REPLACE INTO skipped_member VALUES (?, ?, ?)") {
                $0.bind(1, source)
                $0.bind(2, path)
                $0.bind(3, reason)
            }
        }
    }

    /// Removes a source with all its models.
    public func remove(_ source: Int64) throws {
        try atomically(rows: 1) { try connection.run("DELETE FROM source WHERE id = ?", .int(source)) }
        try commit()
    }

    /// The id of a zoo, made when there is none of that name; what is nil leaves the known values.
    public func upsert(_ zoo: ZooRecord) throws -> Int64 {
        try atomically(rows: 1) {
            try connection.run(
                """
                INSERT INTO zoo (name, architecture, dataset, licence, citation) VALUES (?, ?, ?, ?, ?)
                    ON CONFLICT (name) DO UPDATE SET architecture = ifnull(excluded.architecture, architecture),
                    dataset = ifnull(excluded.dataset, dataset), licence = ifnull(excluded.licence, licence),
                    citation = ifnull(excluded.citation, citation)
                """,
                .text(zoo.name), SQLValue(zoo.architecture), SQLValue(zoo.dataset), SQLValue(zoo.licence),
                SQLValue(zoo.citation))
            guard let id = try connection.integer("SELECT id FROM zoo WHERE name = ?", .text(zoo.name)) else {
                throw ZooError(.internal, "zoo '\(zoo.name)' was not stored")
            }
            return Int64(id)
        }
    }
}
