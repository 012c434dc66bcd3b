import GRDBSQLite
import ZooBase

/// A value going into or coming out of SQLite.
package enum SQLValue: Sendable, Hashable {
    case null
    case int(Int64)
    case double(Double)
    case text(String)

    /// An optional integer.
    package init(_ value: Int?) { self = value.map { .int(Int64($0)) } ?? .null }
    /// An optional text.
    package init(_ value: String?) { self = value.map { .text($0) } ?? .null }
    /// An optional number; NaN is kept out of SQLite, which would turn it into NULL unasked.
    package init(_ value: Double?) { self = value.flatMap { $0.isNaN ? nil : .double($0) } ?? .null }
    /// A truth value, as 0 or 1.
    package init(_ value: Bool) { self = .int(value ? 1 : 0) }
}

/// An open SQLite connection, borrowed from the pool that owns it for the length of one access.
struct Connection {
    let handle: OpaquePointer
    /// The catalog's path, for messages.
    let path: String

    /// Compiles one statement.
    func prepare(_ sql: String, persistent: Bool = false) throws -> SQLStatement {
        try SQLStatement(self, sql, persistent: persistent)
    }

    /// Runs statements that return nothing.
    func execute(_ sql: String) throws {
        let code = sqlite3_exec(handle, sql, nil, nil, nil)
        guard code == SQLITE_OK else { throw error() }
    }

    /// Runs one statement with arguments, ignoring its rows.
    func run(_ sql: String, _ arguments: SQLValue...) throws {
        let statement = try prepare(sql)
        try statement.bind(arguments)
        while try statement.step() {}
    }

    /// The rows of one statement, mapped.
    func rows<T>(_ sql: String, _ arguments: [SQLValue] = [], _ map: (SQLStatement) throws -> T) throws -> [T] {
        let statement = try prepare(sql)
        try statement.bind(arguments)
        var result: [T] = []
        while try statement.step() { result.append(try map(statement)) }
        return result
    }

    /// The first row of one statement, mapped; nil when there is none.
    func row<T>(_ sql: String, _ arguments: SQLValue..., map: (SQLStatement) throws -> T) throws -> T? {
        let statement = try prepare(sql)
        try statement.bind(arguments)
        return try statement.step() ? try map(statement) : nil
    }

    /// The integer in the first column of the first row.
    func integer(_ sql: String, _ arguments: SQLValue...) throws -> Int? {
        let statement = try prepare(sql)
        try statement.bind(arguments)
        return try statement.step() ? statement.optionalInt(0) : nil
    }

    /// Runs `body` with one unchanging view of the file.
    func snapshot<T>(_ body: () throws -> T) throws -> T {
        guard sqlite3_get_autocommit(handle) != 0 else { return try body() }
        try execute("BEGIN")
        defer { sqlite3_exec(handle, "COMMIT", nil, nil, nil) }
        return try body()
    }

    /// Whether a transaction is open.
    var isInTransaction: Bool { sqlite3_get_autocommit(handle) == 0 }

    /// The rowid of the last insert.
    var lastInsertedID: Int64 { sqlite3_last_insert_rowid(handle) }

    /// What SQLite complains about now.
    func error() -> ZooError {
        sqliteError(sqlite3_extended_errcode(handle), String(cString: sqlite3_errmsg(handle)), path: path)
    }
}

/// SQLite's result code as the package's error.
func sqliteError(_ code: Int32, _ message: String, path: String) -> ZooError {
    switch code & 0xFF {
    case SQLITE_CORRUPT, SQLITE_NOTADB:
        ZooError(
            .corrupt, "\(path): the catalog is damaged: \(message)",
            hint: "the sources are untouched; move the file away and index them again")
    case SQLITE_BUSY, SQLITE_LOCKED:
        ZooError(.busy, "\(path): another process is using the catalog", hint: "try again when it has ended")
    case SQLITE_FULL:
        ZooError(.io, "\(path): no space left", hint: "free disk space and run the command again")
    case SQLITE_READONLY, SQLITE_PERM, SQLITE_AUTH:
        ZooError(.io, "\(path): cannot be written: \(message)")
    case SQLITE_CANTOPEN: ZooError(.io, "\(path): cannot be opened: \(message)")
    case SQLITE_IOERR: ZooError(.io, "\(path): \(message)")
    case SQLITE_INTERRUPT: ZooError(.limit, "\(path): stopped")
    case SQLITE_ERROR
    where ["Expression tree is too large", "parser stack overflow"].contains(where: message.hasPrefix):
        ZooError(.limit, "\(path): the query is nested too deeply", hint: "use fewer or shorter conditions")
    case SQLITE_TOOBIG, SQLITE_NOMEM: ZooError(.limit, "\(path): \(message)")
    default: ZooError(.internal, "\(path): SQLite says '\(message)' (code \(code))")
    }
}

/// A compiled statement: bind, step, read columns, reset. Belongs to one connection and one thread at a time.
final class SQLStatement {
    private let handle: OpaquePointer?
    private let connection: Connection

    init(_ connection: Connection, _ sql: String, persistent: Bool) throws {
        var handle: OpaquePointer?
        let flags = persistent ? UInt32(SQLITE_PREPARE_PERSISTENT) : 0
        let code = sqlite3_prepare_v3(connection.handle, sql, -1, flags, &handle, nil)
        self.handle = handle
        self.connection = connection
        guard code == SQLITE_OK else { throw connection.error() }
    }

    /// Takes over a statement compiled elsewhere.
    init(adopting handle: OpaquePointer, _ connection: Connection) {
        self.handle = handle
        self.connection = connection
    }

    deinit { sqlite3_finalize(handle) }

    /// The compiled statement, for SQLite's own functions.
    var pointer: OpaquePointer? { handle }

    /// Makes it ready to run again; bound values stay.
    func reset() { sqlite3_reset(handle) }

    /// Runs to the next row; false at the end.
    func step() throws -> Bool {
        switch sqlite3_step(handle) {
        case SQLITE_ROW: return true
        case SQLITE_DONE: return false
        default:
            let failure = connection.error()
            sqlite3_reset(handle)
            throw failure
        }
    }

    /// Runs a statement without rows and makes it ready again.
    func runOnce() throws {
        while try step() {}
        sqlite3_reset(handle)
    }

    /// Binds all arguments in order.
    func bind(_ values: [SQLValue]) throws {
        for (index, value) in values.enumerated() { bind(index + 1, value) }
    }

    /// Binds one argument; the first has index 1.
    func bind(_ index: Int, _ value: SQLValue) {
        switch value {
        case .null: sqlite3_bind_null(handle, Int32(index))
        case .int(let value): sqlite3_bind_int64(handle, Int32(index), value)
        case .double(let value): sqlite3_bind_double(handle, Int32(index), value)
        case .text(let value): bind(index, value)
        }
    }

    /// Binds an integer.
    func bind(_ index: Int, _ value: Int64) { sqlite3_bind_int64(handle, Int32(index), value) }

    /// Binds an optional integer.
    func bind(_ index: Int, _ value: Int?) {
        if let value { bind(index, Int64(value)) } else { sqlite3_bind_null(handle, Int32(index)) }
    }

    /// Binds an optional number; NaN becomes NULL here, the row's mask tells it from a missing one.
    func bind(_ index: Int, _ value: Double?) {
        if let value {
            sqlite3_bind_double(handle, Int32(index), value)
        } else {
            sqlite3_bind_null(handle, Int32(index))
        }
    }

    /// Binds a text.
    func bind(_ index: Int, _ value: String) {
        var copy = value
        copy.withUTF8 { bytes in
            let transient = unsafeBitCast(-1, to: sqlite3_destructor_type.self)
            // An empty Swift string may have no address; SQLite would take that for NULL.
            guard let base = bytes.baseAddress else {
                sqlite3_bind_text(handle, Int32(index), "", 0, transient)
                return
            }
            base.withMemoryRebound(to: CChar.self, capacity: bytes.count) { start in
                _ = sqlite3_bind_text64(
                    handle, Int32(index), start, UInt64(bytes.count), transient, UInt8(SQLITE_UTF8))
            }
        }
    }

    /// Binds an optional text.
    func bind(_ index: Int, _ value: String?) {
        if let value { bind(index, value) } else { sqlite3_bind_null(handle, Int32(index)) }
    }

    // MARK: Columns

    /// How many columns.
    var columnCount: Int { Int(sqlite3_column_count(handle)) }

    /// The name of a column.
    func columnName(_ column: Int) -> String { String(cString: sqlite3_column_name(handle, Int32(column))) }

    /// Whether the value is NULL.
    func isNull(_ column: Int) -> Bool { sqlite3_column_type(handle, Int32(column)) == SQLITE_NULL }

    /// An integer; 0 for NULL.
    func int(_ column: Int) -> Int64 { sqlite3_column_int64(handle, Int32(column)) }

    /// An integer or nil.
    func optionalInt(_ column: Int) -> Int? { isNull(column) ? nil : Int(int(column)) }

    /// A number or nil.
    func optionalDouble(_ column: Int) -> Double? {
        isNull(column) ? nil : sqlite3_column_double(handle, Int32(column))
    }

    /// A text; empty for NULL.
    func text(_ column: Int) -> String {
        guard let start = sqlite3_column_text(handle, Int32(column)) else { return "" }
        let count = Int(sqlite3_column_bytes(handle, Int32(column)))
        return String(decoding: UnsafeBufferPointer(start: start, count: count), as: UTF8.self)
    }

    /// A text or nil.
    func optionalText(_ column: Int) -> String? { isNull(column) ? nil : text(column) }

    /// Whatever is there; a blob (there is none in a catalog's own tables) reads as hexadecimal text.
    func value(_ column: Int) -> SQLValue {
        switch sqlite3_column_type(handle, Int32(column)) {
        case SQLITE_INTEGER: return .int(int(column))
        case SQLITE_FLOAT: return .double(sqlite3_column_double(handle, Int32(column)))
        case SQLITE_TEXT: return .text(text(column))
        case SQLITE_BLOB:
            guard let start = sqlite3_column_blob(handle, Int32(column)) else { return .text("") }
            let bytes = UnsafeRawBufferPointer(start: start, count: Int(sqlite3_column_bytes(handle, Int32(column))))
            return .text(hexadecimal(bytes))
        default: return .null
        }
    }
}

/// Bytes as lower-case hexadecimal digits.
func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    for byte in bytes {
        text.append(digits[Int(byte >> 4)])
        text.append(digits[Int(byte & 15)])
    }
    return String(decoding: text, as: UTF8.self)
}
