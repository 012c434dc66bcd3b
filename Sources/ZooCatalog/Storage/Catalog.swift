import CZooSQLite
import GRDB
import GRDBSQLite
import ZooBase

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A catalog of models and checkpoints: one SQLite file, many readers, one writer.
///
/// Opening costs well under 5 ms. A value reads only; `writer()` opens the one connection that writes.
public final class Catalog: Sendable {
    /// The file.
    public let path: String
    /// How the file is kept sound.
    public let journalMode: JournalMode
    /// True when the catalog lies on media that cannot be written; nobody else can change it then.
    public let isImmutable: Bool
    private let queue: DatabaseQueue

    /// Opens a catalog for reading; the file must exist.
    ///
    /// - Throws: `notFound`; `corrupt` for a file that is no catalog or is damaged; `unsupported` for one written by a
    ///   newer version; `io`.
    public convenience init(_ path: String) throws {
        try CatalogFile.checkHeader(path)
        try self.init(reading: path)
    }

    /// Opens a catalog for reading, making an empty one (and its folder) when there is none, and bringing an older one
    /// up to date.
    public static func openOrCreate(_ path: String) throws -> Catalog {
        if access(path, F_OK) != 0 || (try? CatalogFile.byteCount(path)) == 0 {
            let split = path.lastIndex(of: "/")
            if let split, split != path.startIndex { try makeFolder(String(path[..<split])) }
            try CatalogFile.migrate(path, lock: WriterLock(catalog: path, patience: 5))
        } else {
            try CatalogFile.checkHeader(path)
            if try CatalogFile.needsMigration(path) {
                try CatalogFile.migrate(path, lock: WriterLock(catalog: path))
            }
        }
        return try Catalog(path)
    }

    private init(reading path: String) throws {
        self.path = path
        isImmutable = CatalogFile.mustBeImmutable(path)
        queue = try CatalogFile.openReader(path, immutable: isImmutable)
        let local = JournalMode.suited(to: path) == .wal
        journalMode = try queue.unsafeRead { database in
            let connection = try CatalogFile.connection(database, path)
            CatalogFile.detachObservers(connection)
            try CatalogFile.checkSchema(connection)
            // Mapping saves a system call per page; on a network file system a lost server would be a crash.
            if local { try connection.execute("PRAGMA mmap_size = \(CatalogFile.mappedBytes)") }
            let mode = try connection.row("PRAGMA journal_mode") { $0.text(0) }
            return mode == "wal" ? .wal : .delete
        }
    }

    /// Takes the right to write and opens the connection that writes.
    ///
    /// - Parameter patience: seconds to wait while another process has the right.
    /// - Throws: `busy` naming the other's process id.
    public func writer(patience: Double = 0) throws -> CatalogWriter {
        try CatalogWriter(path: path, lock: WriterLock(catalog: path, patience: patience))
    }

    /// Lends the reading connection; calls from several threads take turns, a call within a call is fine.
    func read<T>(_ body: (Connection) throws -> T) throws -> T {
        try queue.unsafeReentrantRead { try body(CatalogFile.connection($0, path)) }
    }
}

/// What is done to the file before and while it is a catalog.
enum CatalogFile {
    /// The most of the file that is mapped, 16 GB; SQLite clamps it to what it was compiled for.
    static let mappedBytes = 1 << 34
    private static let magic = Array("SQLite format 3\0".utf8)
    /// A model's savepoint keeps a copy of every page it touches, some hundred; done once per process, before SQLite's
    /// first use by a writer.
    private static let savepointsStayInMemory: Bool = zoo_sqlite_set_savepoint_memory(16 << 20) == 0

    /// The size of a file.
    static func byteCount(_ path: String) throws -> Int {
        var status = stat()
        guard stat(path, &status) == 0 else { throw ZooError.system("open \(path)", errno: errno) }
        return Int(status.st_size)
    }

    /// Refuses what is not a catalog before SQLite looks at it.
    static func checkHeader(_ path: String) throws {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            let code = errno
            throw ZooError.system(
                "open the catalog \(path)", errno: code,
                hint: code == ENOENT ? "make one with 'zoo index SOURCE', or name one with --catalog" : "")
        }
        defer { close(descriptor) }
        var header = [UInt8](repeating: 0, count: 100)
        let count = pread(descriptor, &header, header.count, 0)
        guard count >= 0 else { throw ZooError.system("read \(path)", errno: errno) }
        guard count == 100, Array(header[0..<16]) == magic else {
            throw ZooError(.corrupt, "\(path): is not a catalog (not a SQLite file)", hint: "check --catalog")
        }
        let identifier = header[68..<72].reduce(Int32(0)) { $0 << 8 | Int32($1) }
        guard identifier == Schema.applicationID else {
            throw ZooError(
                .corrupt, "\(path): is a SQLite file, but not a catalog", hint: "check --catalog; the file is unchanged"
            )
        }
    }

    /// A wrapper around GRDB's connection.
    static func connection(_ database: Database, _ path: String) throws -> Connection {
        guard let handle = database.sqliteConnection else {
            throw ZooError(.internal, "\(path): the catalog is closed")
        }
        return Connection(handle: handle, path: path)
    }

    /// A write-ahead log in a folder that cannot be written cannot be shared; if nothing waits in it or in a rollback
    /// journal, the file is read as it lies.
    static func mustBeImmutable(_ path: String) -> Bool {
        let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        guard access(folder.isEmpty ? "/" : folder, W_OK) != 0 || isReadOnly(folder.isEmpty ? "/" : folder) else {
            return false
        }
        return ["-wal", "-journal"].allSatisfy { ((try? byteCount(path + $0)) ?? 0) == 0 }
    }

    /// Root may write everywhere by its rights; a read-only mount still refuses.
    private static func isReadOnly(_ folder: String) -> Bool {
        var status = statvfs()
        return statvfs(folder, &status) == 0 && status.f_flag & UInt(ST_RDONLY) != 0
    }

    /// Ends GRDB's watch over transactions, which expects that all of them go through its own functions: nothing
    /// observes a catalog, and statements compiled once run several times faster without it.
    static func detachObservers(_ connection: Connection) {
        sqlite3_commit_hook(connection.handle, nil, nil)
        sqlite3_rollback_hook(connection.handle, nil, nil)
        sqlite3_update_hook(connection.handle, nil, nil)
    }

    static func openReader(_ path: String, immutable: Bool) throws -> DatabaseQueue {
        var configuration = Configuration()
        configuration.readonly = true
        configuration.label = "zoo catalog"
        configuration.busyMode = .timeout(10)
        configuration.allowsUnsafeTransactions = true
        configuration.prepareDatabase { database in
            let connection = try CatalogFile.connection(database, path)
            try connection.execute(
                "PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384")
        }
        return try translating(path) {
            try DatabaseQueue(path: immutable ? immutableURI(path) : path, configuration: configuration)
        }
    }

    static func openWriter(_ path: String) throws -> DatabaseQueue {
        _ = savepointsStayInMemory
        var configuration = Configuration()
        configuration.label = "zoo catalog writer"
        configuration.busyMode = .timeout(30)
        configuration.allowsUnsafeTransactions = true
        let mode = JournalMode.suited(to: path)
        configuration.prepareDatabase { database in
            let connection = try CatalogFile.connection(database, path)
            try connection.execute(
                """
                PRAGMA trusted_schema = OFF; PRAGMA secure_delete = OFF; PRAGMA cache_size = -98304;
                PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 67108864;
                PRAGMA journal_mode = \(mode.rawValue);
                PRAGMA synchronous = \(mode == .wal ? "NORMAL" : "FULL");
                """)
        }
        return try translating(path) { try DatabaseQueue(path: path, configuration: configuration) }
    }

    /// Makes the tables or adds what a newer version has; the caller holds the lock.
    static func migrate(_ path: String, lock: WriterLock) throws {
        let queue = try openWriter(path)
        try translating(path) {
            try queue.writeWithoutTransaction { database in
                try connection(database, path).execute("PRAGMA application_id = \(Schema.applicationID)")
            }
            try Schema.migrator.migrate(queue)
            try queue.close()
        }
        withExtendedLifetime(lock) {}
    }

    /// Whether an older version wrote the file.
    static func needsMigration(_ path: String) throws -> Bool {
        let queue = try openReader(path, immutable: mustBeImmutable(path))
        return try queue.unsafeRead { database in
            let connection = try connection(database, path)
            return try applied(connection).count < Schema.migrations.count
        }
    }

    /// - Throws: `unsupported` when a newer version wrote the file or an older one did and it was not brought up to date.
    static func checkSchema(_ connection: Connection) throws {
        let known = Schema.migrations.map(\.name)
        let applied = try applied(connection)
        guard applied.allSatisfy(known.contains) else {
            throw ZooError(
                .unsupported, "\(connection.path): was written by a newer version of zoo", hint: "update zoo")
        }
        guard applied.count == known.count else {
            throw ZooError(
                .unsupported, "\(connection.path): was written by an older version of zoo",
                hint: "run 'zoo index' once to bring it up to date")
        }
    }

    private static func applied(_ connection: Connection) throws -> [String] {
        guard
            try connection.integer(
                "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?", "grdb_migrations")
                == 1
        else { return [] }
        return try connection.rows("SELECT identifier FROM grdb_migrations") { $0.text(0) }
    }

    /// A file name as SQLite's URI, which alone can say that nobody changes the file.
    private static func immutableURI(_ path: String) -> String {
        var text: [UInt8] = Array("file:".utf8)
        for byte in path.utf8 {
            let isPlain =
                byte < 0x80 && byte > 0x20 && ![UInt8(ascii: "%"), UInt8(ascii: "?"), UInt8(ascii: "#")].contains(byte)
            text += isPlain ? [byte] : Array("%\(hexadecimal([byte]))".utf8)
        }
        return String(decoding: text, as: UTF8.self) + "?immutable=1"
    }

    /// Runs `body`; GRDB's errors become the package's.
    static func translating<T>(_ path: String, _ body: () throws -> T) throws -> T {
        do {
            return try body()
        } catch let error as DatabaseError {
            throw sqliteError(error.extendedResultCode.rawValue, error.message ?? "unknown error", path: path)
        }
    }
}

extension SQLValue: ExpressibleByStringLiteral {
    /// A text.
    package init(stringLiteral value: String) { self = .text(value) }
}
