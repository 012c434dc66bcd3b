import ArgumentParser
import ZooBase
import ZooCatalog
import ZooLandscape
import ZooNN

/// The options by which a command measures what a phase diagram lacks.
package struct SurveyOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Training data: measures what the catalog lacks of loss, Hessian and connectivity.",
            valueName: "path[:split]"))
    package var data: String?

    @Option(
        help: ArgumentHelp(
            "Test data: measures what the catalog lacks of accuracy, CKA and disagreement.", valueName: "path[:split]"))
    package var test: String?

    @Option(help: ArgumentHelp("The tensor or column of the training labels.", valueName: "name"))
    package var labels: String?

    @Option(help: ArgumentHelp("A preparation of the data set's manifest.", valueName: "name"))
    package var preparation: String?

    @Option(
        help: ArgumentHelp(
            "Use this many training samples, chosen by --seed and stratified by class.", valueName: "number"))
    package var subset: Int?

    @Option(help: ArgumentHelp("An architecture file, or the name of a known architecture.", valueName: "name"))
    package var architecture: String?

    @Option(help: ArgumentHelp("A number that the weights do not show: activation=tanh.", valueName: "key=value"))
    package var set: [String] = []

    /// Nothing given.
    package init() {}

    /// Refuses values out of range, and options that need data.
    package func validate() throws {
        if let subset, subset < 1 { throw ValidationError("--subset takes a number from 1 on, not \(subset).") }
        if data == nil, test == nil, labels != nil || preparation != nil || subset != nil {
            throw ValidationError("--labels, --preparation and --subset go with --data.")
        }
    }
}

/// Measures what the phases of a grid are told from, through the code of `zoo landscape` and `zoo eval`: what the
/// catalog has from the same samples and settings is not computed again.
struct PhaseSurvey {
    private let grid: ZooGrid
    private let options: SurveyOptions
    private let phases: PhaseOptions
    private let session: Session

    init(_ grid: ZooGrid, _ options: SurveyOptions, _ phases: PhaseOptions, _ session: Session) {
        self.grid = grid
        self.options = options
        self.phases = phases
        self.session = session
    }

    /// Pairs of networks of one cell, as places in `ZooGrid.checkpoints`.
    private var pairs: [(first: Int, second: Int)] {
        var start = 0
        var found: [(first: Int, second: Int)] = []
        for cell in grid.cells.flatMap({ $0 }) {
            for i in 0..<cell.count {
                for j in (i + 1)..<max(i + 1, cell.count) { found.append((start + i, start + j)) }
            }
            start += cell.count
        }
        return found
    }

    /// Measures; does nothing without data.
    ///
    /// - Returns: the checkpoints that failed.
    /// - Throws: `interrupted`; one error when all checkpoints fail for the same reason.
    func run() throws -> [PartialFailure.Item] {
        var failures: [PartialFailure.Item] = []
        if let data = options.data { failures += try measureTraining(data) }
        if let test = options.test { failures += try measureTest(test) }
        // One checkpoint may fail in several of them.
        var seen: Set<String> = []
        return failures.filter { seen.insert($0.name).inserted }
    }

    private func samples(_ text: String, _ split: String, isTraining: Bool) throws -> (name: String, samples: Samples) {
        let source = try DataSource(
            text, labels: isTraining ? options.labels : nil, preparation: options.preparation,
            subset: isTraining ? options.subset : nil, seed: session.seed, defaultSplit: split)
        guard source.splits.count == 1 else {
            throw ZooError(.usage, "\(text) names \(source.splits.count) splits; a phase diagram takes one")
        }
        if let text = source.description(of: source.splits[0]) { session.detail(text) }
        return (source.splits[0], try source.samples(source.splits[0]))
    }

    private func work(
        _ data: String, _ samples: Samples, singles: [LandscapeMetric], pairs: [PairMetric], curve: ConnectionSettings?
    ) throws -> LandscapeWork {
        var options = LandscapeOptions()
        options.seed = session.seed
        var settings: [String: String] = [:]
        for name in singles.map(\.name) + pairs.map(\.rawValue) { settings[name] = options.settings(for: name) }
        if let curve { settings[ConnectionMetric.curve.rawValue] = curve.settings(for: .curve) }
        var work: LandscapeWork
        do {
            work = try LandscapeWork(
                grid.checkpoints, on: .samples(samples), options: options, settings: settings, named: data,
                architectures: ArchitectureLibrary(
                    session, explicit: self.options.architecture, settings: self.options.set), session: session)
        } catch let error as ZooError where error.code == .mismatch { throw misfit(error, data) }
        if let first = work.failures.first, work.failures.count == grid.checkpoints.count {
            throw misfit(first.error, data)
        }
        work.givenPairs = self.pairs
        try work.measure(singles)
        if !pairs.isEmpty { try work.compare(pairs, choice: .seeds) }
        if let curve { try work.connect([.curve], choice: .seeds, settings: curve) }
        try work.finish()
        return work
    }

    private func measureTraining(_ data: String) throws -> [PartialFailure.Item] {
        let samples = try samples(data, "train", isTraining: true).samples
        var curve = CurveOptions()
        curve.seed = session.seed
        let names = ["loss", "accuracy", "hessian_top", "hessian_trace"]
        return try work(
            data, samples, singles: names.map { try LandscapeMetric.named($0) }, pairs: [.ckaMixup, .distance],
            curve: ConnectionSettings(curve: curve, points: 25, training: .samples(samples), seed: session.seed)
        ).failures
    }

    private func measureTest(_ data: String) throws -> [PartialFailure.Item] {
        let (split, samples) = try samples(data, "test", isTraining: false)
        let work = try work(
            data, samples, singles: [], pairs: [.cka, .disagreement, .ensembleGain], curve: nil)
        return try work.failures + evaluate(split, samples, data)
    }

    /// Nothing fits: the data are others than the networks were trained on.
    private func misfit(_ error: ZooError, _ data: String) -> ZooError {
        ZooError(
            error.code, "zoo '\(grid.zoo)' on \(data): \(error.message)",
            hint: "--data and --test take the data that the zoo was trained on; 'zoo data FILE' shows what a file holds"
        )
    }

    // MARK: Loss and accuracy on test data

    private func evaluate(_ split: String, _ samples: Samples, _ data: String) throws -> [PartialFailure.Item] {
        let settings = "eval samples=\(samples.fingerprint)"
        let catalog = try Catalog(session.catalogPath)
        let ids = grid.checkpoints.compactMap { $0.row?.id }
        let known = Set(
            try catalog.metrics(of: ids, settings: settings).filter {
                $0.name == EvaluationRun.metricPrefix(split) + "_accuracy"
            }
            .map(\.checkpoint))
        let open = grid.checkpoints.filter { checkpoint in checkpoint.row.map { !known.contains($0.id) } ?? false }
        var run = EvaluationRun(open, batch: Evaluator.defaultBatch, session: session)
        if !open.isEmpty {
            let library = try ArchitectureLibrary(session, explicit: options.architecture, settings: options.set)
            let progress = session.progress("eval", total: open.count, unit: .items("checkpoints"))
            try run.evaluate(split, samples, library) { progress.advance(by: $0) }
            progress.finish()
            try run.record(data: data, settings: settings)
        }
        try compareWithResults(split, catalog)
        return run.failures
    }

    /// Losses that differ from those in the zoo's own results mean other data, or other preparation.
    private func compareWithResults(_ split: String, _ catalog: Catalog) throws {
        let rows = grid.checkpoints.compactMap(\.row)
        let found = try catalog.metrics(named: EvaluationRun.metricPrefix(split) + "_loss", of: rows.map(\.id))
        var compared = 0, different = 0
        for row in rows {
            guard let recorded = split == "val" ? row.results.valLoss : row.results.testLoss, recorded.isFinite,
                let measured = found[row.id]?.value, measured.isFinite
            else { continue }
            compared += 1
            if abs(measured - recorded) > 1e-3 * max(1e-2, abs(recorded)) { different += 1 }
        }
        if different > 0 {
            session.warn(
                "recorded and recomputed \(split) losses disagree for \(different) of \(compared) networks: "
                    + "are data and preparation those of the zoo?")
        }
    }
}
