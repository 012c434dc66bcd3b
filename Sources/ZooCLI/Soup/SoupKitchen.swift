import ZooBase
import ZooCatalog
import ZooFormats
import ZooMerge
import ZooNN
import ZooTensor

/// Checkpoints, their architecture and the held-out samples: all that soups are made from.
struct SoupKitchen {
    /// The checkpoints, in the order of the selectors.
    let checkpoints: [SelectedCheckpoint]
    /// The held-out samples.
    let heldOut: Samples
    /// The held-out split.
    let split: String
    private let data: DataSource
    private let command: SoupCommand
    private let session: Session
    private let graph: ArchitectureGraph
    private let tensors: [TensorInfo]
    private let evaluator: Evaluator
    private let isLoss: Bool
    /// Recomputes batch-norm statistics of soups; nil averages them.
    private let statistics: BatchNormStatistics?

    init(_ command: SoupCommand, _ session: Session) throws {
        self.command = command
        self.session = session
        isLoss = command.metric == .loss
        data = try command.data.open(session, defaultSplit: "val")
        guard data.splits.count == 1 else {
            throw ZooError(.usage, "--data names \(data.splits.count) splits; a soup is scored on one")
        }
        split = data.splits[0]
        heldOut = try data.samples(split)
        let architectures = try ArchitectureLibrary(
            session, explicit: command.architecture, settings: command.set)
        checkpoints = try SelectorResolver(catalogPath: session.catalogPath).resolve(command.selectors)
        guard let first = checkpoints.first else {
            throw ZooError(.notFound, "no checkpoint is selected", hint: "'zoo query' shows what there is")
        }
        tensors = try architectures.tensors(of: first)
        try Self.checkFit(checkpoints, tensors, architectures)
        let (chosen, owner) = try architectures.shared(
            by: checkpoints, tensors: tensors, inputShape: heldOut.inputShape)
        graph = chosen.graph
        session.detail("\(owner.label): architecture '\(graph.name)' \(chosen.reason)")
        evaluator = try Evaluator(graph, tensors: tensors, samples: heldOut)
        let recipe = try command.bnData.map { try BatchNormRecipe(data: $0, labels: nil, batch: command.bnBatch) }
        statistics = try recipe?.statistics(chosen.graph, tensors)
        if statistics == nil, BatchNormStatistics.applies(to: graph) {
            session.warn("the network has batch norm and its statistics are averaged; --bn recompute recomputes them")
        }
    }

    /// All checkpoints must have the tensors of the first: reported together, before any is read.
    private static func checkFit(
        _ checkpoints: [SelectedCheckpoint], _ tensors: [TensorInfo], _ architectures: ArchitectureLibrary
    ) throws {
        let expected = Dictionary(tensors.map { ($0.name, $0.shape) }, uniquingKeysWith: { first, _ in first })
        let misfits = try checkpoints.filter { checkpoint in
            let found = try architectures.tensors(of: checkpoint)
            return found.count != expected.count || found.contains { expected[$0.name] != $0.shape }
        }
        guard misfits.isEmpty else {
            let names = misfits.prefix(5).map(\.label).joined(separator: ", ") + (misfits.count > 5 ? ", …" : "")
            throw ZooError(
                .mismatch,
                "\(misfits.count) of \(checkpoints.count) checkpoints have other tensors than \(checkpoints[0].label): "
                    + names,
                hint: "a soup takes checkpoints of one architecture; 'zoo diff A B' shows how two differ")
        }
    }

    /// Every checkpoint's result on the held-out samples.
    func scoresAlone() throws -> [Evaluation] {
        let progress = session.progress("score", total: checkpoints.count, unit: .items("checkpoints"))
        defer { progress.finish() }
        let checkpoints = checkpoints
        let found = try evaluator.evaluate(count: checkpoints.count, jobs: session.jobs) { index in
            defer { progress.advance(by: 1) }
            return try checkpoints[index].open()
        }
        return try zip(checkpoints, found).map { checkpoint, result in
            try ZooError.locate(checkpoint.label) { try result.get() }
        }
    }

    /// What is compared: more is better; NaN for a model whose loss is not finite.
    func score(_ evaluation: Evaluation) -> Double {
        guard evaluation.loss.isFinite else { return .nan }
        return isLoss ? -evaluation.loss : evaluation.accuracy
    }

    /// A greedy soup.
    func greedy(
        _ alone: [Evaluation], tieOrder: GreedySoup.TieOrder, acceptance: GreedySoup.Acceptance
    ) throws -> SoupRecipe {
        var options = GreedySoup.Options()
        options.tieOrder = tieOrder
        options.acceptance = acceptance
        options.lookahead = session.jobs
        let progress = session.progress("soup", total: nil, unit: .items("candidates"))
        defer { progress.finish() }
        let soup = try GreedySoup(
            scores: alone.map(score), options: options,
            open: { try checkpoints[$0].open() },
            evaluate: { candidates in
                progress.advance(by: candidates.count)
                let statistics = statistics
                return try evaluator.evaluate(count: candidates.count, jobs: session.jobs) { place in
                    try statistics.map { try $0.recalibrated(candidates[place]) } ?? candidates[place]
                }
                .map { score(try $0.get()) }
            })
        return SoupRecipe(
            ingredients: soup.ingredients, weights: AverageWeights.uniform(count: soup.ingredients.count),
            steps: soup.steps)
    }

    /// A soup with learned weights.
    func learned(_ options: LearnedSoup.Options) throws -> SoupRecipe {
        let progress = session.progress(
            "learn", total: LearnedSoup.stepCount(heldOut, options), unit: .items("steps"))
        defer { progress.finish() }
        let models = try checkpoints.map { try $0.open() }
        let soup = try LearnedSoup(graph, models: models, samples: heldOut, options: options) {
            progress.advance(by: $0)
        }
        return SoupRecipe(
            ingredients: Array(checkpoints.indices), weights: soup.meanWeights, tensorWeights: soup.weights,
            losses: soup.losses)
    }

    /// Writes the soup in one streamed pass over its ingredients; with recomputed statistics it is in memory once.
    func write(_ recipe: SoupRecipe, to path: String, dtype: DType?, kind: SoupCommand.Kind) throws {
        var options = LinearCombination.Options()
        options.dtype = dtype
        options.tensorWeights = recipe.tensorWeights
        let chosen = recipe.ingredients.map { checkpoints[$0] }
        let combination = try LinearCombination(
            try chosen.map { try $0.open() }, names: chosen.map(\.label), weights: recipe.weights, options: options)
        for name in try combination.differingBuffers() {
            session.warn("integer tensor '\(name)' differs between the ingredients; the first one's is taken")
        }
        let soup: any TensorSource = try statistics.map { try $0.recalibrated(combination) } ?? combination
        try CheckpointWriters.write(
            soup, to: path, metadata: ["format": "pt", "zoo_method": "\(kind.rawValue) soup"],
            jobs: session.jobs)
    }

    /// The samples of the test split, asked for or found beside the held-out one.
    func testSamples() throws -> Samples? {
        if command.test == "none" { return nil }
        let sibling = split.hasSuffix("val") ? String(split.dropLast(3)) + "test" : nil
        guard let name = command.test ?? sibling, name != split else { return nil }
        guard command.test != nil || data.dataset.splits.contains(where: { $0.name == name }) else {
            session.note("the data has no split '\(name)': the soup is not scored on test data")
            return nil
        }
        return try data.samples(name)
    }

    /// Result of a file that was written.
    func evaluate(file: String, on samples: Samples) throws -> Evaluation {
        let source = try CheckpointFile.open(file).source
        let own = try Evaluator(graph, tensors: source.tensorInfos, samples: samples)
        return try own.evaluate(count: 1, jobs: 1) { _ in source }[0].get()
    }
}
