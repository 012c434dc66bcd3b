import ZooBase
import ZooPrune
import ZooReport

/// What `zoo prune evaluate` found, as table, JSON and figure.
struct EvaluationReport {
    let tasks: [String]
    let pairs: [String]
    let counts: [(queries: Int, documents: Int)]
    let pairCounts: [Int]
    let against: String
    let draws: Int
    let seed: UInt64
    private(set) var rows: [Row] = []

    /// Models of one name.
    struct Row {
        var name: String
        var members: [EmbeddingEvaluation.Outcome] = []
        var agreements: [[Double]] = []

        /// nDCG@10 per query, averaged over the models.
        func gains(_ task: Int) -> [Double] {
            guard let first = members.first?.gains[task] else { return [] }
            return first.indices.map { query in
                members.reduce(0) { $0 + $1.gains[task][query] } / Double(members.count)
            }
        }

        /// Means over the models.
        func correlation(_ task: Int) -> Double? {
            let found = members.compactMap { $0.correlations[task] }
            return found.count == members.count ? EvaluationReport.mean(found) : nil
        }
        var zeroShare: Double { EvaluationReport.mean(members.map(\.zeroShare)) }
    }

    init(
        tasks: [String], pairs: [String], counts: [(queries: Int, documents: Int)], pairCounts: [Int], against: String,
        draws: Int, seed: UInt64
    ) {
        self.tasks = tasks
        self.pairs = pairs
        self.counts = counts
        self.pairCounts = pairCounts
        self.against = against
        self.draws = draws
        self.seed = seed
    }

    mutating func add(_ name: String, _ outcome: EmbeddingEvaluation.Outcome, agreement: [Double]) {
        let place = rows.firstIndex { $0.name == name } ?? rows.count
        if place == rows.count { rows.append(Row(name: name)) }
        rows[place].members.append(outcome)
        rows[place].agreements.append(agreement)
    }

    fileprivate static func mean(_ values: [Double]) -> Double {
        values.reduce(0, +) / Double(max(1, values.count))
    }

    /// The paired bootstrap of two rows on a task: mean difference, two-sided p.
    private func compared(_ a: Row, _ b: Row, _ task: Int) -> (difference: Double, p: Double)? {
        Bootstrap.paired(a.gains(task), b.gains(task), draws: draws, seed: seed).map { ($0.difference, $0.p) }
    }

    // MARK: Table

    /// A row per model and task.
    var table: Table {
        var table = Table([
            .init("task", isPath: true), .init("model", isPath: true), .init("models", .integer), .init("metric"),
            .init("score", .double, digits: 4), .init("recovery", .double, digits: 4),
            .init("difference", .double, digits: 4), .init("p", .double, digits: 4),
            .init("zeros", .double, digits: 4),
        ])
        for task in tasks.indices {
            for row in rows {
                let score = Self.mean(row.gains(task)), dense = Self.mean(rows[0].gains(task))
                let test =
                    row.name == against
                    ? nil : rows.first { $0.name == against }.flatMap { compared(row, $0, task) }
                table.append([
                    .text(tasks[task]), .text(row.name), .int(row.members.count), .text("ndcg@10"), .double(score),
                    dense > 0 ? .double(score / dense) : .null, test.map { .double($0.difference) } ?? .null,
                    test.map { .double($0.p) } ?? .null, .double(row.zeroShare),
                ])
            }
        }
        for task in pairs.indices {
            for row in rows {
                let score = row.correlation(task)
                let dense = rows[0].correlation(task) ?? 0
                table.append([
                    .text(pairs[task]), .text(row.name), .int(row.members.count), .text("spearman"),
                    score.map { .double($0) } ?? .null,
                    score.flatMap { dense > 0 ? .double($0 / dense) : nil } ?? .null, .null, .null,
                    .double(row.zeroShare),
                ])
            }
        }
        return table
    }

    // MARK: JSON

    /// Everything: scores per seed, geometry, and the test of every pair of models.
    var json: JSONValue {
        .object(
            JSONObject([
                ("against", .string(against)), ("draws", .int(Int64(draws))),
                ("seed", .int(Int64(bitPattern: seed))), ("retrieval", .array(tasks.indices.map(retrieval))),
                ("pairs", .array(pairs.indices.map(similarity))),
                (
                    "models",
                    .array(
                        rows.map { row in
                            .object(
                                JSONObject([
                                    ("model", .string(row.name)), ("count", .int(Int64(row.members.count))),
                                    ("zero_share", .double(row.zeroShare)),
                                    ("cut_texts", .int(Int64(row.members.map(\.cutTexts).max() ?? 0))),
                                ]))
                        })
                ),
            ]))
    }

    private func retrieval(_ task: Int) -> JSONValue {
        let dense = Self.mean(rows[0].gains(task))
        let scores = rows.map { row -> JSONValue in
            let gains = row.gains(task), score = Self.mean(gains)
            let interval = Bootstrap.interval(gains, draws: draws, seed: seed)
            var object = JSONObject([
                ("model", .string(row.name)), ("ndcg10", .double(score)),
                ("low", interval.map { .double($0.low) } ?? .null),
                ("high", interval.map { .double($0.high) } ?? .null),
                ("recovery", dense > 0 ? .double(score / dense) : .null),
                ("per_model", .array(row.members.map { .double(Self.mean($0.gains[task])) })),
                ("cosine_to_first", .double(Self.mean(row.agreements.map { $0[task] }))),
            ])
            if let found = row.members.first?.geometry, found.indices.contains(task) {
                object["alignment"] = .double(Self.mean(row.members.map { $0.geometry[task].alignment }))
                object["uniformity"] = .double(Self.mean(row.members.map { $0.geometry[task].uniformity }))
                object["effective_dimension"] = .double(
                    Self.mean(row.members.map { $0.geometry[task].effectiveDimension }))
            }
            return .object(object)
        }
        var comparisons: [JSONValue] = []
        for (place, a) in rows.enumerated() {
            for b in rows[..<place] {
                guard let test = compared(a, b, task) else { continue }
                comparisons.append(
                    .object(
                        JSONObject([
                            ("model", .string(a.name)), ("other", .string(b.name)),
                            ("difference", .double(test.difference)), ("p", .double(test.p)),
                        ])))
            }
        }
        return .object(
            JSONObject([
                ("task", .string(tasks[task])), ("queries", .int(Int64(counts[task].queries))),
                ("documents", .int(Int64(counts[task].documents))), ("scores", .array(scores)),
                ("comparisons", .array(comparisons)),
            ]))
    }

    private func similarity(_ task: Int) -> JSONValue {
        let dense = rows[0].correlation(task) ?? 0
        return .object(
            JSONObject([
                ("task", .string(pairs[task])), ("count", .int(Int64(pairCounts[task]))),
                (
                    "scores",
                    .array(
                        rows.map { row in
                            let score = row.correlation(task)
                            return .object(
                                JSONObject([
                                    ("model", .string(row.name)), ("spearman", score.map { .double($0) } ?? .null),
                                    ("recovery", score.flatMap { dense > 0 ? .double($0 / dense) : nil } ?? .null),
                                ]))
                        })
                ),
            ]))
    }

    // MARK: Figure

    /// A panel per retrieval task: nDCG@10 of every model with its 95 % interval.
    func figure() -> Figure {
        var panels = tasks.indices.map { task -> Panel in
            let found = rows.compactMap { Bootstrap.interval($0.gains(task), draws: draws, seed: seed) }
            var panel = Panel(
                title: Self.short(tasks[task]), x: Axis(categories: rows.map { Self.short($0.name) }),
                y: Axis("nDCG@10"))
            panel.layers.append(.bars(Bars(values: found.map(\.mean), error: found.map { ($0.high - $0.low) / 2 })))
            return panel
        }
        for task in pairs.indices {
            var panel = Panel(
                title: Self.short(pairs[task]), x: Axis(categories: rows.map { Self.short($0.name) }),
                y: Axis("Spearman"))
            panel.layers.append(.bars(Bars(values: rows.map { $0.correlation(task) ?? 0 })))
            panels.append(panel)
        }
        return Figure(panels, columns: 1, panelWidth: 720, panelHeight: 300)
    }

    /// A path's last component.
    private static func short(_ path: String) -> String {
        String(path.split(separator: "/").last ?? Substring(path))
    }
}
