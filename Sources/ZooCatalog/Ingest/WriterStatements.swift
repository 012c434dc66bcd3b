/// The statements that a writer runs for each row, compiled once.
final class WriterStatements {
    private let connection: Connection
    private var compiled: [String: SQLStatement] = [:]

    init(_ connection: Connection) { self.connection = connection }

    /// The compiled form of a statement.
    func statement(_ sql: String) throws -> SQLStatement {
        if let known = compiled[sql] { return known }
        let statement = try connection.prepare(sql, persistent: true)
        compiled[sql] = statement
        return statement
    }

    /// Binds and runs a statement without rows.
    func run(_ sql: String, _ bind: (SQLStatement) -> Void) throws {
        let statement = try statement(sql)
        bind(statement)
        try statement.runOnce()
    }

    /// Frees all of them, so that the connection can close.
    func finalizeAll() { compiled = [:] }

    /// Inserts or updates of a checkpoint share the order of their columns; the id comes last.
    static let checkpointColumns =
        ["model_id", "epoch", "source_id", "layout_id", "health"] + EpochValues.columns
        + [
            "nan_mask", "is_last", "is_best", "path", "offset", "stored_bytes", "encoding", "byte_count", "format",
            "digest",
        ]

    static let insertCheckpoint =
        "INSERT INTO checkpoint (\(checkpointColumns.joined(separator: ", "))) VALUES "
        + "(\(placeholders(checkpointColumns.count)))"

    static let updateCheckpoint =
        "UPDATE checkpoint SET \(checkpointColumns.map { "\($0) = ?" }.joined(separator: ", ")) WHERE id = ?"

    static let insertResult =
        "INSERT INTO result (model_id, epoch, \(EpochValues.columns.joined(separator: ", ")), nan_mask) VALUES "
        + "(\(placeholders(EpochValues.columns.count + 3)))"

    static let summaryColumns =
        [
            "model_id", "checkpoint_count", "result_count", "first_epoch", "last_epoch", "best_epoch",
            "last_checkpoint_id",
        ]
        + ["best_checkpoint_id", "layout_id", "parameter_count", "last_result_epoch"] + EpochValues.columns
        + ["nan_mask"] + ZonedColumn.stored.flatMap { [$0.lowest, $0.highest] }

    static let replaceSummary =
        "INSERT OR REPLACE INTO model_summary (\(summaryColumns.joined(separator: ", "))) VALUES "
        + "(\(placeholders(summaryColumns.count)))"

    /// `?, ?, ?`.
    static func placeholders(_ count: Int) -> String {
        repeatElement("?", count: count).joined(separator: ", ")
    }
}
