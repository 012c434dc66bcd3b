import ZooBase

/// What became of a file of metrics.
public struct MetricImport: Sendable, Hashable {
    /// The file.
    public var path: String
    /// Values that were added.
    public var added = 0
    /// Values that the catalog had; those stay.
    public var known = 0
    /// Checkpoints of the file that are not in the catalog, or are others there.
    public var unmatched = 0
}

extension Catalog {
    /// Adds the values of a file to the checkpoints that they were measured on. What the catalog has already stays as
    /// it is, so that importing again changes nothing and own measurements win.
    ///
    /// Checkpoints are found by model and epoch; where both sides have a digest, it must be equal.
    ///
    /// - Parameters:
    ///   - source: only checkpoints of this source, by its path; nil for those of the zoo that the file names.
    ///   - zoo: the zoo's name in this catalog; nil for the file's.
    /// - Throws: what reading the file throws; `notFound` when none of its checkpoints is in the catalog; `busy`.
    public func importMetrics(_ path: String, source: String? = nil, zoo: String? = nil) throws -> MetricImport {
        let file = try MetricFile(reading: path)
        var result = MetricImport(path: path)
        let ids = try match(file, source: source, zoo: zoo ?? file.zoo)
        result.unmatched = ids.count { $0 == nil }
        guard ids.contains(where: { $0 != nil }) else {
            throw ZooError(
                .notFound, "\(path): none of its \(ids.count) checkpoints is in the catalog",
                hint: "index the zoo first, or name it with --zoo")
        }
        struct Key: Hashable {
            var checkpoint: Int64
            var other: Int64?
            var name: String
        }
        var known = Set(
            try findings(of: ids.compactMap { $0 }).map {
                Key(checkpoint: $0.row.checkpoint, other: $0.row.other, name: $0.row.name)
            })
        var rows: [(row: MetricRow, run: Int?)] = []
        for value in file.values {
            guard let id = ids[value.checkpoint] else { continue }
            let other = value.other.flatMap { ids[$0] }
            guard value.other == nil || other != nil else { continue }
            guard known.insert(Key(checkpoint: id, other: other, name: value.name)).inserted else {
                result.known += 1
                continue
            }
            rows.append(
                (
                    MetricRow(
                        checkpoint: id, other: other, name: value.name, value: value.value, error: value.error,
                        note: value.note), value.run
                ))
        }
        result.added = rows.count
        guard !rows.isEmpty else { return result }
        try write(rows, file)
        return result
    }

    /// The checkpoint of the catalog for each of the file.
    private func match(_ file: MetricFile, source: String?, zoo: String) throws -> [Int64?] {
        struct Key: Hashable {
            var model: String
            var epoch: Int?
        }
        let condition = source == nil ? "z.name = ?1" : "o.path = ?1"
        let found = try read { connection in
            try connection.rows(
                """
                SELECT c.id, m.name, c.epoch, c.digest, CASE WHEN m.path = '' THEN c.path ELSE m.path || '/' || c.path END
                    FROM model m JOIN zoo z ON z.id = m.zoo_id JOIN source o ON o.id = m.source_id
                    JOIN checkpoint c ON c.model_id = m.id WHERE \(condition)
                """, [.text(source ?? zoo)]
            ) { row in
                (
                    id: row.int(0), key: Key(model: row.text(1), epoch: row.optionalInt(2)),
                    digest: row.optionalText(3), path: row.text(4)
                )
            }
        }
        let byKey = Dictionary(grouping: found, by: \.key)
        return file.checkpoints.map { wanted in
            let candidates = (byKey[Key(model: wanted.model, epoch: wanted.epoch)] ?? []).filter { candidate in
                wanted.digest == nil || candidate.digest == nil || wanted.digest == candidate.digest
            }
            return (candidates.first { $0.path == wanted.path } ?? candidates.first)?.id
        }
    }

    private func write(_ rows: [(row: MetricRow, run: Int?)], _ file: MetricFile) throws {
        let writer = try writer(patience: 5)
        var runs: [Int: Int64] = [:]
        for place in Set(rows.compactMap(\.run)).sorted() {
            runs[place] = try self.run(like: file.runs[place]) ?? writer.record(file.runs[place])
        }
        for start in stride(from: 0, to: rows.count, by: 1_000) {
            try Cancellation.check()
            try writer.record(
                rows[start..<min(start + 1_000, rows.count)].map { entry in
                    var row = entry.row
                    row.run = entry.run.flatMap { runs[$0] }
                    return row
                })
        }
        try writer.close()
    }

    /// A run that an earlier import recorded.
    private func run(like record: RunRecord) throws -> Int64? {
        try read { connection in
            try connection.row(
                "SELECT id FROM run WHERE command = ? AND started = ? AND settings IS ? LIMIT 1", .text(record.command),
                .text(record.started), record.settings.map { .text($0) } ?? .null
            ) { $0.int(0) }
        }
    }
}
