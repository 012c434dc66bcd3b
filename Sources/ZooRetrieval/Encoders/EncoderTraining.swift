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

    /// A task.
    public init(name: String, groups: [Matrix], models: [Int]) {
        self.name = name
        self.groups = groups
        self.models = models
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
    /// The step of that look.
    public var bestStep: Int
    /// Five percent of held-out groups are less similar than this to the best model of their task.
    public var positiveFloor: Double
}

/// Trains both encoders so that a query lies nearest to models of its task.
public struct EncoderTraining {
    private let shape: EncoderShape
    private let settings: TrainingSettings
    private let tasks: [TrainingTask]
    private let knowledge: [Knowledge]
    private var generator: SeededGenerator

    /// Checks the data.
    ///
    /// - Throws: `mismatch` for fewer than two tasks with models and two groups, or features of another map.
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
        self.shape = shape
        self.settings = settings
        self.tasks = usable
        self.knowledge = knowledge
        generator = SeededGenerator(seed: settings.seed)
    }

    /// Trains.
    ///
    /// - Parameter progress: told of every step.
    /// - Throws: `numeric` when the loss leaves the finite numbers; `interrupted`.
    public mutating func run(progress: () -> Void = {}) throws -> TrainedEncoder {
        var parameters = shape.initial(&generator)
        let encoderCount = parameters.names.count
        if settings.lambda > 0 { addHead(&parameters) }
        let classes = largestClassCount, rowLength = longestRow, batch = min(settings.batch, tasks.count)
        let program = try Self.program(
            shape, parameters, settings, batch: batch, classes: classes, rowLength: rowLength, tasks: tasks.count)
        let training = ProgramTraining(program, parameters: parameters, rate: settings.rate)
        var best: TrainedEncoder?
        for step in 1...max(1, settings.steps) {
            try Cancellation.check()
            let drawn = draw(batch: batch, classes: classes, rowLength: rowLength)
            _ = try training.step(drawn.reals, settings.lambda > 0 ? [drawn.labels] : [])
            progress()
            guard step % settings.patience == 0 || step == settings.steps else { continue }
            var now = training.parameters
            now.names = Array(now.names.prefix(encoderCount))
            now.shapes = Array(now.shapes.prefix(encoderCount))
            now.values = Array(now.values.prefix(encoderCount))
            let found = try validate(KnowledgeEncoder(shape: shape, parameters: now), step)
            // Of equal looks the later: ranks saturate long before the vectors do.
            if found.validationMRR >= best?.validationMRR ?? -1 { best = found }
        }
        guard let best else { throw ZooError(.internal, "no look at held-out groups") }
        return best
    }

    private func addHead(_ parameters: inout LearnedParameters) {
        var copy = generator
        parameters.add("head.0.weight", [64, shape.embedding], fan: shape.embedding, &copy)
        parameters.add(zeros: "head.0.bias", [64])
        parameters.add("head.1.weight", [tasks.count, 64], fan: 64, &copy)
        parameters.add(zeros: "head.1.bias", [tasks.count])
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
        _ shape: EncoderShape, _ parameters: LearnedParameters, _ settings: TrainingSettings, batch: Int, classes: Int,
        rowLength: Int, tasks: Int
    ) throws -> Program {
        let b = ProgramBuilder()
        let p = parameters.declare(in: b)
        let encoders = EncoderProgram(b: b, p: p, shape: shape)
        let u = try encoders.models(batch: batch, classes: classes, rowLength: rowLength)
        let q = try encoders.queries(batch: batch, classes: classes)
        let similarity = try b.matmul(try encoders.unit(q), try encoders.unit(u), transposeB: true)
        var loss = try EncoderProgram.ranking(b, similarity, loss: settings.loss, margin: settings.margin)
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

    private func heldOut(_ task: TrainingTask) -> Int {
        max(1, min(task.groups.count - 1, Int((Double(task.groups.count) * settings.heldOut).rounded())))
    }

    /// Distinct tasks, and of each a query group and a draw of a model. The lstm encoder sees classes in random order.
    private mutating func draw(batch: Int, classes: Int, rowLength: Int) -> (reals: [[Float]], labels: [Int32]) {
        let chosen = generator.permutation(tasks.count).prefix(batch)
        var models = ModelBatch(shape, classes: classes, rowLength: rowLength)
        var queries = QueryBatch(classes: classes)
        for place in chosen {
            let task = tasks[place]
            let group = task.groups[generator.below(task.groups.count - heldOut(task))]
            let model = knowledge[task.models[generator.below(task.models.count)]]
            var order = model.liveClasses, queryOrder = Array(0..<group.rows)
            if shape.kind == .lstm {
                generator.shuffle(&order)
                generator.shuffle(&queryOrder)
            }
            models.add(model, draw: generator.below(model.draws), order: order)
            queries.add(group, order: queryOrder)
        }
        return (models.arrays + queries.arrays, chosen.map { Int32($0) })
    }

    // MARK: Held-out groups

    private func validate(_ encoder: KnowledgeEncoder, _ step: Int) throws -> TrainedEncoder {
        let runner = EncoderRunner(encoder)
        let places = Set(tasks.flatMap(\.models)).sorted()
        let vectors = try places.flatMap { try runner.vector(of: knowledge[$0]) }
        var reciprocal = 0.0, count = 0, positives: [Double] = []
        for task in tasks {
            let own = Set(task.models)
            let correct = Set(places.indices.filter { own.contains(places[$0]) })
            for group in task.groups.suffix(heldOut(task)) {
                let query = try runner.vector(ofQuery: group)
                let scores = try LinearAlgebra.product(
                    vectors, query, rows: places.count, columns: 1, depth: shape.embedding
                ).map(Double.init)
                reciprocal += RetrievalMetrics.rank(of: correct, scores: scores).map { 1 / Double($0) } ?? 0
                positives.append(correct.map { scores[$0] }.max() ?? 0)
                count += 1
            }
        }
        positives.sort()
        return TrainedEncoder(
            encoder: encoder, validationMRR: reciprocal / Double(max(1, count)), bestStep: step,
            positiveFloor: positives.isEmpty ? 0 : positives[positives.count / 20])
    }
}
