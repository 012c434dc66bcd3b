import ZooBase
import ZooFormats

extension CatalogWriter {
    /// Flags repeated trials of a source: of models with equal configuration, all but the one with most results, then
    /// the latest, then the first. Models without configuration are never repetitions.
    func markDuplicates(of source: Int64) throws {
        var ids: [Int64] = []
        var candidates: [TrialDuplicates.Candidate] = []
        let rows = try connection.rows(
            """
            SELECT m.id, m.config, s.result_count, m.bookkeeping FROM model m
                JOIN model_summary s ON s.model_id = m.id WHERE m.source_id = ? AND m.config IS NOT NULL ORDER BY m.id
            """, [.int(source)]
        ) { (id: $0.int(0), config: $0.text(1), results: Int($0.int(2)), bookkeeping: $0.optionalText(3)) }
        for row in rows {
            let config = try CatalogReader.object(row.config)
            let date = try CatalogReader.object(row.bookkeeping)["date"]?.string ?? ""
            ids.append(row.id)
            // A digest: the texts of 50,000 configurations would be kept otherwise.
            let identity = ContentDigest.of(Bytes(Array(ConfigIdentity.text(of: config).utf8)))
            candidates.append(.init(identity: identity, resultCount: row.results, date: date))
        }
        let repeated = TrialDuplicates(candidates).groups.flatMap { group in
            group.members.filter { $0 != group.preferred }.map { ids[$0] }
        }
        try atomically(rows: repeated.count + 1) {
            try connection.run("UPDATE model SET duplicate = 0 WHERE source_id = ? AND duplicate", .int(source))
            for id in repeated { try connection.run("UPDATE model SET duplicate = 1 WHERE id = ?", .int(id)) }
        }
    }
}
