import ZooBase
import ZooCatalog
import ZooLandscape

/// The phases of a zoo: its grid, what was measured in it, and what follows.
struct ZooPhases {
    let grid: ZooGrid
    let metrics: CellMetrics
    let sources: PhaseSources
    let diagram: PhaseDiagram
    /// Share of resamples that keep a cell's phase; nil where it has none.
    let confidence: [Double?]
    /// Where the number of classes comes from: `user`, `network`.
    let classOrigin: String
    /// Whether the tolerance on connectivity is the rule's.
    let toleranceOrigin: PhaseThreshold.Origin
    /// Labels that smoothing has changed; nil without smoothing.
    private(set) var smoothedChanges: Int?
    /// What the reader must know.
    private(set) var remarks: [String]

    /// Columns of the grid.
    var columnCount: Int { grid.columns.count }
    /// The phase of each cell, row by row.
    var phases: [Phase] { diagram.phases }
    /// The metrics of each cell, row by row.
    var cells: [[String: CellStatistics]] { metrics.cells.flatMap { $0 } }
    /// The accuracy of each cell, row by row.
    var accuracies: [Double?] { values(sources.accuracy) }

    /// A metric's mean in each cell, row by row.
    func values(_ name: String) -> [Double?] { cells.map { $0[name]?.value } }

    /// Reads the catalog and decides.
    ///
    /// - Throws: `notFound` naming the metrics that are missing and the command that measures them; `mismatch` when
    ///   cells were measured on different samples.
    init(_ grid: ZooGrid, _ options: PhaseOptions, _ session: Session) throws {
        self.grid = grid
        metrics = try CellMetrics(grid, session)
        var sources = PhaseSources()
        sources.sharpness = options.sharpness
        sources.connectivity = options.connectivity
        sources.similarity =
            options.similarity ?? (metrics.has("cka") && !metrics.has("cka_mixup") ? "cka" : "cka_mixup")
        sources.accuracy =
            options.accuracy ?? (metrics.has("eval_test_accuracy") ? "eval_test_accuracy" : "result_test_accuracy")
        self.sources = sources
        remarks = grid.remarks
        try Self.check(metrics, sources, grid, &remarks)
        let found = try Self.classCount(options, grid, session)
        classOrigin = found.origin
        toleranceOrigin = options.connected == PhaseRules().connectivityTolerance ? .fixed : .user
        let rules = options.rules(classes: found.count)
        let measured = Self.measured(grid, metrics, sources)
        let cells = measured.map { $0.map(\.mean) }
        diagram = PhaseDiagram(cells, rules: rules)
        confidence =
            options.resamples > 0
            ? PhaseConfidence(measured, rules: rules, resamples: options.resamples, seed: session.seed).shares
            : diagram.phases.map { _ in nil }
        if options.smooth {
            var plain = rules
            plain.isSmoothed = false
            let before = PhaseDiagram(cells, rules: plain).phases
            smoothedChanges = zip(before, diagram.phases).count { $0 != $1 }
        }
        remarks += diagram.remarks
    }

    private static func check(
        _ metrics: CellMetrics, _ sources: PhaseSources, _ grid: ZooGrid, _ remarks: inout [String]
    ) throws {
        let command = "zoo phases \(grid.zoo) --data DATA:train --test DATA:test"
        let missing = sources.required.filter { !metrics.has($0) }
        guard missing.isEmpty else {
            throw ZooError(
                .notFound, "zoo '\(grid.zoo)' has no values of \(missing.joined(separator: ", "))",
                hint: "'\(command)' measures what is missing")
        }
        try metrics.checkData(of: sources.required + [sources.similarity], zoo: grid.zoo)
        try metrics.checkTogether(sources.required, zoo: grid.zoo)
        for name in sources.required {
            let lacking = zip(grid.cells, metrics.cells).flatMap { zip($0, $1) }
                .filter { $0.count > 1 && $1[name]?.value == nil }
            guard !lacking.isEmpty else { continue }
            // Where it was tried, trying again does not help.
            let reasons = Set(lacking.map { $0.1[name]?.reason ?? "" })
            remarks.append(
                "\(lacking.count == 1 ? "1 cell has" : "\(lacking.count) cells have") no \(name) and no phase"
                    + (reasons.contains("")
                        ? "; '\(command)' measures what was not tried"
                        : ": " + reasons.sorted().prefix(2).joined(separator: "; ")))
        }
        if !metrics.has(sources.similarity) {
            remarks.append(
                "phase IV is not divided: there are no values of \(sources.similarity); '\(command)' measures them")
        }
        // A split of a file that holds several data sets is called DATA.test.
        for name in metrics.datasets(of: sources.sharpness) where name.hasSuffix(":test") || name.hasSuffix(".test") {
            remarks.append("\(sources.sharpness) was measured on \(name); phases are told by training samples")
        }
    }

    /// Classes of the task: asked for, else the outputs of the first network.
    private static func classCount(
        _ options: PhaseOptions, _ grid: ZooGrid, _ session: Session
    ) throws -> (count: Int, origin: String) {
        if let classes = options.classes { return (classes, "user") }
        let layout = try grid.checkpoints.first?.row?.layoutID.map { try Catalog(session.catalogPath).layout($0) }
        // The last layer's bias or weight, in the order of the state dict.
        let last = layout?.entries.map(\.info).last { $0.dtype.isFloatingPoint && (1...2).contains($0.shape.rank) }
        guard let classes = last?.shape.dimensions.first, classes > 1 else {
            throw ZooError(
                .usage, "zoo '\(grid.zoo)': the weights do not tell how many classes there are",
                hint: "say --classes NUMBER")
        }
        return (classes, "network")
    }

    private static func measured(
        _ grid: ZooGrid, _ metrics: CellMetrics, _ sources: PhaseSources
    ) -> [[MeasuredCell]] {
        grid.cells.map { line in
            line.map { cell in
                let ids = cell.compactMap { $0.row?.id }
                let networks = ids.map { id in
                    MeasuredCell.Network(
                        trainLoss: metrics.single[id]?[sources.loss], sharpness: metrics.single[id]?[sources.sharpness])
                }
                let pairs = ids.indices.flatMap { i in
                    ((i + 1)..<max(i + 1, ids.count)).map { j in
                        MeasuredCell.Pair(
                            i, j, connectivity: metrics.pair(sources.connectivity, ids[i], ids[j]),
                            similarity: metrics.pair(sources.similarity, ids[i], ids[j]))
                    }
                }
                return MeasuredCell(networks: networks, pairs: pairs)
            }
        }
    }
}
