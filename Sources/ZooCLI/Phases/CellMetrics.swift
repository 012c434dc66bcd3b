import ZooBase
import ZooCatalog

/// Mean, spread and count of one metric over the networks or pairs of a cell.
struct CellStatistics: Sendable, Hashable {
    /// Finite values.
    let count: Int
    let mean: Double
    /// Standard deviation with n − 1; zero for one value.
    let deviation: Double
    /// Values that are missing or not finite, and why the first of them is.
    let missing: Int
    let reason: String?

    /// nil when there is nothing at all.
    init?(_ values: [Double?], reasons: [String] = []) {
        guard !values.isEmpty else { return nil }
        let finite = values.compactMap { $0 }.filter(\.isFinite)
        count = finite.count
        missing = values.count - finite.count
        reason = missing > 0 ? reasons.first ?? "not finite" : nil
        let n = Double(finite.count)
        mean = finite.isEmpty ? .nan : finite.reduce(0, +) / n
        let center = mean
        deviation = n > 1 ? (finite.reduce(0) { $0 + ($1 - center) * ($1 - center) } / (n - 1)).squareRoot() : 0
    }

    /// The mean; nil when no value is finite.
    var value: Double? { count > 0 ? mean : nil }
}

/// All metrics of the cells of a grid, as the catalog has them.
struct CellMetrics {
    /// By row and column, then by the metric's name.
    let cells: [[[String: CellStatistics]]]
    /// Values of single networks by checkpoint, then by name.
    let single: [Int64: [String: Double]]
    /// Values of pairs, first and second in the order of the cell, then by name.
    private let pairs: [Pair: [String: Double]]
    /// The data that each metric was measured on: names of data sets by digest of the samples.
    private let data: [String: [String: String]]

    private struct Pair: Hashable {
        let first: Int64
        let second: Int64
    }

    init(_ grid: ZooGrid, _ session: Session) throws {
        let ids = grid.checkpoints.compactMap { $0.row?.id }
        let findings = try Catalog(session.catalogPath).findings(of: ids)
        var single: [Int64: [String: Double]] = [:], pairs: [Pair: [String: Double]] = [:]
        var notes: [String: String] = [:], data: [String: [String: String]] = [:]
        for finding in findings {
            let row = finding.row
            if let other = row.other {
                pairs[Pair(first: row.checkpoint, second: other), default: [:]][row.name] = row.value
            } else {
                single[row.checkpoint, default: [:]][row.name] = row.value
            }
            if let note = row.note { notes["\(row.checkpoint) \(row.other ?? 0) \(row.name)"] = note }
            data[row.name, default: [:]][finding.samples ?? "?"] = finding.dataset ?? "?"
        }
        for checkpoint in grid.checkpoints {
            guard let row = checkpoint.row else { continue }
            for (name, value) in [
                ("result_test_accuracy", row.results.testAccuracy), ("result_test_loss", row.results.testLoss),
            ] {
                if let value { single[row.id, default: [:]][name] = value }
            }
        }
        self.single = single
        self.pairs = pairs
        self.data = data
        cells = grid.cells.map { line in
            line.map { cell in Self.statistics(cell.compactMap { $0.row?.id }, single, pairs, notes) }
        }
    }

    private static func statistics(
        _ ids: [Int64], _ single: [Int64: [String: Double]], _ pairs: [Pair: [String: Double]],
        _ notes: [String: String]
    ) -> [String: CellStatistics] {
        var values: [String: [Double?]] = [:], reasons: [String: [String]] = [:]
        func add(_ found: [String: Double]?, _ key: String) {
            for (name, value) in found ?? [:] {
                values[name, default: []].append(value)
                if !value.isFinite, let note = notes["\(key) \(name)"] { reasons[name, default: []].append(note) }
            }
        }
        for (place, id) in ids.enumerated() {
            add(single[id], "\(id) 0")
            for other in ids[(place + 1)...] {
                add(pairs[Pair(first: id, second: other)], "\(id) \(other)")
                add(pairs[Pair(first: other, second: id)], "\(other) \(id)")
            }
        }
        return values.reduce(into: [:]) { $0[$1.key] = CellStatistics($1.value, reasons: reasons[$1.key] ?? []) }
    }

    /// A value of a pair, in whichever order it was measured; nil when it was not. NaN: measured, without a value.
    func pair(_ name: String, _ a: Int64, _ b: Int64) -> Double? {
        pairs[Pair(first: a, second: b)]?[name] ?? pairs[Pair(first: b, second: a)]?[name]
    }

    /// Whether anything was measured under a name.
    func has(_ name: String) -> Bool { cells.contains { $0.contains { $0[name] != nil } } }

    /// The digests of the samples that a metric was measured on, as far as they are known.
    func samples(of name: String) -> Set<String> { Set((data[name] ?? [:]).keys).subtracting(["?"]) }

    /// Refuses metrics that decide together and come from different samples; those of unknown samples are let pass.
    ///
    /// - Throws: `mismatch` naming metrics and data sets, with the command that measures them again.
    func checkTogether(_ names: [String], zoo: String) throws {
        let digests = names.reduce(into: Set<String>()) { $0.formUnion(samples(of: $1)) }
        guard digests.count > 1 else { return }
        let found = names.map { name in
            let parts = (data[name] ?? [:]).map { "\($0.value) (samples \($0.key))" }.sorted()
            return "\(name) on \(parts.isEmpty ? "no data" : parts.joined(separator: ", "))"
        }
        throw ZooError(
            .mismatch,
            "zoo '\(zoo)': the metrics that tell phases apart were measured on different samples: "
                + found.joined(separator: "; "),
            hint: "measure them on one data set: zoo phases \(zoo) --data DATA:train --test DATA:test")
    }

    /// The names of the data sets that a metric was measured on.
    func datasets(of name: String) -> [String] { Set((data[name] ?? [:]).values).sorted() }

    /// Refuses a metric whose values come from different samples.
    ///
    /// - Throws: `mismatch` with the command that measures anew.
    func checkData(of names: [String], zoo: String) throws {
        for name in names {
            let found = data[name] ?? [:]
            guard found.count > 1 else { continue }
            throw ZooError(
                .mismatch,
                "zoo '\(zoo)': \(name) was measured on different samples in different cells "
                    + "(\(found.map { "\($0.value) with samples \($0.key)" }.sorted().joined(separator: ", ")))",
                hint: "measure all cells on one data set: zoo phases \(zoo) --data DATA:train --test DATA:test")
        }
    }
}
