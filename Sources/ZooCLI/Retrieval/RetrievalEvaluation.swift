import ZooBase
import ZooNN
import ZooReport
import ZooRetrieval

/// The protocol over an index with known truth: queries of every task, every ranking, the same queries for all.
struct RetrievalEvaluation {
    /// One ranking of one query.
    struct Outcome: Sendable {
        var index: Int
        var isSeen: Bool
        var method: Int
        var rank: Int?
        var tau: Double?
        var regret: Double
        var passes: Int
        var isDecided: Bool
    }

    let methods: [RankMethod]
    /// Names of other indexes whose vectors are compared on the same queries.
    let rivals: [String]
    /// The ranking that all others are tested against.
    let reference: Int
    let shots: Int
    let perTask: Int
    let neighbours: Int
    let session: Session
    private(set) var outcomes: [Outcome] = []

    private var names: [String] { methods.map(\.name) + rivals }

    /// - Parameter against: the ranking that others are tested against; nil for the first.
    /// - Throws: `usage` when it is none of them.
    init(
        _ methods: [RankMethod], rivals: [String] = [], against: String? = nil, shots: Int, perTask: Int,
        neighbours: Int, session: Session
    ) throws {
        self.methods = methods
        self.rivals = rivals
        let names = methods.map(\.name) + rivals
        guard let reference = against.map({ names.firstIndex(of: $0) }) ?? 0 else {
            throw ZooError(
                .usage, "--against \(against ?? "") is not among the rankings",
                hint: NearestName.hint(against ?? "", in: names, kind: "rankings"))
        }
        guard Set(names).count == names.count else {
            throw ZooError(.usage, "a ranking or index is named twice: \(names.joined(separator: ", "))")
        }
        self.reference = reference
        self.shots = shots
        self.perTask = perTask
        self.neighbours = neighbours
        self.session = session
    }

    private struct Asked: Sendable {
        var task: Int
        var query: RankingEngine.Query
        /// The same samples as the rivals' maps see them.
        var rivals: [RankingEngine.Query]
        var accuracies: [Double]
    }

    /// Runs one index.
    ///
    /// - Parameters:
    ///   - place: its number among the indexes.
    ///   - tasks: of the queries; those without a model in the gallery are left out.
    ///   - others: the rivals' indexes of the same models.
    mutating func run(
        _ place: Int, _ index: RetrievalIndex, allowed: [Int], tasks: [RetrievalTask], data: Samples,
        networks: IndexedNetworks, others: [RetrievalIndex] = []
    ) throws {
        let present = Set(allowed.compactMap { index.models[$0].task })
        let tasks = tasks.filter { present.contains($0.name) }
        guard tasks.count >= 2 else {
            throw ZooError(
                .mismatch, "\(tasks.count) tasks have models in the gallery; an evaluation compares at least two",
                hint: "models of 'zoo train' know their classes and transform; others take --tasks")
        }
        let boxes = try allowed.map { try networks.open(index.models[$0]) }
        var generator = SeededGenerator(seed: session.seed ^ 0x6576_616C)
        // The half that queries are drawn from, and the half that tells how well a model serves.
        var halves: [(query: Samples, truth: Samples)] = []
        for task in tasks {
            halves.append(try task.samples(of: data, seed: session.seed).split(fraction: 0.5, seed: session.seed))
        }
        let truths = halves.map(\.truth)
        let accuracies = try Parallel.map(count: tasks.count, jobs: session.jobs) { task in
            try boxes.map { try ModelGrades.accuracy(CheckedBox($0), truths[task]) }
        }
        let averages = Dictionary(
            uniqueKeysWithValues: allowed.enumerated().map { position, model in
                (model, accuracies.reduce(0) { $0 + $1[position] } / Double(tasks.count))
            })
        let engine = try RankingEngine(index, allowed: allowed, averages: averages, seed: session.seed) {
            try networks.open($0)
        }
        let gallery = allowed.map { index.models[$0].name }
        let rivalEngines = try zip(rivals, others).map { name, other in
            try ZooError.locate("--compare \(name)") {
                try RankingEngine(other, allowed: Self.places(gallery, in: other), seed: session.seed) {
                    try networks.open($0)
                }
            }
        }
        var asked: [Asked] = []
        for (number, task) in tasks.enumerated() {
            let samples = halves[number].query
            for _ in 0..<perTask {
                let chosen = try ZooError.locate("task '\(task.name)'") {
                    try RetrievalTask.draw(samples, shots: shots, &generator)
                }
                let part = samples.selecting(chosen), labels = part.labels.map(Int.init)
                asked.append(
                    Asked(
                        task: number,
                        query: try engine.query(part.inputs, labels: labels, neighbours: neighbours),
                        rivals: try rivalEngines.map { try $0.query(part.inputs, labels: labels) },
                        accuracies: accuracies[number]))
            }
        }
        let trained = Set(index.trainedTasks), queries = asked, methods = methods
        let correct = tasks.map { task in
            Set(allowed.indices.filter { index.models[allowed[$0]].task == task.name })
        }
        let progress = session.progress("evaluate", total: queries.count, unit: .items("queries"))
        let found = try Parallel.map(count: queries.count, jobs: session.jobs) { number -> [Outcome] in
            defer { progress.advance(by: 1) }
            let item = queries[number]
            func outcome(_ method: Int, _ result: RankingEngine.Result) throws -> Outcome {
                if let problem = result.problems.values.first, result.problems.count == allowed.count { throw problem }
                let best = item.accuracies.max() ?? 0
                return Outcome(
                    index: place, isSeen: trained.contains(tasks[item.task].name), method: method,
                    rank: RetrievalMetrics.rank(of: correct[item.task], scores: result.keys),
                    tau: RetrievalMetrics.weightedTau(truth: item.accuracies, scores: result.keys),
                    regret: best - (result.order.first.map { item.accuracies[$0] } ?? 0), passes: result.passes,
                    isDecided: Set(result.keys).count > 1)
            }
            return try methods.enumerated().map { try outcome($0, engine.rank(item.query, $1)) }
                + rivalEngines.enumerated().map { rival, engine in
                    try outcome(methods.count + rival, engine.rank(item.rivals[rival], RankMethod(RankMethod.vectors)))
                }
        }
        progress.finish()
        outcomes += found.flatMap { $0 }
    }

    /// Where models of the given names are in another index.
    private static func places(_ names: [String], in index: RetrievalIndex) throws -> [Int] {
        let known = Dictionary(
            index.models.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
        return try names.map { name in
            guard let place = known[name] else {
                throw ZooError(.mismatch, "\(name) is not in it", hint: "index the same gallery in both")
            }
            return place
        }
    }

    // MARK: The table

    /// Rows per kind of task and ranking: means over all queries with 95 % bootstrap intervals, the worst index, and how
    /// much the reference's Acc@1 is above it on the same queries, with the paired bootstrap's interval and p.
    var table: Table {
        var table = Table([
            .init("tasks"), .init("ranking"), .init("queries", .integer), .init("passes", .double),
            .init("acc1", .double), .init("acc1_low", .double), .init("acc1_high", .double),
            .init("acc1_worst", .double), .init("acc5", .double), .init("acc5_worst", .double), .init("mrr", .double),
            .init("tau", .double), .init("regret", .double), .init("behind", .double), .init("behind_low", .double),
            .init("behind_high", .double), .init("p", .double),
        ])
        for isSeen in [true, false] {
            for method in names.indices {
                let rows = outcomes.filter { $0.isSeen == isSeen && $0.method == method }
                guard !rows.isEmpty else { continue }
                table.append(row(rows, isSeen, method))
            }
        }
        return table
    }

    private func row(_ rows: [Outcome], _ isSeen: Bool, _ method: Int) -> [Table.Cell] {
        let hits = hit(rows, 1)
        let interval = Bootstrap.interval(hits, seed: session.seed)
        func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(max(1, values.count)) }
        func worst(_ top: Int) -> Double {
            Set(rows.map(\.index)).map { number in mean(hit(rows.filter { $0.index == number }, top)) }.min() ?? 0
        }
        let first = outcomes.filter { $0.isSeen == isSeen && $0.method == reference }
        let test = method == reference ? nil : Bootstrap.paired(hit(first, 1), hits, seed: session.seed)
        let taus = rows.compactMap(\.tau)
        let isDecided = rows.contains(where: \.isDecided)
        return [
            .text(isSeen ? "seen" : "unseen"), .text(names[method]), .int(rows.count),
            .double(mean(rows.map { Double($0.passes) })), .double(mean(hits)), .double(interval?.low ?? 0),
            .double(interval?.high ?? 0), .double(worst(1)), .double(mean(hit(rows, 5))), .double(worst(5)),
            .double(mean(rows.map { $0.rank.map { 1 / Double($0) } ?? 0 })),
            taus.isEmpty || !isDecided ? .null : .double(mean(taus)), .double(mean(rows.map(\.regret))),
            test.map { .double($0.difference) } ?? .null, test.map { .double($0.low) } ?? .null,
            test.map { .double($0.high) } ?? .null, test.map { .double($0.p) } ?? .null,
        ]
    }

    private func hit(_ rows: [Outcome], _ top: Int) -> [Double] {
        rows.map { $0.rank.map { $0 <= top } ?? false ? 1 : 0 }
    }

    /// Acc@1 of every ranking with its interval.
    func figure() -> Figure {
        let panels = [true, false].compactMap { isSeen -> Panel? in
            let shown = names.indices.filter { method in
                outcomes.contains { $0.isSeen == isSeen && $0.method == method }
            }
            guard !shown.isEmpty else { return nil }
            let found = shown.compactMap { method in
                Bootstrap.interval(
                    hit(outcomes.filter { $0.isSeen == isSeen && $0.method == method }, 1), seed: session.seed)
            }
            var panel = Panel(
                title: isSeen ? "seen tasks" : "unseen tasks", x: Axis(categories: shown.map { names[$0] }),
                y: Axis("Acc@1"))
            panel.layers.append(.bars(Bars(values: found.map(\.mean), error: found.map { ($0.high - $0.low) / 2 })))
            return panel
        }
        return Figure(panels, columns: 1, panelWidth: 900, panelHeight: 320)
    }
}
