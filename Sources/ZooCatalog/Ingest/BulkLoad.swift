import ZooBase

/// Puts off indexes while very much is written.
///
/// Rows arrive model by model, so an index in any other order makes each batch touch most of its pages. Past a size such
/// indexes are dropped (their text is kept in the file) and built at the end, in a fraction of the time. Until then
/// queries give the same answers, some of them later; after a kill the next writer builds them.
extension CatalogWriter {
    /// Counts what was written; puts indexes off when it is much, against what the catalog had before.
    func noteCheckpoints(_ count: Int) throws {
        sessionCheckpoints += count
        guard !isBulk, sessionCheckpoints > bulkThreshold, sessionCheckpoints > earlierCheckpoints / 4 else {
            return
        }
        isBulk = true
        let indexes = try connection.rows(
            """
            SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND (name IN
                ('checkpoint_epoch', 'checkpoint_accuracy', 'checkpoint_last', 'checkpoint_best')
                OR name LIKE 'summary\\_%' ESCAPE '\\')
            """
        ) { (name: $0.text(0), sql: $0.text(1)) }
        for index in indexes {
            try connection.run(
                "INSERT OR REPLACE INTO deferred_index VALUES (?, ?)", .text(index.name), .text(index.sql))
            try connection.execute("DROP INDEX \"\(index.name)\"")
        }
    }

    /// Builds the indexes that this writer or one that was killed has put off. Each is a transaction of its own.
    func buildDeferredIndexes() throws {
        for index in try connection.rows("SELECT name, sql FROM deferred_index", [], { ($0.text(0), $0.text(1)) }) {
            try connection.execute("BEGIN IMMEDIATE")
            do {
                try connection.execute("DROP INDEX IF EXISTS \"\(index.0.replacing("\"", with: "\"\""))\"")
                try connection.execute(index.1)
                try connection.run("DELETE FROM deferred_index WHERE name = ?", .text(index.0))
                try connection.execute("COMMIT")
            } catch {
                if connection.isInTransaction { try? connection.execute("ROLLBACK") }
                throw error
            }
        }
    }
}
