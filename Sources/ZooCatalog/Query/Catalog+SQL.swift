import GRDBSQLite
import ZooBase

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

extension Catalog {
    /// Runs one statement that only reads: `SELECT`, `WITH … SELECT`, `VALUES` or `EXPLAIN` of one.
    ///
    /// The connection cannot write, and an authoriser refuses everything but reading tables and calling functions.
    ///
    /// - Parameters:
    ///   - timeLimit: seconds after which it is stopped.
    ///   - rowLimit: rows after which it is cut; a note says so.
    /// - Throws: `usage` for a statement that is wrong or not allowed; `limit` after `timeLimit`.
    public func sql(_ statement: String, timeLimit: Double = 30, rowLimit: Int = 1_000_000) throws -> QueryResult {
        try read { connection in
            let guardian = SQLGuardian(connection, timeLimit: timeLimit)
            defer { withExtendedLifetime(guardian) {} }
            return try guardian.run(statement, rowLimit: rowLimit)
        }
    }
}

/// Watches over a statement that a user wrote: what it may touch and how long it may take.
private final class SQLGuardian {
    private let connection: Connection
    private let timeLimit: Double
    private let deadline: Double
    private var timedOut = false

    init(_ connection: Connection, timeLimit: Double) {
        self.connection = connection
        self.timeLimit = timeLimit
        deadline = Self.now() + timeLimit
        let context = Unmanaged.passUnretained(self).toOpaque()
        sqlite3_set_authorizer(
            connection.handle, { _, action, first, second, _, _ in SQLGuardian.verdict(action, first, second) }, nil)
        sqlite3_progress_handler(
            connection.handle, 2000,
            { context in
                guard let context else { return 0 }
                return Unmanaged<SQLGuardian>.fromOpaque(context).takeUnretainedValue().mustStop ? 1 : 0
            }, context)
    }

    deinit {
        sqlite3_set_authorizer(connection.handle, nil, nil)
        sqlite3_progress_handler(connection.handle, 0, nil, nil)
    }

    private static func now() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }

    private var mustStop: Bool {
        if Self.now() > deadline { timedOut = true }
        return timedOut || Cancellation.isRequested
    }

    private static func verdict(
        _ action: Int32, _ first: UnsafePointer<CChar>?, _ second: UnsafePointer<CChar>?
    ) -> Int32 {
        switch action {
        case SQLITE_SELECT, SQLITE_READ, SQLITE_RECURSIVE: return SQLITE_OK
        case SQLITE_FUNCTION:
            let forbidden = ["load_extension", "fts3_tokenizer", "edit", "writefile", "readfile"]
            let name = second.map { String(cString: $0).lowercased() } ?? ""
            return forbidden.contains(name) ? SQLITE_DENY : SQLITE_OK
        default: return SQLITE_DENY
        }
    }

    func run(_ text: String, rowLimit: Int) throws -> QueryResult {
        guard !text.utf8.contains(0) else { throw ZooError(.usage, "sql: the statement holds a zero byte") }
        let statement = try prepare(text)
        var result = QueryResult(columns: [], types: [], rows: [])
        result.columns = (0..<statement.columnCount).map(statement.columnName)
        result.types = result.columns.map { _ in .any }
        while try step(statement) {
            guard result.rows.count < rowLimit else {
                result.notes.append("cut after \(rowLimit) rows")
                break
            }
            result.rows.append(
                result.columns.indices.map { PreparedQuery.json(statement.value($0), isTruth: false) })
        }
        return result
    }

    private func prepare(_ text: String) throws -> SQLStatement {
        var handle: OpaquePointer?
        var rest = ""
        let code = text.withCString { start in
            var tail: UnsafePointer<CChar>?
            let code = sqlite3_prepare_v2(connection.handle, start, -1, &handle, &tail)
            if let tail { rest = String(cString: tail) }
            return code
        }
        guard code == SQLITE_OK else { throw refused() }
        guard let handle else { throw ZooError(.usage, "sql: there is no statement") }
        let statement = SQLStatement(adopting: handle, connection)
        guard sqlite3_stmt_readonly(handle) != 0, statement.columnCount > 0 else {
            throw ZooError(.usage, "sql: only statements that read are allowed", hint: "use SELECT")
        }
        guard try Self.isBlank(rest, connection) else { throw ZooError(.usage, "sql: more than one statement") }
        guard sqlite3_bind_parameter_count(handle) == 0 else {
            throw ZooError(.usage, "sql: the statement has parameters (?)", hint: "write the values")
        }
        return statement
    }

    /// Whether nothing but white space, semicolons and comments follows: SQLite compiles that to no statement.
    private static func isBlank(_ rest: String, _ connection: Connection) throws -> Bool {
        var remaining = rest.drop { $0.isWhitespace || $0 == ";" }
        while remaining.hasPrefix("--") {
            remaining = remaining.drop { !$0.isNewline }.drop { $0.isWhitespace || $0 == ";" }
        }
        return remaining.isEmpty
    }

    private func step(_ statement: SQLStatement) throws -> Bool {
        switch sqlite3_step(statement.pointer) {
        case SQLITE_ROW: return true
        case SQLITE_DONE: return false
        default: throw refused()
        }
    }

    private func refused() -> ZooError {
        let code = sqlite3_extended_errcode(connection.handle) & 0xFF
        let message = String(cString: sqlite3_errmsg(connection.handle))
        if timedOut {
            return ZooError(
                .limit, "sql: stopped after \(timeLimit) seconds", hint: "narrow the statement or raise the time limit")
        }
        if Cancellation.isRequested { return ZooError(.interrupted, "interrupted") }
        switch code {
        case SQLITE_ERROR: return ZooError(.usage, "sql: \(message)")
        case SQLITE_AUTH: return ZooError(.usage, "sql: only statements that read are allowed", hint: "use SELECT")
        case SQLITE_READONLY: return ZooError(.usage, "sql: only statements that read are allowed")
        case SQLITE_TOOBIG: return ZooError(.limit, "sql: \(message)")
        default: return connection.error()
        }
    }
}
