import ZooBase

/// A configuration as rows: one key and one value each.
package enum ConfigRows {
    /// The most keys of one configuration that are indexed; real ones have tens.
    package static let maximumKeys = 4096
    /// Longer texts (a dumped object, a source file) stay in the JSON only.
    static let maximumTextBytes = 1024

    /// What kinds of value a key was seen with: bits of `config_key.kinds`.
    struct Kinds: OptionSet {
        let rawValue: Int
        static let number = Kinds(rawValue: 1)
        static let text = Kinds(rawValue: 2)
        static let truth = Kinds(rawValue: 4)
        static let null = Kinds(rawValue: 8)
        static let list = Kinds(rawValue: 16)
    }

    /// One row.
    struct Row {
        var key: String
        var value: SQLValue
        var kind: Kinds
    }

    /// All rows of a configuration; nested objects are walked, their keys joined by points.
    ///
    /// - Throws: `limit` for more than `maximumKeys`.
    static func rows(_ config: JSONObject) throws -> [Row] {
        var rows: [Row] = []
        try append(config, prefix: "", to: &rows)
        return rows
    }

    private static func append(_ object: JSONObject, prefix: String, to rows: inout [Row]) throws {
        for (key, value) in object {
            if case .object(let inner) = value {
                try append(inner, prefix: prefix + key + ".", to: &rows)
                continue
            }
            guard rows.count < maximumKeys else {
                throw ZooError(.limit, "the configuration has more than \(maximumKeys) keys")
            }
            let (stored, kind) = stored(value)
            if case .text(let text) = stored, text.utf8.count > maximumTextBytes { continue }
            rows.append(Row(key: prefix + key, value: stored, kind: kind))
        }
    }

    private static func stored(_ value: JSONValue) -> (SQLValue, Kinds) {
        switch value {
        case .null: (.null, .null)
        case .bool(let value): (SQLValue(value), .truth)
        case .int(let value): (.int(value), .number)
        // SQLite has no NaN; as a text it stays apart from a missing value.
        case .double(let value): (value.isNaN ? .text("NaN") : .double(value), .number)
        case .string(let value): (.text(value), .text)
        case .array, .object: (.text(value.text()), .list)
        }
    }

    /// The last component of a key: `lr` of `optim::lr`, `cpu` of `resources.cpu`.
    static func bareName(_ key: String) -> String {
        var bare = key[...]
        if let range = bare.ranges(of: "::").last { bare = bare[range.upperBound...] }
        if let point = bare.lastIndex(where: { $0 == "." || $0 == "/" }) { bare = bare[bare.index(after: point)...] }
        return bare.isEmpty ? key : String(bare)
    }
}
