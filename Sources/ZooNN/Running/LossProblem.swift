import ZooAutodiff
import ZooBase
import ZooTensor

/// One model as a function of its parameters θ: what landscapes, curvature, soups and pruning are computed from.
///
/// θ and all vectors are in the order of `layout`, in Float64; the network itself runs in Float32, so θ is rounded to
/// it. Means are over the samples of the sweep; see `ModelSweep` for the order of sums.
public struct LossProblem: Sendable {
    /// The parameters of the model that the problem was made for.
    public let initial: [Double]
    /// The order of the parameters.
    public var layout: ParameterLayout { sweep.layout }
    /// The samples.
    public var samples: Samples { sweep.samples }
    /// Threads per evaluation.
    public let jobs: Int
    private let sweep: ModelSweep
    private let base: WeightBlock

    init(_ sweep: ModelSweep, _ model: any TensorSource, jobs: Int) throws {
        self.sweep = sweep
        self.jobs = max(1, jobs)
        base = try sweep.programs.weights(of: model)
        initial = try sweep.layout.flatten(model)
    }

    // MARK: Values

    /// The mean loss at θ.
    ///
    /// - Throws: `mismatch` when θ has another length; `interrupted`. So do the others.
    public func loss(at point: [Double]) throws -> Double {
        try sums(at: point, [], { _ in .losses }).loss
    }

    /// The loss of every sample at θ.
    public func losses(at point: [Double]) throws -> [Double] {
        try batchwise(.losses, at: point) { executor, batch in sweep.runner.losses(executor, batch) }.flatMap { $0 }
    }

    /// An output of the architecture (`logits`, `features`, …) at θ: Float32, `[samples, …]`.
    ///
    /// - Throws: `notFound` listing the outputs there are.
    public func output(_ name: String, at point: [Double]) throws -> Tensor {
        guard hasAccuracy else {
            throw ZooError(.unsupported, "the outputs of physics-informed networks are not read here")
        }
        let task = NetworkTask.output(name)
        let shape = try sweep.programs.pool(task).compiled.program.outputs[0].shape
        let size = shape.elementCount / sweep.batch
        let rows = try batchwise(task, at: point) { executor, batch in
            Array(executor.output(0).prefix(sweep.runner.batches.range(batch).count * size))
        }
        return Tensor(rows.flatMap { $0 }, shape: Shape([samples.count] + shape.dimensions.dropFirst()))
    }

    /// Whether there are classes to be right or wrong about.
    public var hasAccuracy: Bool {
        if case .convection = sweep.programs.form { return false }
        return true
    }

    /// The logits at θ as rows `[n, classes]` to compare networks by: one per sample, or per predicted token.
    ///
    /// - Throws: `unsupported` for a loss over points.
    public func logitRows(at point: [Double]) throws -> Tensor {
        guard hasAccuracy else {
            throw ZooError(.unsupported, "the outputs of physics-informed networks are not compared")
        }
        let logits = try output("logits", at: point)
        guard let tokens = sweep.runner.batches.tokens else { return logits }
        let columns = sweep.programs.classes, weights = tokens.labelWeights
        let values = logits.floats()
        let rows = (0..<samples.count * tokens.length).filter { weights[$0] > 0 }
        return Tensor(rows.flatMap { values[$0 * columns..<($0 + 1) * columns] }, shape: [rows.count, columns])
    }

    /// The labels of `logitRows`.
    public var rowLabels: [Int32] {
        guard let tokens = sweep.runner.batches.tokens else { return samples.labels }
        let labels = tokens.labels, weights = tokens.labelWeights
        return labels.indices.filter { weights[$0] > 0 }.map { labels[$0] }
    }

    /// Mean cross-entropy and accuracy of the logits at θ, whatever the loss is; of language models over predicted
    /// tokens.
    ///
    /// - Throws: `unsupported` for a loss over points.
    public func evaluation(at point: [Double]) throws -> Evaluation {
        if sweep.runner.batches.tokens != nil { return try tokenEvaluation(at: point) }
        guard hasAccuracy else { throw ZooError(.unsupported, "a loss over points has no accuracy") }
        let logits = try output("logits", at: point)
        let classes = logits.elementCount / samples.count
        guard samples.labels.allSatisfy({ $0 < classes }), samples.labels.count == samples.count else {
            throw ZooError(.mismatch, "the data set has no labels for \(classes) classes")
        }
        var total = Evaluation(loss: 0, correctCount: 0, count: samples.count)
        logits.withFloats { values in
            for (sample, label) in samples.labels.enumerated() {
                let row = UnsafeBufferPointer(rebasing: values[sample * classes..<(sample + 1) * classes])
                let best = Evaluator.argmax(row)
                total.loss += Evaluator.crossEntropy(row, label: Int(label), best: best)
                if best == Int(label) { total.correctCount += 1 }
            }
        }
        total.loss /= Double(samples.count)
        return total
    }

    private func tokenEvaluation(at point: [Double]) throws -> Evaluation {
        let logits = try logitRows(at: point), labels = rowLabels, columns = sweep.programs.classes
        var total = Evaluation(loss: try loss(at: point), correctCount: 0, count: labels.count)
        logits.withFloats { values in
            for (row, label) in labels.enumerated() {
                let line = UnsafeBufferPointer(rebasing: values[row * columns..<(row + 1) * columns])
                if Evaluator.argmax(line) == Int(label) { total.correctCount += 1 }
            }
        }
        return total
    }

    // MARK: Derivatives

    /// Mean loss and gradient at θ.
    public func gradient(at point: [Double]) throws -> LossGradient {
        LossGradient(try sums(at: point, [], ModelSweep.hessian))
    }

    /// H v for each direction at θ, with loss and gradient.
    public func hessianVectorProducts(at point: [Double], along directions: [[Double]]) throws -> LossCurvature {
        LossCurvature(try sums(at: point, directions, ModelSweep.hessian))
    }

    /// H v at θ.
    public func hessianVectorProduct(at point: [Double], along direction: [Double]) throws -> [Double] {
        try hessianVectorProducts(at: point, along: [direction]).products[0]
    }

    /// Jᵀ H_loss J v for each direction at θ: the Gauss-Newton matrix, which for cross-entropy is the Fisher matrix of
    /// the model's own predictions.
    public func gaussNewtonProducts(at point: [Double], along directions: [[Double]]) throws -> LossCurvature {
        LossCurvature(try sums(at: point, directions, ModelSweep.gaussNewton))
    }

    /// The gradient of each sample's own loss at θ, for some samples: `[range.count, layout.count]`, row-major.
    ///
    /// Takes range.count × layout.count × 4 bytes; ask for a range at a time.
    ///
    /// - Parameter labels: other labels for all samples of the sweep; nil for their own.
    /// - Throws: `notFound` for samples that are not there; `unsupported` when an operation of the network has no form
    ///   over single samples.
    public func exampleGradients(
        at point: [Double], samples range: Range<Int>, labels: [Int32]? = nil
    ) throws -> [Float] {
        let pool = try sweep.programs.pool(.exampleGradients)
        let part = try (labels.map { try samples.labelled($0) } ?? samples).subset(range)
        let weights = try sweep.programs.weights(at: point, over: base)
        let programs = sweep.programs
        let batches = SampleBatches(
            part, exactly: programs.exampleBatch, inputName: programs.graph.inputs.first?.name ?? "")
        let runner = BatchRunner(programs: programs, batches: batches)
        let rows = try Parallel.map(count: batches.count, jobs: jobs) { batch in
            try pool.withExecutor { executor in
                try executor.bind(parameters: weights.pointers)
                try runner.run(executor, .exampleGradients, batch)
                return Self.rows(executor, programs.layout, batches.range(batch).count)
            }
        }
        return rows.flatMap { $0 }
    }

    private static func rows(_ executor: Executor<Float>, _ layout: ParameterLayout, _ samples: Int) -> [Float] {
        [Float](unsafeUninitializedCapacity: samples * layout.count) { target, filled in
            for (place, entry) in layout.entries.enumerated() {
                let values = executor.output(place), size = entry.range.count
                for sample in 0..<samples {
                    for index in 0..<size {
                        target[sample * layout.count + entry.range.lowerBound + index] = values[sample * size + index]
                    }
                }
            }
            filled = samples * layout.count
        }
    }

    /// Products of a curvature matrix at θ, for many directions: prepared once, when the first ones are asked for.
    public func curvature(_ matrix: PointCurvature.Matrix, at point: [Double]) -> PointCurvature {
        PointCurvature(sweep, base, matrix, point, jobs: jobs)
    }

    // MARK: Mini-batches

    /// The batches that the samples are cut into.
    public var batchCount: Int { sweep.runner.batches.count }

    /// The mean loss over one batch and its gradient at θ, both in single precision in the order of the layout: a step
    /// of stochastic descent. Networks run in evaluation mode.
    ///
    /// - Precondition: both have `layout.count` numbers.
    public func batchGradient(
        _ batch: Int, at point: UnsafePointer<Float>, into gradient: UnsafeMutablePointer<Float>
    ) throws -> Double {
        let programs = sweep.programs, runner = sweep.runner
        let weights = try programs.weights(at: point, over: base)
        // A batch that predicts nothing has no loss.
        let scale = max(runner.batches.weight(batch), 1)
        return try programs.pool(.gradient).withExecutor { executor in
            try executor.bind(parameters: weights.pointers)
            try runner.run(executor, .gradient, batch)
            for (place, entry) in programs.layout.entries.enumerated() {
                let values = executor.output(1 + place), target = gradient + entry.range.lowerBound
                for index in values.indices { target[index] = values[index] / Float(scale) }
            }
            return runner.losses(executor, batch).reduce(0, +) / scale
        }
    }

    // MARK: The work

    private func sums(
        at point: [Double], _ directions: [[Double]], _ task: @escaping @Sendable (Int) -> NetworkTask
    ) throws -> LossSums {
        let weights = try sweep.programs.weights(at: point, over: base)
        return try sweep.sums(ModelSweep.Item(weights, directions, sweep.runner), task, jobs: jobs)
    }

    private func batchwise<T: Sendable>(
        _ task: NetworkTask, at point: [Double], _ read: @Sendable (Executor<Float>, Int) -> T
    ) throws -> [T] {
        let weights = try sweep.programs.weights(at: point, over: base)
        let pool = try sweep.programs.pool(task)
        let groups = sweep.runner.batches.groups(length: 1)
        let parts = try Parallel.map(count: groups.count, jobs: jobs) { group in
            try pool.withExecutor { executor in
                try executor.bind(parameters: weights.pointers)
                return try groups[group].map { batch in
                    try sweep.runner.run(executor, task, batch)
                    return read(executor, batch)
                }
            }
        }
        return parts.flatMap { $0 }
    }
}
