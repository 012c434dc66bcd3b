import ZooAutodiff
import ZooBase
import ZooTensor

/// One task to train on: groups of query samples as class means, and the models that serve it.
public struct TrainingTask: Sendable {
    /// The task's name.
    public var name: String
    /// Class means `[C, d]` of query groups.
    public var groups: [Matrix]
    /// Places of its models among the knowledge.
    public var models: [Int]
    /// What kind of inputs it has; classes of one domain may be composed to new tasks.
    public var domain = ""
    /// The data's class of each row of a group; empty when not known.
    public var labels: [Int] = []
    /// For each model the output that stands for each of `labels`; empty when not known.
    public var outputs: [[Int]] = []
    /// How well each model of the knowledge serves the task, an accuracy; empty unless the loss reads it.
    public var grades: [Double] = []

    /// A task.
    public init(name: String, groups: [Matrix], models: [Int]) {
        self.name = name
        self.groups = groups
        self.models = models
    }

    /// Whether it is known which output of each model is which class.
    var isComposable: Bool {
        !labels.isEmpty && !models.isEmpty && outputs.count == models.count
            && outputs.allSatisfy { $0.count == labels.count } && groups.allSatisfy { $0.rows == labels.count }
    }

    /// The grades moved to 0…1 over all models.
    var scaledGrades: [Double] {
        guard let low = grades.min(), let high = grades.max(), high > low else { return grades.map { _ in 1 } }
        return grades.map { ($0 - low) / (high - low) }
    }
}

/// How encoders are trained.
public struct TrainingSettings: Sendable, Hashable {
    /// The loss.
    public var loss = RetrievalLoss.ranking
    /// The margin of the ranking loss.
    public var margin = 0.2
    /// Weight of the classification of tasks: zero for catalogues that grow, one as published.
    public var lambda = 0.0
    /// Whether half of each batch are tasks composed of other tasks' classes, where outputs are known.
    public var composesTasks = true
    /// Steps of Adam.
    public var steps = 1500
    /// The rate.
    public var rate = 1e-3
    /// Tasks per batch, at most.
    public var batch = 40
    /// Steps between two looks at held-out groups.
    public var patience = 100
    /// The share of each task's groups that are held out.
    public var heldOut = 0.2
    /// The seed.
    public var seed: UInt64 = 0

    /// The defaults.
    public init() {}
}

/// What training found.
public struct TrainedEncoder: Sendable {
    /// The encoders at the best look.
    public var encoder: KnowledgeEncoder
    /// Mean reciprocal rank of held-out groups among the training models at that look.
    public var validationMRR: Double
    /// The same of composed tasks among composed models; nil when none are made.
    public var composedMRR: Double?
    /// Mean weighted tau between grades and similarities of held-out groups; nil without grades.
    public var validationTau: Double?
    /// The step of that look.
    public var bestStep: Int
    /// Five percent of held-out groups, those of composed tasks included, are less similar than this to the best model of
    /// their task.
    public var positiveFloor: Double

    /// What looks are compared by.
    var score: Double { validationTau ?? validationMRR + (composedMRR ?? 0) }
}

/// Trains both encoders so that a query lies nearest to models of its task.
public struct EncoderTraining {
    private let shape: EncoderShape
    private let settings: TrainingSettings
    private let tasks: [TrainingTask]
    private let knowledge: [Knowledge]
    private let composer: TaskComposer?
    /// Composed tasks of held-out groups.
    private let composedChecks: [TaskComposer.Item]
    private let initial: LearnedParameters
    private let encoderCount: Int
    /// Tasks of a batch: trained ones, then composed ones.
    private let batch: (real: Int, composed: Int)
    /// Models of a batch: one of each task, but far more of all for losses that compare models by their grades.
    private let modelCount: Int

    /// Composed tasks that a look compares.
    private static let checkCount = 100

    /// Checks the data.
    ///
    /// - Throws: `mismatch` for fewer than two tasks with models and two groups, features of another map, or grades that
    ///   the loss reads and that are not there.
    public init(
        _ shape: EncoderShape, tasks: [TrainingTask], knowledge: [Knowledge], settings: TrainingSettings
    ) throws {
        let usable = tasks.filter { !$0.models.isEmpty && $0.groups.count >= 2 }
        guard usable.count >= 2 else {
            throw ZooError(
                .mismatch, "\(usable.count) tasks with models and query samples; training compares at least 2",
                hint: "name more models, or tasks in a manifest (docs/retrieval.md)")
        }
        guard knowledge.allSatisfy({ $0.dimension == shape.dimension }),
            usable.allSatisfy({ $0.groups.allSatisfy { $0.columns == shape.dimension } })
        else { throw ZooError(.mismatch, "models and queries have features of different maps") }
        guard !settings.loss.readsGrades || usable.allSatisfy({ $0.grades.count == knowledge.count }) else {
            throw ZooError(.mismatch, "the loss '\(settings.loss.rawValue)' reads a grade of every model on every task")
        }
        self.shape = shape
        self.settings = settings
        self.tasks = usable
        self.knowledge = knowledge
        // Composed models have no outputs on noise, no number as a task, and no grades.
        let composes =
            settings.composesTasks && shape.kind != .tans && settings.lambda == 0 && !settings.loss.readsGrades
        composer = composes ? TaskComposer(tasks: usable, knowledge: knowledge) : nil
        let full = min(settings.batch, usable.count)
        let real = composer == nil ? full : min(full, max(1, settings.batch / 2))
        batch = (real, composer.map { min(settings.batch - real, $0.capacity / 4) } ?? 0)
        let all = Set(usable.flatMap(\.models)).count
        modelCount = settings.loss.readsGrades ? min(all, 4 * settings.batch) : batch.real + batch.composed
        var generator = SeededGenerator(seed: settings.seed)
        var parameters = shape.initial(&generator)
        encoderCount = parameters.names.count
        if settings.lambda > 0 { Self.addHead(&parameters, shape, taskCount: usable.count, &generator) }
        initial = parameters
        var checks = SeededGenerator(seed: settings.seed ^ 0x6368_6563_6B73)
        composedChecks =
            composer.map { composer in
                composer.sets(min(Self.checkCount, composer.capacity / 4), besides: [], &checks).compactMap {
                    composer.compose(
                        $0, draws: knowledge.first?.draws ?? 1,
                        groups: { Self.heldOut($0, settings).lowerBound..<$0.groups.count }, &checks)
                }
            } ?? []
    }

    // MARK: Training

    /// Where training can go on after an interrupt.
    public struct State: Sendable {
        /// Steps that are done.
        public var step: Int
        var weights: [[Float]], first: [[Float]], second: [[Float]]
        var best: TrainedEncoder?
    }

    /// Trains.
    ///
    /// - Parameters:
    ///   - state: of an interrupted training of the same data and settings.
    ///   - keep: is given the state after every look, and once more (`isLast`) when the user interrupts.
    ///   - progress: told of every step.
    /// - Throws: `numeric` when the loss leaves the finite numbers; `interrupted`.
    public func run(
        from state: State? = nil, keep: (_ state: State, _ isLast: Bool) throws -> Void = { _, _ in },
        progress: () -> Void = {}
    ) throws -> TrainedEncoder {
        let classes = largestClassCount, rowLength = longestRow
        let program = try Self.program(
            shape, initial, settings, batch: batch.real + batch.composed, models: modelCount, classes: classes,
            rowLength: rowLength, tasks: tasks.count)
        let training = ProgramTraining(program, parameters: initial, rate: settings.rate)
        var best = state?.best, step = state?.step ?? 0
        if let state { training.restore(state.weights, state.first, state.second, steps: state.step) }
        for _ in 0..<step { progress() }
        func now() -> State {
            let (weights, first, second) = training.numbers
            return State(step: step, weights: weights, first: first, second: second, best: best)
        }
        do {
            while step < max(1, settings.steps) {
                try Cancellation.check()
                let drawn = draw(step: step + 1, classes: classes, rowLength: rowLength)
                _ = try training.step(drawn.reals, settings.lambda > 0 ? [drawn.labels] : [])
                step += 1
                progress()
                guard step % settings.patience == 0 || step >= settings.steps else { continue }
                let found = try validate(encoder(of: training.parameters), step)
                // Of equal looks the later: ranks saturate long before the vectors do.
                if found.score >= best?.score ?? -.infinity { best = found }
                try keep(now(), false)
            }
        } catch let error as ZooError where error.code == .interrupted {
            try keep(now(), true)
            throw error
        }
        guard let best else { throw ZooError(.internal, "no look at held-out groups") }
        return best
    }

    /// The encoders among all parameters.
    func encoder(of parameters: LearnedParameters) -> KnowledgeEncoder {
        var found = parameters
        found.names = Array(found.names.prefix(encoderCount))
        found.shapes = Array(found.shapes.prefix(encoderCount))
        found.values = Array(found.values.prefix(encoderCount))
        return KnowledgeEncoder(shape: shape, parameters: found)
    }

    /// Everything that is learned, head included, before the first step.
    var initialParameters: LearnedParameters { initial }

    /// What tells this training from others: data, settings and sizes.
    public var digest: String {
        var hash = Fingerprint()
        hash.add("\(settings) \(shape)")
        for k in knowledge { hash.add(k.digest) }
        for task in tasks {
            hash.add(task.name)
            hash.add("\(task.models) \(task.domain) \(task.labels) \(task.outputs)")
            for group in task.groups { hash.add(group.values.map(Float.init)) }
            hash.add(task.grades.map(Float.init))
        }
        return hash.text
    }

    private static func addHead(
        _ parameters: inout LearnedParameters, _ shape: EncoderShape, taskCount: Int,
        _ generator: inout SeededGenerator
    ) {
        parameters.add("head.0.weight", [64, shape.embedding], fan: shape.embedding, &generator)
        parameters.add(zeros: "head.0.bias", [64])
        parameters.add("head.1.weight", [taskCount, 64], fan: 64, &generator)
        parameters.add(zeros: "head.1.bias", [taskCount])
    }

    private var largestClassCount: Int {
        let models = tasks.flatMap { $0.models.map { knowledge[$0].liveClasses.count } }
        let queries = tasks.flatMap { $0.groups.map(\.rows) }
        return max(models.max() ?? 2, queries.max() ?? 2)
    }

    private var longestRow: Int {
        tasks.flatMap { $0.models.map { ModelBatch.rowLength(shape, knowledge[$0]) } }.max() ?? 1
    }

    /// The loss and its gradients in all parameters.
    package static func program(
        _ shape: EncoderShape, _ parameters: LearnedParameters, _ settings: TrainingSettings, batch: Int,
        models: Int? = nil, classes: Int, rowLength: Int, tasks: Int
    ) throws -> Program {
        let b = ProgramBuilder()
        let p = parameters.declare(in: b)
        let encoders = EncoderProgram(b: b, p: p, shape: shape)
        let u = try encoders.models(batch: models ?? batch, classes: classes, rowLength: rowLength)
        let q = try encoders.queries(batch: batch, classes: classes)
        let similarity = try b.matmul(try encoders.unit(q), try encoders.unit(u), transposeB: true)
        var loss = try EncoderProgram.loss(b, similarity, settings)
        if settings.lambda > 0 {
            let hidden = try b.leakyRelu(try encoders.layer("head.0", u))
            let logits = try encoders.layer("head.1", hidden)
            let cls = try b.average(b.crossEntropy(logits, labels: b.indices("task", [batch])))
            loss = try b.add(loss, b.affine(cls, scale: settings.lambda))
        }
        let gradients = try b.gradient(of: loss, withRespectTo: parameters.names.compactMap { p[$0] })
        return b.build([("loss", loss)] + zip(parameters.names, gradients).map { ($0, $1) })
    }

    // MARK: Batches

    /// The groups of a task that looks use; the others train.
    private static func heldOut(_ task: TrainingTask, _ settings: TrainingSettings) -> Range<Int> {
        let count = max(1, min(task.groups.count - 1, Int((Double(task.groups.count) * settings.heldOut).rounded())))
        return task.groups.count - count..<task.groups.count
    }

    /// Distinct tasks, and of each a query group and a draw of a model; then composed ones. The lstm encoder sees classes
    /// in random order. A generator of its own per step: where training goes on, the same batches follow.
    private func draw(step: Int, classes: Int, rowLength: Int) -> (reals: [[Float]], labels: [Int32]) {
        var generator = SeededGenerator(
            seed: settings.seed &* 0x2545_F491_4F6C_DD1D ^ UInt64(step) &* 0xD134_2543_DE82_EF95)
        let chosen = Array(generator.permutation(tasks.count).prefix(batch.real))
        var models = ModelBatch(shape, classes: classes, rowLength: rowLength)
        var queries = QueryBatch(classes: classes)
        func add(_ model: Knowledge, draw t: Int) {
            var order = model.liveClasses
            if shape.kind == .lstm { generator.shuffle(&order) }
            models.add(model, draw: t, order: order)
        }
        func add(_ group: Matrix) {
            var order = Array(0..<group.rows)
            if shape.kind == .lstm { generator.shuffle(&order) }
            queries.add(group, order: order)
        }
        var taken = Set<TaskComposer.Key>()
        for place in chosen {
            let task = tasks[place]
            taken.insert(.init(domain: task.domain, labels: task.labels))
            add(task.groups[generator.below(Self.heldOut(task, settings).lowerBound)])
            guard !settings.loss.readsGrades else { continue }
            let model = knowledge[task.models[generator.below(task.models.count)]]
            add(model, draw: generator.below(model.draws))
        }
        if let composer {
            for key in composer.sets(batch.composed, besides: taken, &generator) {
                let item = composer.compose(
                    key, draws: 1, groups: { 0..<Self.heldOut($0, settings).lowerBound }, &generator)
                guard let item else { continue }
                add(item.knowledge, draw: 0)
                add(item.means)
            }
        }
        guard settings.loss.readsGrades else { return (models.arrays + queries.arrays, chosen.map { Int32($0) }) }
        let all = Set(tasks.flatMap(\.models)).sorted()
        let drawn = generator.permutation(all.count).prefix(modelCount).map { all[$0] }
        for place in drawn { add(knowledge[place], draw: generator.below(knowledge[place].draws)) }
        let grades = chosen.map { place -> [Double] in
            let scaled = tasks[place].scaledGrades
            return drawn.map { scaled[$0] }
        }
        return (
            models.arrays + queries.arrays + GradedBatch.arrays(grades, loss: settings.loss), chosen.map { Int32($0) }
        )
    }

    // MARK: Held-out groups

    private func validate(_ encoder: KnowledgeEncoder, _ step: Int) throws -> TrainedEncoder {
        let runner = EncoderRunner(encoder)
        let places = Set(tasks.flatMap(\.models)).sorted()
        let vectors = try places.flatMap { try runner.vector(of: knowledge[$0]) }
        func similarities(_ vectors: [Float], _ means: Matrix) throws -> [Double] {
            let query = try runner.vector(ofQuery: means)
            return try LinearAlgebra.product(
                vectors, query, rows: vectors.count / shape.embedding, columns: 1, depth: shape.embedding
            ).map(Double.init)
        }
        var reciprocal = 0.0, count = 0, positives: [Double] = [], taus: [Double] = []
        for task in tasks {
            let own = Set(task.models)
            let correct = Set(places.indices.filter { own.contains(places[$0]) })
            for place in Self.heldOut(task, settings) {
                let scores = try similarities(vectors, task.groups[place])
                reciprocal += RetrievalMetrics.rank(of: correct, scores: scores).map { 1 / Double($0) } ?? 0
                positives.append(correct.map { scores[$0] }.max() ?? 0)
                count += 1
                guard settings.loss.readsGrades else { continue }
                let truth = places.map { task.grades[$0] }
                if let tau = RetrievalMetrics.weightedTau(truth: truth, scores: scores) { taus.append(tau) }
            }
        }
        var composedMRR: Double?
        if !composedChecks.isEmpty {
            let composed = try composedChecks.flatMap { try runner.vector(of: $0.knowledge) }
            var reciprocal = 0.0
            for (place, item) in composedChecks.enumerated() {
                let scores = try similarities(composed, item.means)
                reciprocal += 1 / Double(RetrievalMetrics.rank(of: [place], scores: scores) ?? .max)
                positives.append(scores[place])
            }
            composedMRR = reciprocal / Double(composedChecks.count)
        }
        positives.sort()
        var found = TrainedEncoder(
            encoder: encoder, validationMRR: reciprocal / Double(max(1, count)), composedMRR: composedMRR,
            validationTau: nil,
            bestStep: step, positiveFloor: positives.isEmpty ? 0 : positives[positives.count / 20])
        if !taus.isEmpty { found.validationTau = taus.reduce(0, +) / Double(taus.count) }
        return found
    }
}
