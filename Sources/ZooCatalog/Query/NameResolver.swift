import ZooBase

/// What a name of a query stands for.
enum ResolvedName {
    /// A built-in column.
    case column(QueryColumn)
    /// A configuration value, under any of these keys (no model has two of them).
    case config(ids: [Int64], kinds: ConfigRows.Kinds)
    /// A number that results have beyond the named columns.
    case result(id: Int64)
    /// A metric that was computed.
    case metric(id: Int64)
}

/// Finds what names mean: a built-in column; else a configuration key, full (`optim::lr`) or by its last component
/// (`lr`); else a number of the results; else a metric. `config.`, `result.` and `metric.` before a name choose.
struct NameResolver {
    let connection: Connection
    let columns: [String: QueryColumn]
    /// What the user should know: which keys a bare name was read as.
    private(set) var notes: [String] = []
    private var known: [String: ResolvedName] = [:]

    init(_ connection: Connection, rows: Query.Rows) {
        self.connection = connection
        columns = QueryColumn.all(of: rows)
    }

    /// - Throws: `usage` when the name means nothing (with the nearest names) or too much (with the candidates).
    mutating func resolve(_ name: String) throws -> ResolvedName {
        if let known = known[name] { return known }
        let resolved = try find(name)
        known[name] = resolved
        return resolved
    }

    private mutating func find(_ name: String) throws -> ResolvedName {
        if let column = columns[name] ?? columns[name.lowercased()] { return .column(column) }
        for (prefix, look) in [
            ("config.", Self.config), ("result.", Self.result), ("metric.", Self.metric),
        ] where name.hasPrefix(prefix) {
            // A key of the configuration may itself begin with "config."; then the whole name is tried below.
            if let found = try look(&self, String(name.dropFirst(prefix.count)), true) { return found }
        }
        let found: [(String, ResolvedName)] = try [
            ("config.", Self.config), ("result.", Self.result), ("metric.", Self.metric),
        ].compactMap { prefix, look in try look(&self, name, false).map { (prefix + name, $0) } }
        guard let first = found.first else { throw unknown(name) }
        guard found.count == 1 else {
            throw ZooError(
                .usage, "'\(name)' is ambiguous: \(found.map { "'\($0.0)'" }.joined(separator: " or "))",
                hint: "write one of these")
        }
        return first.1
    }

    private static func config(_ resolver: inout NameResolver, _ name: String, exact: Bool) throws -> ResolvedName? {
        let keys = try resolver.connection.rows(
            "SELECT id, name, kinds, is_ambiguous FROM config_key WHERE name = ?1 OR bare = ?1 ORDER BY id",
            [.text(name)]
        ) {
            (id: $0.int(0), name: $0.text(1), kinds: ConfigRows.Kinds(rawValue: Int($0.int(2))), clash: $0.int(3) != 0)
        }
        if keys.isEmpty { return nil }
        let isFull = name.contains("::") || name.contains(".") || name.contains("/")
        if isFull || exact, let key = keys.first(where: { $0.name == name }) {
            return .config(ids: [key.id], kinds: key.kinds)
        }
        if keys.count > 1 {
            let spellings = keys.map { $0.name == name ? "config.\(name)" : $0.name }
            guard !keys.contains(where: \.clash) else {
                throw ZooError(
                    .usage, "'\(name)' is ambiguous: \(spellings.map { "'\($0)'" }.joined(separator: ", "))",
                    hint: "write one of these")
            }
            resolver.notes.append(
                "'\(name)' was read as \(keys.map(\.name).joined(separator: ", whichever a model has of it and "))")
        }
        let kinds = keys.reduce(into: ConfigRows.Kinds()) { $0.formUnion($1.kinds) }
        return .config(ids: keys.map(\.id), kinds: kinds)
    }

    private static func result(_ resolver: inout NameResolver, _ name: String, exact: Bool) throws -> ResolvedName? {
        try resolver.connection.integer("SELECT id FROM result_key WHERE name = ?", .text(name))
            .map { .result(id: Int64($0)) }
    }

    private static func metric(_ resolver: inout NameResolver, _ name: String, exact: Bool) throws -> ResolvedName? {
        try resolver.connection.integer("SELECT id FROM metric_name WHERE name = ?", .text(name))
            .map { .metric(id: Int64($0)) }
    }

    private func unknown(_ name: String) -> ZooError {
        var candidates = Array(columns.keys)
        for sql in [
            "SELECT name FROM config_key LIMIT 2000", "SELECT DISTINCT bare FROM config_key LIMIT 2000",
            "SELECT name FROM result_key LIMIT 2000", "SELECT name FROM metric_name LIMIT 2000",
        ] {
            candidates += (try? connection.rows(sql) { $0.text(0) }) ?? []
        }
        let nearest = NearestName.list(name, in: candidates)
        return ZooError(
            .usage, "unknown name '\(name)'",
            hint: nearest.isEmpty
                ? "a text needs quotes: '\(name)'"
                : "did you mean \(nearest.map { "'\($0)'" }.joined(separator: ", "))? a text needs quotes")
    }
}
