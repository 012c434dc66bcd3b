import ZooBase
import ZooPrune
import ZooReport

/// What `zoo prune score` tells: losses, counts, and per matrix the size of Fisher values and the agreement of sides.
struct ScoreReport {
    let output: String
    let network: String
    let matrices: [CandidateMatrix]
    let layout: StatisticsLayout
    let sides: [SideStatistics]

    private struct Row {
        var name: String, count: Int
        var fisher: [Double]
        var cosine: Double, conflicts: Double?, noise: Double?
    }

    private var rows: [Row] {
        let ranges = Dictionary(layout.entries.map { ($0.name, $0.range) }, uniquingKeysWith: { first, _ in first })
        return matrices.compactMap { matrix in
            guard let range = ranges[matrix.name], sides.count == 2 else { return nil }
            let means = sides.map { side in
                range.reduce(0.0) { $0 + Double(side.fisher[$1]) } / Double(max(1, range.count))
            }
            let gradients = sides.map { side in range.map { Double(side.gradient[$0]) } }
            return Row(
                name: matrix.name, count: matrix.count, fisher: means,
                cosine: Agreement.cosine(gradients[0], gradients[1]), conflicts: sides[1].conflicts[matrix.name],
                noise: sides[1].halves[matrix.name])
        }
    }

    var table: Table {
        var table = Table([
            .init("matrix"), .init("weights", .integer, unit: .count), .init("fisher_domain", .double, digits: 4),
            .init("fisher_general", .double, digits: 4), .init("cosine", .double, digits: 4),
            .init("conflicts", .double, digits: 3), .init("half_cosine", .double, digits: 4),
        ])
        for row in rows {
            table.append([
                .text(row.name), .int(row.count), .double(row.fisher[0]), .double(row.fisher[1]), .double(row.cosine),
                .init(row.conflicts), .init(row.noise),
            ])
        }
        return table
    }

    var json: JSONObject {
        func side(_ place: Int) -> JSONValue {
            .object(
                JSONObject([
                    ("loss", .double(sides[place].loss)), ("samples", .int(Int64(sides[place].samples))),
                    ("batches", .int(Int64(sides[place].batches))),
                    ("skipped_batches", .int(Int64(sides[place].skippedBatches))),
                ]))
        }
        let list = rows.map { row in
            JSONValue.object(
                JSONObject([
                    ("name", .string(row.name)), ("weights", .int(Int64(row.count))),
                    ("fisher_domain", .double(row.fisher[0])), ("fisher_general", .double(row.fisher[1])),
                    ("cosine", .double(row.cosine)), ("conflicts", row.conflicts.map { .double($0) } ?? .null),
                    ("half_cosine", row.noise.map { .double($0) } ?? .null),
                ]))
        }
        let cosines = rows.map(\.cosine).sorted()
        return JSONObject([
            ("domain", side(0)), ("general", side(1)),
            ("median_cosine", cosines.isEmpty ? .null : .double(cosines[cosines.count / 2])),
            ("matrices", .array(list)),
        ])
    }

    /// Lines for people.
    func notes(_ session: Session) {
        for (side, statistics) in zip(CalibrationSide.allCases, sides) {
            session.note(
                "\(side.rawValue): \(Quantity.count(statistics.samples)) samples in \(Quantity.count(statistics.batches)) "
                    + "batches, mean loss \(Quantity.significant(statistics.loss, digits: 5))"
                    + (statistics.skippedBatches > 0 ? ", \(statistics.skippedBatches) batches not finite" : ""))
        }
        let cosines = rows.map(\.cosine)
        if !cosines.isEmpty, cosines.allSatisfy({ $0 > 0.9 }) {
            session.warn("both sides pull every matrix the same way (cosines above 0.9): the general data add nothing")
        }
        session.note("seed \(session.seed); wrote \(output)")
    }
}
