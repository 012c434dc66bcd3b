import ZooBase

/// A measured value with what is known of its measurement.
public struct MetricFinding: Sendable, Hashable {
    /// The value.
    public var row: MetricRow
    /// The data set, as the command named it.
    public var dataset: String?
    /// What the value depends on beyond the checkpoints.
    public var settings: String?

    /// The digest of the samples that it was measured on; nil when the settings do not tell.
    public var samples: String? { settings.flatMap { Self.samples(in: $0) } }

    /// The digest of the samples that settings name.
    public static func samples(in settings: String) -> String? {
        settings.split(separator: " ").first { $0.hasPrefix("samples=") }.map { String($0.dropFirst(8)) }
    }
}

extension Catalog {
    /// All values of some checkpoints, alone or as the first of a pair, in the order of the checkpoints.
    ///
    /// - Parameter names: the metrics; nil for all.
    public func findings(of checkpoints: [Int64], named names: Set<String>? = nil) throws -> [MetricFinding] {
        let list = "[" + checkpoints.map(String.init).joined(separator: ",") + "]"
        let found = try read { connection in
            try connection.rows(
                """
                SELECT x.checkpoint_id, x.other_id, n.name, x.value, x.error, x.run_id, x.note, d.name, r.settings
                    FROM json_each(?) k CROSS JOIN metric x ON x.checkpoint_id = k.value
                    CROSS JOIN metric_name n ON n.id = x.name_id LEFT JOIN run r ON r.id = x.run_id
                    LEFT JOIN dataset d ON d.id = r.dataset_id ORDER BY k.key, n.name, x.other_id
                """, [.text(list)]
            ) { row in
                MetricFinding(
                    row: MetricRow(
                        checkpoint: row.int(0), other: row.optionalInt(1).map { Int64($0) }, name: row.text(2),
                        value: row.optionalDouble(3) ?? .nan, error: row.optionalDouble(4),
                        run: row.optionalInt(5).map { Int64($0) }, note: row.optionalText(6)),
                    dataset: row.optionalText(7), settings: row.optionalText(8))
            }
        }
        guard let names else { return found }
        return found.filter { names.contains($0.row.name) }
    }
}
