import ZooBase

/// A way to name checkpoints inside a catalog.
public enum Selector: Sendable, Hashable {
    /// `412`: a checkpoint by its id.
    case id(Int64)
    /// `NAME`, `NAME@EPOCH`, `NAME@last`, `NAME@best`, `ZOO/NAME@…`: without `@`, the last.
    case named(String, epoch: EpochChoice)
    /// `where:CONDITION`: all checkpoints for which it holds.
    case condition(String)

    /// Which epoch of a model.
    public enum EpochChoice: Sendable, Hashable {
        /// This one.
        case epoch(Int)
        /// The last checkpoint.
        case last
        /// The best by validation accuracy, else validation loss, else the same on test data.
        case best
    }

    /// Reads a selector. Paths of files and members are not the catalog's: the caller tries those first.
    ///
    /// - Throws: `usage` for an epoch that is none.
    public init(_ text: String) throws {
        if text.hasPrefix("where:") {
            self = .condition(String(text.dropFirst("where:".count)))
        } else if let id = Int64(text) {
            self = .id(id)
        } else if let mark = text.lastIndex(of: "@") {
            let name = String(text[..<mark])
            switch String(text[text.index(after: mark)...]) {
            case "last": self = .named(name, epoch: .last)
            case "best": self = .named(name, epoch: .best)
            case let epoch:
                guard let number = Int(epoch) else {
                    throw ZooError(.usage, "'\(text)': '\(epoch)' is no epoch", hint: "use @NUMBER, @last or @best")
                }
                self = .named(name, epoch: .epoch(number))
            }
        } else {
            self = .named(text, epoch: .last)
        }
    }
}

extension Catalog {
    /// The checkpoints that a selector names, at least one; those of a condition in the order of their models.
    ///
    /// - Throws: `notFound` with what there is instead; `usage` for a name that several models have.
    public func resolve(_ selector: Selector) throws -> [CheckpointRow] {
        switch selector {
        case .id(let id):
            let rows = try checkpoints(ids: [id])
            guard !rows.isEmpty else {
                throw ZooError(.notFound, "\(path): there is no checkpoint \(id)", hint: "list them with 'zoo query'")
            }
            return rows
        case .named(let name, let epoch): return [try checkpoint(named: name, epoch)]
        case .condition(let condition):
            var ids: [Int64] = []
            try stream(Query(where: condition, columns: ["id"]), header: { _, _ in }) { row in
                if case .int(let id) = row[0] { ids.append(id) }
            }
            guard !ids.isEmpty else { throw ZooError(.notFound, "no checkpoint has \(condition)") }
            return try checkpoints(ids: ids)
        }
    }

    /// The checkpoints that a selector's text names.
    public func resolve(_ text: String) throws -> [CheckpointRow] { try resolve(Selector(text)) }

    private func checkpoint(named name: String, _ choice: Selector.EpochChoice) throws -> CheckpointRow {
        let model = try modelID(named: name)
        let rows = try checkpoints(of: model)
        let ids = try read { connection in
            try connection.row(
                "SELECT last_checkpoint_id, best_checkpoint_id FROM model_summary WHERE model_id = ?", .int(model)
            ) { (last: $0.optionalInt(0), best: $0.optionalInt(1)) }
        }
        let found: CheckpointRow?
        let wish: String
        switch choice {
        case .last: (found, wish) = (rows.first { $0.id == ids?.last.map { Int64($0) } }, "last checkpoint")
        case .best: (found, wish) = (rows.first { $0.id == ids?.best.map { Int64($0) } }, "best checkpoint")
        case .epoch(let epoch): (found, wish) = (rows.first { $0.epoch == epoch }, "checkpoint of epoch \(epoch)")
        }
        guard let found else {
            let epochs = rows.compactMap(\.epoch)
            let list = epochs.prefix(20).map(String.init).joined(separator: ", ") + (epochs.count > 20 ? ", …" : "")
            throw ZooError(
                .notFound, "model '\(name)' has no \(wish)",
                hint: rows.isEmpty
                    ? "it has no checkpoints" : epochs.isEmpty ? "its checkpoints have no epochs" : "there are \(list)")
        }
        return found
    }

    /// The model of a name, of `ZOO/NAME`, or of a folder inside a source.
    public func modelID(named name: String) throws -> Int64 {
        try read { connection in
            var rows = try connection.rows(
                "SELECT id, path FROM model WHERE name = ? LIMIT 6", [.text(name)]
            ) { ($0.int(0), $0.text(1)) }
            if rows.isEmpty {
                rows = try connection.rows(
                    """
                    SELECT m.id, m.path FROM zoo z CROSS JOIN model m ON m.zoo_id = z.id
                        WHERE substr(?1, 1, length(z.name) + 1) = z.name || '/'
                        AND m.name = substr(?1, length(z.name) + 2) LIMIT 6
                    """, [.text(name)]
                ) { ($0.int(0), $0.text(1)) }
            }
            if rows.isEmpty {
                rows = try connection.rows(
                    "SELECT m.id, m.path FROM source o CROSS JOIN model m ON m.source_id = o.id AND m.path = ? LIMIT 6",
                    [.text(name)]
                ) { ($0.int(0), $0.text(1)) }
            }
            guard let first = rows.first else { throw try Self.unknownModel(name, connection) }
            guard rows.count == 1 else {
                let list = rows.prefix(5).map { "\($0.0) (\($0.1))" }.joined(separator: ", ")
                throw ZooError(
                    .usage, "several models are called '\(name)': \(list)\(rows.count > 5 ? ", …" : "")",
                    hint:
                        "use ZOO/NAME, the folder inside the source, or 'where:model_id = \(first.0) and epoch = last'")
            }
            return first.0
        }
    }

    private static func unknownModel(_ name: String, _ connection: Connection) throws -> ZooError {
        var similar = try connection.rows(
            "SELECT name FROM model WHERE instr(name, ?) > 0 ORDER BY name LIMIT 3", [.text(name)]
        ) { $0.text(0) }
        if similar.isEmpty {
            similar = NearestName.list(
                name, in: try connection.rows("SELECT name FROM model LIMIT 5000") { $0.text(0) })
        }
        return ZooError(
            .notFound, "no model is called '\(name)'",
            hint: similar.isEmpty
                ? "list them with 'zoo query --from models'"
                : "did you mean \(similar.map { "'\($0)'" }.joined(separator: ", "))?")
    }
}
