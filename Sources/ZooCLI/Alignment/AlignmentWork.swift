import ZooBase
import ZooCatalog
import ZooFormats
import ZooMerge
import ZooNN
import ZooTensor

/// The steps of `zoo align`.
struct AlignmentWork {
    private let command: Align
    private let session: Session
    private let pair: OneArchitecture
    private let samples: (name: String, samples: Samples)?
    private let recipe: BatchNormRecipe?
    private let spaces: [PermutationSpaces.Space]

    init(_ command: Align, _ session: Session) throws {
        self.command = command
        self.session = session
        let resolver = SelectorResolver(catalogPath: session.catalogPath)
        let found = try resolver.resolve([command.a]) + resolver.resolve([command.b])
        guard found.count == 2 else {
            throw ZooError(.usage, "alignment takes two checkpoints, \(found.count) are selected")
        }
        samples = try command.data.map { text in
            let data = try DataSource(text, labels: command.labels, seed: session.seed)
            guard data.splits.count == 1 else {
                throw ZooError(.usage, "--data names \(data.splits.count) splits; a barrier takes one")
            }
            return (data.splits[0], try data.samples(data.splits[0]))
        }
        let bnData = command.bn == .average ? nil : command.bnData ?? command.data
        let prepared = try bnData.map {
            try BatchNormRecipe(data: $0, labels: command.bnData == nil ? command.labels : nil, batch: command.bnBatch)
        }
        let shape = samples?.samples.inputShape ?? prepared?.samples.inputShape ?? []
        pair = try OneArchitecture(
            found, inputShape: shape, architecture: command.architecture, settings: command.set, session: session)
        let hasStatistics = BatchNormStatistics.applies(to: pair.graph)
        if !hasStatistics, command.bn == .recompute || command.bnBatch != nil {
            throw ZooError(.usage, "architecture '\(pair.graph.name)' has no batch norm to recompute")
        }
        if hasStatistics, command.bn == .recompute, prepared == nil {
            throw ZooError(.usage, "--bn recompute needs data", hint: "name it with --bn-data FILE:SPLIT")
        }
        recipe = prepared
        do {
            spaces = PermutationSpaces(pair.graph, shapes: try GraphShapes(pair.graph, tensors: pair.tensors)).spaces
        } catch let error as ZooError where shape.isEmpty && error.code == .mismatch {
            throw ZooError(
                .mismatch, error.message, hint: "without --data, say what the network reads: --set 'input=[C,H,W]'")
        }
        guard !spaces.isEmpty else {
            throw ZooError(
                .unsupported, "architecture '\(pair.graph.name)' has no units that can change places",
                hint: "'zoo average' combines networks as they are")
        }
    }

    func run() throws -> AlignmentReport {
        try pair.requireFinite()
        let a = try pair.checkpoints[0].open().stateDict(), b = try pair.checkpoints[1].open().stateDict()
        var options = WeightMatching.Options()
        options.seed = session.seed
        options.restarts = command.restarts
        options.jobs = session.jobs
        let matching = try WeightMatching(spaces, a: a, b: b, options: options)
        let aligned = try Self.stateDict(matching.permutations.apply(to: b), jobs: session.jobs)
        let check = try OutputEquality(
            pair.graph, b, aligned, samples: samples?.samples, seed: session.seed, jobs: session.jobs)
        guard check.holds else {
            throw ZooError(
                .internal,
                "the permuted network computes something else: relative difference \(check.relativeDifference)",
                hint: "nothing was written; please report the architecture")
        }
        let trained = pair.graph.trainableNames.filter { name in a[name] != nil }
        var report = AlignmentReport(
            a: pair.checkpoints[0].label, b: pair.checkpoints[1].label, matching: matching, check: check,
            cosineBefore: try WeightCosine.between(a, b, over: trained),
            cosineAfter: try WeightCosine.between(a, aligned, over: trained))
        try measure(a, b, aligned, &report)
        if let path = command.to { try write(aligned, path, "aligned", [nil, 1], &report) }
        if let path = command.mergeTo { try write(merged(a, aligned), path, "aligned mean", [0.5, 0.5], &report) }
        if let path = command.figure { try report.draw(to: path) }
        return report
    }

    /// All tensors of a source, made by several threads.
    private static func stateDict(_ source: any TensorSource, jobs: Int) throws -> StateDict {
        let names = source.tensorInfos.map(\.name)
        let tensors = try Parallel.map(count: names.count, jobs: jobs) { try source.tensor(named: names[$0]) }
        var state = StateDict()
        for (name, tensor) in zip(names, tensors) { state[name] = tensor }
        return state
    }

    private func statistics() throws -> BatchNormStatistics? {
        guard let recipe, BatchNormStatistics.applies(to: pair.graph) else { return nil }
        return try recipe.statistics(pair.graph, pair.tensors)
    }

    private func measure(_ a: StateDict, _ b: StateDict, _ aligned: StateDict, _ report: inout AlignmentReport) throws {
        guard let samples else { return }
        let statistics = try statistics()
        func path(_ end: StateDict) throws -> LinearPath {
            try LinearPath(
                pair.graph, a, end, at: LinearPath.grid(command.points), samples: samples.samples,
                statistics: statistics, jobs: session.jobs)
        }
        report.split = samples.name
        report.recomputed = statistics != nil
        report.before = try path(b)
        report.after = try path(aligned)
        let evaluator = try Evaluator(pair.graph, tensors: pair.tensors, samples: samples.samples)
        let mean = try merged(a, aligned)
        report.merged = try evaluator.evaluate(count: 1, jobs: 1) { _ in mean }[0].get()
    }

    /// The mean of both, with statistics recomputed or corrected.
    private func merged(_ a: StateDict, _ aligned: StateDict) throws -> StateDict {
        let mean = try LinearPath.point(a, aligned, t: 0.5).stateDict()
        if let statistics = try statistics() { return try statistics.recalibrated(mean) }
        guard command.repair, let recipe else { return mean }
        return try Repair(pair.graph, tensors: pair.tensors, samples: recipe.samples)
            .corrected(mean, between: a, and: aligned)
    }

    private func write(
        _ state: StateDict, _ path: String, _ role: String, _ coefficients: [Double?], _ report: inout AlignmentReport
    ) throws {
        try CheckpointWriters.write(
            state, to: path, metadata: ["format": "pt", "zoo_method": role], jobs: session.jobs)
        try DerivedModel(
            path: path, role: role,
            parents: zip(pair.checkpoints, coefficients).map { .init(checkpoint: $0, coefficient: $1) }
        ).record(session, dataset: command.bnData ?? command.data)
        report.outputs.append(path)
    }
}
