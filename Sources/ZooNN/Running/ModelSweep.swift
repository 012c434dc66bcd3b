import ZooBase
import ZooTensor

/// Mean loss of a model over samples, and its gradient.
public struct LossGradient: Sendable, Hashable {
    /// The mean over samples; NaN for a model that diverged.
    public var loss: Double
    /// The gradient of the mean loss, in the order of the `ParameterLayout`.
    public var gradient: [Double]
}

/// Mean loss, gradient, and products of a curvature matrix with directions.
public struct LossCurvature: Sendable, Hashable {
    /// The mean over samples.
    public var loss: Double
    /// The gradient of the mean loss, in the order of the `ParameterLayout`.
    public var gradient: [Double]
    /// One product per direction, in the same order.
    public var products: [[Double]]
}

/// Derivatives of many models of one architecture on one set of samples: one compiled program, many weights.
///
/// Networks run in evaluation mode (batch norm with its stored statistics) in Float32; sums over batches are kept in
/// Float64 and added in an order that depends on the data alone, so results do not depend on the number of threads.
/// Models are split over threads; when there are fewer models than threads, groups of batches and of directions are.
public final class ModelSweep: Sendable {
    /// The order of numbers in gradients and directions.
    public var layout: ParameterLayout { programs.layout }
    /// Samples per run.
    public var batch: Int { programs.batch }
    /// The samples.
    public var samples: Samples { runner.batches.samples }
    /// The batches that they are cut into.
    public var batchCount: Int { runner.batches.count }
    /// Floating-point tensors of the models that the architecture does not read.
    public var unreadNames: [String] { programs.unreadNames }
    let programs: NetworkPrograms
    let runner: BatchRunner

    /// Prepares the work; programs are compiled when they are first needed.
    ///
    /// - Parameters:
    ///   - tensors: names and shapes of the models' weights, in the order of the state dict.
    ///   - loss: what is averaged over the samples.
    ///   - batch: samples per run, rounded up to whole groups of 16.
    /// - Throws: `mismatch` when weights, graph, samples and loss do not fit together, or a label has no logit;
    ///   `unsupported` for architectures that read tokens.
    public init(
        _ graph: ArchitectureGraph, tensors: [TensorInfo], samples: Samples, loss: LossFunction = .crossEntropy(),
        batch: Int = Evaluator.defaultBatch
    ) throws {
        guard let input = graph.inputs.first else {
            throw ZooError(.mismatch, "architecture '\(graph.name)' has no inputs")
        }
        try samples.check(shape: input.shape, of: graph.name)
        let batches = SampleBatches(samples, wanted: max(1, batch), inputName: input.name)
        programs = try NetworkPrograms(graph, tensors: tensors, loss: loss, batch: batches.size)
        runner = BatchRunner(programs: programs, batches: batches)
        guard loss.readsLabels else { return }
        try samples.check(classes: programs.classes, for: loss.name)
    }

    /// Prepares the work on sequences of tokens: the loss is the cross-entropy of the next token, averaged over all
    /// tokens that are predicted.
    ///
    /// - Parameter batch: sequences per run.
    /// - Throws: `mismatch` when the network does not read tokens or gives no logits per token, the sequences are longer
    ///   than it reads, or no token is predicted.
    public init(
        _ graph: ArchitectureGraph, tensors: [TensorInfo], tokens: TokenBatch, batch: Int = 8
    ) throws {
        let batches = try SampleBatches(
            tokens, wanted: batch, inputName: graph.inputs.first { $0.kind == .tokens }?.name ?? "",
            maskName: graph.inputs.first { $0.kind == .mask }?.name)
        programs = try NetworkPrograms(
            graph, tensors: tensors, loss: .crossEntropy(), form: .nextToken(length: tokens.length),
            batch: batches.size)
        runner = BatchRunner(programs: programs, batches: batches)
        if let id = tokens.ids.max(), let rows = Self.vocabulary(graph, tensors), Int(id) >= rows {
            throw ZooError(.mismatch, "token \(id) in the data; the network knows \(rows)")
        }
    }

    private static func vocabulary(_ graph: ArchitectureGraph, _ tensors: [TensorInfo]) -> Int? {
        let table = graph.nodes.first { $0.op == .embedding }?.parameter("weight")
        return tensors.first { $0.name == table }?.shape.dimensions.first
    }

    /// Prepares the work on the loss of a physics-informed network, which holds derivatives in the inputs. There is one
    /// loss for all points.
    ///
    /// - Throws: `mismatch` when the network does not lead from two coordinates to one number, or points do not fit.
    public init(
        _ graph: ArchitectureGraph, tensors: [TensorInfo], convection: ConvectionLoss, points: ConvectionPoints
    ) throws {
        try points.check()
        let batches = SampleBatches(points, inputName: graph.inputs.first?.name ?? "")
        programs = try NetworkPrograms(
            graph, tensors: tensors, loss: .crossEntropy(), form: .convection(convection, points), batch: points.count)
        runner = BatchRunner(programs: programs, batches: batches)
        _ = try programs.pool(.losses)
    }

    /// Mean losses of models.
    ///
    /// - Parameters:
    ///   - count: how many models.
    ///   - jobs: threads.
    ///   - model: the weights of a model; called once per model, from any thread.
    /// - Returns: a result per model, in order; one that could not be read or does not fit has its error.
    /// - Throws: `interrupted`.
    public func losses(
        count: Int, jobs: Int, model: @Sendable (Int) throws -> any TensorSource
    ) throws -> [Result<Double, ZooError>] {
        try sweep(count, jobs, { _ in .losses }, model, directions: { _ in [] }) { $1.loss }
    }

    /// Mean losses and gradients of models.
    ///
    /// - Returns: a result per model, in order; one that could not be read or does not fit has its error.
    /// - Throws: `interrupted`.
    public func gradients(
        count: Int, jobs: Int, model: @Sendable (Int) throws -> any TensorSource
    ) throws -> [Result<LossGradient, ZooError>] {
        try gradients(count: count, jobs: jobs, model: model) { $1 }
    }

    /// `gradients` for vectors too long to keep all: `transform` makes of each what is kept, from any thread.
    public func gradients<T: Sendable>(
        count: Int, jobs: Int, model: @Sendable (Int) throws -> any TensorSource,
        transform: @Sendable (Int, LossGradient) throws -> T
    ) throws -> [Result<T, ZooError>] {
        try sweep(count, jobs, { _ in .gradient }, model, directions: { _ in [] }) {
            try transform($0, LossGradient($1))
        }
    }

    /// Mean losses, gradients and Hessian-vector products of models.
    ///
    /// - Parameter directions: the directions of a model, each as long as `layout.count`; called once per model.
    /// - Returns: a result per model, in order; one that could not be read or does not fit has its error.
    /// - Throws: `interrupted`.
    public func hessianVectorProducts(
        count: Int, jobs: Int, model: @Sendable (Int) throws -> any TensorSource,
        directions: @Sendable (Int) throws -> [[Double]]
    ) throws -> [Result<LossCurvature, ZooError>] {
        try sweep(count, jobs, Self.hessian, model, directions: directions) { LossCurvature($1) }
    }

    /// One model as a function of its parameters.
    ///
    /// - Parameter jobs: threads that each evaluation uses.
    /// - Throws: what reading the model throws; `mismatch` when it does not fit.
    public func problem(_ model: any TensorSource, jobs: Int = 1) throws -> LossProblem {
        try LossProblem(self, model, jobs: jobs)
    }

    /// Samples per run that suit a network: 128, and for large networks few enough that threads share the samples of one
    /// model. It depends on the network and the number of samples alone.
    public static func suggestedBatch(
        _ graph: ArchitectureGraph, tensors: [TensorInfo], samples: Int, most: Int = Evaluator.defaultBatch
    ) -> Int {
        guard PointCurvature.isLarge(ParameterLayout(graph, tensors: tensors).count) else { return most }
        guard graph.inputs.first?.kind != .tokens else { return max(1, min(most, (samples + 1) / 2)) }
        let groups = (samples + 15) / 16
        // Enough samples keep every thread busy in any case; smaller runs take less memory then.
        guard groups <= 16 else { return 32 }
        let batches = groups % 4 == 0 ? 4 : min(groups, 2)
        return min(most, (groups + batches - 1) / batches * 16)
    }

    /// Bytes that each thread's arena takes for gradients.
    public var gradientArenaByteCount: Int { get throws { try programs.arenaByteCount(.gradient) } }

    // MARK: The work

    static let hessian: @Sendable (Int) -> NetworkTask = { $0 == 0 ? .gradient : .hessianProducts($0) }
    static let gaussNewton: @Sendable (Int) -> NetworkTask = { $0 == 0 ? .gradient : .gaussNewtonProducts($0) }

    /// A model ready to run: weights, directions and the parts of the work.
    struct Item: Sendable {
        var weights: WeightBlock
        var directions: [[Double]]
        var parts: [BatchRunner.Part]

        init(_ weights: WeightBlock, _ directions: [[Double]], _ runner: BatchRunner) throws {
            for direction in directions { try runner.programs.layout.check(direction, "direction") }
            self.weights = weights
            self.directions = directions
            parts = runner.parts(directions: directions.count)
        }
    }

    private func sweep<T: Sendable>(
        _ count: Int, _ jobs: Int, _ task: @escaping @Sendable (Int) -> NetworkTask,
        _ model: @Sendable (Int) throws -> any TensorSource, directions: @Sendable (Int) throws -> [[Double]],
        _ transform: @Sendable (Int, LossSums) throws -> T
    ) throws -> [Result<T, ZooError>] {
        @Sendable func result(_ index: Int, jobs: Int) throws -> Result<T, ZooError> {
            try Self.kept {
                let item = try Item(
                    programs.weights(of: try model(index)), directions(index), runner)
                return try transform(index, try sums(item, task, jobs: jobs))
            }
        }
        if count >= jobs {
            return try Parallel.map(count: count, jobs: jobs) { try result($0, jobs: 1) }
        }
        return try (0..<count).map { try result($0, jobs: jobs) }
    }

    /// The means of a model, its parts split over threads.
    func sums(_ item: Item, _ task: @escaping @Sendable (Int) -> NetworkTask, jobs: Int) throws -> LossSums {
        var sums = try Parallel.map(count: item.parts.count, jobs: jobs) { place in
            try runner.sums(item.parts[place], task, weights: item.weights, directions: item.directions)
        }
        return runner.total(&sums, of: item.parts)
    }

    private static func kept<T>(_ body: () throws -> T) throws -> Result<T, ZooError> {
        do { return .success(try body()) } catch let error as ZooError where error.code != .interrupted {
            return .failure(error)
        }
    }
}

extension LossGradient {
    init(_ sums: LossSums) { self.init(loss: sums.loss, gradient: sums.vectors.first ?? []) }
}

extension LossCurvature {
    init(_ sums: LossSums) {
        self.init(
            loss: sums.loss, gradient: sums.vectors.first ?? [], products: Array(sums.vectors.dropFirst()))
    }
}
