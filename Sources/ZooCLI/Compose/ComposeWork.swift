import ZooBase
import ZooCatalog
import ZooMerge
import ZooNN
import ZooReport
import ZooTensor

/// The steps of `zoo compose learn`.
struct ComposeWork {
    let command: ComposeLearn
    let session: Session
    let set: TaskSet
    let graph: ArchitectureGraph
    let groups: CoefficientGroups
    /// The columns of the table: tasks; the target; target and control.
    let data: [TaskData]
    let heads: [[String: Tensor]]
    let state: ComposeState
    let log: ComposeLog

    init(_ command: ComposeLearn, _ session: Session) throws {
        self.command = command
        self.session = session
        set = try TaskSet(
            base: command.base, tasks: command.tasks, excluded: command.exclude, ownTensors: command.ownHeads,
            options: command.fitting, session: session)
        data = try Self.openData(command, set, session)
        let network = try TaskNetwork(set, command.network, inputShape: data[0].learning.inputShape, session)
        graph = network.graph
        let ties = try Self.ties(command, set, session)
        groups = CoefficientGroups(
            graph, tensors: set.source.tensorInfos, granularity: command.groups,
            excluded: command.keep + command.ownHeads, ties: ties)
        if command.statistics == .recompute, !BatchNormStatistics.applies(to: graph) {
            throw ZooError(.usage, "architecture '\(graph.name)' has no batch norm to recompute")
        }
        guard !groups.names.isEmpty else {
            throw ZooError(
                .usage, "no tensor is left to learn coefficients for", hint: "--keep and --groups leave none")
        }
        if let budget = command.budget, budget > set.tasks.count {
            throw ZooError(.usage, "--budget \(budget): there are \(set.tasks.count) task vectors")
        }
        heads = try Self.heads(command, set)
        log = ComposeLog(session)
        state = try ComposeState(
            output: command.coefficients ?? command.to,
            settings: Self.settings(command, set, data, graph, groups, session), session: session)
    }

    private static func openData(_ command: ComposeLearn, _ set: TaskSet, _ session: Session) throws -> [TaskData] {
        switch command.kind {
        case .addition:
            return try TaskData.open(
                command.data, names: set.names, validation: command.validation, test: command.test, session: session)
        case .negation:
            let target = try TaskData.open(
                command.data, names: [set.names[0]], validation: command.validation, test: command.test,
                session: session)
            let control = try TaskData.open(
                [command.control ?? ""], names: ["control"], validation: [],
                test: command.test == "none" ? "none" : nil,
                option: "--control", session: session)
            return target + control
        case .fewshot:
            var validation = command.validation
            if validation.isEmpty, command.data.count == 1, command.data[0].hasSuffix("train") {
                validation = [String(command.data[0].dropLast("train".count)) + "val"]
            }
            guard !validation.isEmpty else {
                throw ZooError(
                    .usage, "fewshot selects by validation data, and none is named",
                    hint: "--validation FILE:SPLIT names it; beside a split 'train' a split 'val' is found")
            }
            return try TaskData.open(
                command.data, names: ["target"], validation: validation, test: command.test, session: session)
        case .adaptation:
            var target = try TaskData.open(
                command.data, names: ["target"], validation: command.validation, test: command.test ?? "none",
                labelled: false, session: session)
            if command.test == nil, !target[0].learning.labels.isEmpty {
                target[0].test = target[0].learning
                session.note("scored on the samples that it adapts to; learning does not look at their labels")
            }
            return target
        }
    }

    /// Pairs that share a coefficient.
    private static func ties(_ command: ComposeLearn, _ set: TaskSet, _ session: Session) throws -> [(String, String)] {
        guard command.tied != .apart else { return [] }
        let found = try CoefficientGroups.ties(set.source, operands: set.operands)
        guard let (a, b) = found.first else { return [] }
        // One coefficient for all keeps ties anyway.
        guard command.tied == .shared || command.groups == .model else {
            throw ZooError(
                .mismatch, "tensors '\(a)' and '\(b)' are tied: equal in the base and in every task",
                hint: "--tied shared gives them one coefficient, --tied apart lets them part")
        }
        return command.tied == .shared ? found : []
    }

    private static func heads(_ command: ComposeLearn, _ set: TaskSet) throws -> [[String: Tensor]] {
        guard !command.ownHeads.isEmpty else { return [] }
        return try set.tasks.map { task in
            guard let source = task.fineTuned else {
                throw ZooError(
                    .usage, "--own-heads: \(task.checkpoint.label) is no fine-tuned network and has no head of its own")
            }
            var own: [String: Tensor] = [:]
            for info in source.tensorInfos
            where command.ownHeads.contains(where: { NamePattern.matches($0, info.name) }) {
                own[info.name] = try source.tensor(named: info.name)
            }
            guard !own.isEmpty else {
                throw ZooError(.notFound, "--own-heads: no tensor of \(task.checkpoint.label) has such a name")
            }
            return own
        }
    }

    /// Everything that results follow from.
    private static func settings(
        _ command: ComposeLearn, _ set: TaskSet, _ data: [TaskData], _ graph: ArchitectureGraph,
        _ groups: CoefficientGroups, _ session: Session
    ) -> JSONObject {
        func text(_ value: some Any) -> JSONValue { .string(String(describing: value)) }
        let sets = data.flatMap { [$0.learning.fingerprint, $0.validation.fingerprint] }
        return JSONObject([
            ("base", .string(set.digest)), ("tasks", .array(set.tasks.map { .string($0.name + " " + $0.digest) })),
            ("data", .array(sets.map { .string($0) })), ("graph", text(graph.hashText)), ("groups", text(groups.names)),
            ("recipe", text((command.kind.rawValue, command.controlWeight))),
            ("objective", text(command.objective.rawValue)),
            ("shots", text(command.shots ?? "")), ("repeats", text(command.repeats)),
            ("partitions", text((command.partitions, command.sharedByShape))),
            ("heads", text((command.ownHeads, command.keep, command.statistics.rawValue))),
            ("budget", text((command.budget ?? 0, command.select.rawValue, command.taskData ?? ""))),
            ("rate", text((command.rate ?? 0, command.decay, command.clip, command.schedule?.rawValue ?? ""))),
            ("length", text((command.epochs ?? 0, command.steps ?? 0, command.evaluateEvery, command.batch))),
            ("regularise", text((command.regularise, command.norm))),
            ("views", text((command.weak, command.strong, command.ufmExponent, command.trusted))),
            ("seed", text(session.seed)),
        ])
    }

    // MARK: Parts of the work

    /// Tensors that follow and are not learned.
    var buffers: Set<String> { command.statistics != .follow ? [] : statistics }

    /// Running statistics of the graph.
    var statistics: Set<String> { Set(graph.tensorRoles.filter { $0.value == .buffer }.keys) }

    /// The parts of tensors; nil for one.
    var partition: PartitionHash? {
        command.partitions > 1
            ? PartitionHash(count: command.partitions, seed: session.seed, isSharedByShape: command.sharedByShape) : nil
    }

    /// What a run minimises.
    var loss: SampleLoss {
        switch command.objective {
        case .supervised: .crossEntropy
        case .entropy: .entropy
        case .ufm: .targets
        }
    }

    /// A problem over all vectors, or chosen ones.
    func problem(
        groups: CoefficientGroups? = nil, partition: PartitionHash? = nil, losses: [SampleLoss]? = nil,
        streamed: Bool? = nil, selection: [Set<Int>]? = nil
    ) throws -> CompositionProblem<Float> {
        try CompositionProblem(
            graph, base: set.source, operands: set.operands, groups: groups ?? self.groups,
            losses: losses ?? [loss], batch: max(command.batch, 16), heads: heads, partition: partition,
            storage: streamed ?? command.lowMemory ? .streamed : .memory, selection: selection, jobs: session.jobs,
            followsStatistics: command.statistics == .follow)
    }

    /// Learning's options from the recipe and the command line.
    func options(epochs: Int, rate: Double, schedule: StepRule.Schedule, stepsPerEpoch: Int) -> CoefficientOptions {
        var options = CoefficientOptions()
        options.rate = command.rate ?? rate
        options.schedule = command.schedule ?? schedule
        options.weightDecay = command.decay
        options.clip = command.clip > 0 ? command.clip : nil
        options.regulariser = CoefficientRegulariser(weight: command.regularise, order: command.norm)
        if let steps = command.steps {
            options.stepsPerRound = min(command.evaluateEvery, steps)
            options.rounds = (steps + options.stepsPerRound - 1) / options.stepsPerRound
        } else {
            options.stepsPerRound = stepsPerEpoch
            options.rounds = command.epochs ?? epochs
        }
        return options
    }

    /// Learns, or goes on where an interrupted run stopped.
    func learn(
        _ label: String, _ problem: CompositionProblem<Float>, _ options: CoefficientOptions,
        gradient: (Int, [Double]) throws -> CoefficientLearner.Step,
        evaluate: ((Int, [Double]) throws -> RoundScore)?
    ) throws -> CoefficientState {
        let known = try state.state(of: label, count: problem.space.count)
        var learner = CoefficientLearner(
            count: problem.space.count, vectors: set.tasks.count, options: options, from: known)
        let progress = session.progress(label, total: options.rounds, unit: .items("epochs"))
        defer { progress.finish() }
        progress.advance(by: learner.state.round)
        let groups = problem.space.groups
        // The learner's own state is amid a round when it is stopped: going on from there would repeat steps.
        var finished = learner.state
        do {
            try learner.run(gradient: gradient, evaluate: evaluate) { current in
                finished = current
                try state.save(current, of: label)
                log.add(label, current, groups, parts: problem.space.parts)
                if current.round > 0 { progress.advance() }
            }
        } catch {
            try state.save(finished, of: label, now: true)
            throw error
        }
        try state.save(learner.state, of: label)
        return learner.state
    }

    /// The vectors that fit the budget, by what they promise on the learning data.
    func selection() throws -> [Set<Int>]? {
        guard let budget = command.budget else { return nil }
        let vectors = set.tasks.count, count = groups.names.count
        var gradient: [Double] = [], similarity: [Double] = []
        switch command.select {
        case .random: break
        case .features: similarity = try featureSimilarity()
        case .gradientWhole, .gradientBlockwise:
            let all = try problem(losses: [loss == .targets ? .entropy : loss], streamed: true)
            let zeros = [Double](repeating: 0, count: all.space.count)
            gradient = try all.meanGradient(
                zeros, data.enumerated().map { ($0, $1.learning) }, loss: loss == .targets ? .entropy : loss)
        }
        return command.select.choose(
            budget: budget, vectors: vectors, groups: count, gradient: gradient, similarity: similarity,
            seed: session.seed)
    }

    /// Cosines of mean features of the base on each task's data with those on the target's.
    private func featureSimilarity() throws -> [Double] {
        let sets = try TaskData.open(
            [command.taskData ?? ""], names: set.names, validation: [], test: "none", option: "--task-data",
            labelled: false, session: session)
        func mean(_ samples: Samples) throws -> [Double] {
            let sweep = try ModelSweep(graph, tensors: set.source.tensorInfos, samples: samples, loss: .entropy)
            let problem = try sweep.problem(set.source, jobs: session.jobs)
            let features = try problem.output("features", at: problem.initial)
            let size = features.elementCount / samples.count
            var sums = [Double](repeating: 0, count: size)
            for (place, value) in features.doubles().enumerated() { sums[place % size] += value }
            return sums
        }
        let target = try mean(data[0].learning)
        return try sets.map { task in
            let own = try mean(task.learning)
            let dot = zip(own, target).reduce(0) { $0 + $1.0 * $1.1 }
            let norms = [own, target].map { $0.reduce(0) { $0 + $1 * $1 }.squareRoot() }
            return norms[0] > 0 && norms[1] > 0 ? dot / (norms[0] * norms[1]) : 0
        }
    }

    // MARK: The whole

    func run() throws {
        let report =
            switch command.kind {
            case .addition: try addition()
            case .negation: try negation()
            case .fewshot: try fewShots()
            case .adaptation: try adaptation()
            }
        try finish(report)
    }

    private func finish(_ report: ComposeReport) throws {
        let means = ComposedOutput.means(report.values, vectors: set.tasks.count)
        if let path = command.coefficients {
            try AtomicFile.write(path, Array((JSONValue.object(file(report).json).text(indent: 1) + "\n").utf8))
            session.note("wrote \(path): \(Quantity.count(report.values.count)) coefficients")
        }
        if let figure = command.figure { try Picture.write(report.figure(set), to: figure) }
        if let to = command.to {
            let model = model(report.values, groups, partition)
            let isBase = report.values.allSatisfy { $0 == 0 }
            let made: any TensorSource =
                report.statisticsData.isEmpty || isBase ? model : try recomputed(model, on: report.statisticsData)
            try ComposedOutput.write(
                made, set, means: means, to: to, dataset: data.map(\.text).joined(separator: ", "), session)
        }
        state.remove()
        try session.emit(report.json(set, output: command.to, log: log), as: report.table)
        report.say(session)
    }

    private func file(_ report: ComposeReport) -> CoefficientFile {
        var file = CoefficientFile(
            base: set.digest, vectors: set.tasks.map { .init(name: $0.name, digest: $0.digest) },
            granularity: command.groups, blocks: groups.names, values: report.values)
        file.partitions = command.partitions
        file.seed = session.seed
        file.isSharedByShape = command.sharedByShape
        file.ties = command.tied
        file.excluded = command.keep + command.ownHeads
        file.keepsStatistics = command.statistics != .follow
        file.recomputesStatistics = command.statistics == .recompute
        file.inputShape = data[0].learning.inputShape
        file.selection = report.selection
        file.history = report.history
        return file
    }
}

extension ArchitectureGraph {
    /// The graph as text, to tell graphs apart.
    fileprivate var hashText: String {
        nodes.map { "\($0.name) \($0.op.rawValue) \($0.inputs) \(JSONValue.object($0.attributes).text())" }
            .joined(separator: "\n")
    }
}
