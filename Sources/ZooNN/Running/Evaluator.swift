import ZooAutodiff
import ZooBase
import ZooTensor

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Loss and accuracy of one model on one set of samples.
public struct Evaluation: Sendable, Hashable {
    /// Mean cross-entropy, natural logarithm; NaN for a model that diverged.
    public var loss: Double
    /// Samples whose label has the largest logit; among equal logits the lowest class counts, NaN as the largest.
    public var correctCount: Int
    /// Samples.
    public var count: Int

    /// Wraps numbers.
    public init(loss: Double, correctCount: Int, count: Int) {
        self.loss = loss
        self.correctCount = correctCount
        self.count = count
    }

    /// Correct samples over samples.
    public var accuracy: Double { Double(correctCount) / Double(count) }
}

/// Evaluates any number of models of one architecture on one set of samples: one program, many weights.
///
/// Models are split over threads, or groups of batches too when there are fewer models than threads; a thread has one
/// arena for all it does and reads the samples where they lie. Losses are summed in double precision, batch by batch in
/// the order of the samples, so results do not depend on the threads.
public final class Evaluator: Sendable {
    /// Samples per run of the program.
    public let batch: Int
    /// Floating-point tensors of the models that the architecture does not read.
    public let unreadNames: [String]
    private let compiled: CompiledProgram<Float>
    private let parameterNames: [String]
    private let parameterShapes: [Shape]
    private let samples: Samples
    /// The last, incomplete batch filled up with its own first sample.
    private let tail: [Float]?
    private let classes: Int

    /// The batch that suits small networks: activations stay in the cache, the cost of an operation is spread.
    public static let defaultBatch = 128

    /// Compiles the evaluation.
    ///
    /// - Parameters:
    ///   - tensors: names and shapes of the models' weights.
    /// - Throws: `mismatch` when weights, graph and samples do not fit together, or a label has no logit.
    public init(
        _ graph: ArchitectureGraph, tensors: [TensorInfo], samples: Samples, batch: Int = defaultBatch
    ) throws {
        guard let input = graph.inputs.first, input.kind != .tokens else {
            throw ZooError(.unsupported, "architecture '\(graph.name)' reads tokens; it is evaluated on text")
        }
        try samples.check(shape: input.shape, of: graph.name)
        // Kernels hold samples in lanes of 16: the last group is filled up with samples that are not counted.
        self.batch = SampleBatches.roundedSize(batch, for: samples)
        self.samples = samples
        let lowered = try LoweredGraph(graph, tensors: tensors, batch: self.batch)
        unreadNames = lowered.unreadNames
        let logits = try lowered.output("logits", of: graph)
        classes = logits.shape.dimensions.last ?? 0
        try samples.check(classes: classes)
        compiled = lowered.builder.build([("logits", logits)]).compiled()
        parameterNames = compiled.program.inputs(.parameter).map(\.name)
        parameterShapes = compiled.program.inputs(.parameter).map(\.shape)
        tail = Self.tail(samples, self.batch)
    }

    private static func tail(_ samples: Samples, _ batch: Int) -> [Float]? {
        let rest = samples.count % batch
        guard rest > 0 else { return nil }
        var inputs = Array(samples.inputs[((samples.count - rest) * samples.sampleSize)...])
        for _ in rest..<batch { inputs += samples.inputs[..<samples.sampleSize] }
        return inputs
    }

    /// Bytes that each thread's arena takes.
    public var arenaByteCount: Int { compiled.arenaBytes }

    /// Evaluates models.
    ///
    /// - Parameters:
    ///   - count: how many.
    ///   - jobs: threads.
    ///   - model: the weights of a model; called once per model, from any thread.
    /// - Returns: a result per model, in order; one that could not be read or does not fit has its error.
    /// - Throws: `interrupted`.
    public func evaluate(
        count: Int, jobs: Int, model: @Sendable (Int) throws -> any TensorSource
    ) throws -> [Result<Evaluation, ZooError>] {
        let pool = ExecutorPool(compiled)
        let split = split(count: count, jobs: jobs)
        if split.batchGroups == 1 {
            return try Parallel.map(count: count, jobs: jobs) { index in
                try Self.kept {
                    let weights = try self.weights(of: try model(index))
                    return self.total(try pool.withExecutor { try self.run($0, weights, self.batches) })
                }
            }
        }
        let weights = try Parallel.map(count: count, jobs: jobs) { index in
            try Self.kept { try self.weights(of: try model(index)) }
        }
        let groups = split.batchGroups, batches = batches
        let parts = try Parallel.map(count: count * groups, jobs: jobs) { place in
            let (model, group) = (place / groups, place % groups)
            let range = batches.count * group / groups..<batches.count * (group + 1) / groups
            return try Self.kept {
                let weights = try weights[model].get()
                return try pool.withExecutor { try self.run($0, weights, range) }
            }
        }
        return try (0..<count).map { model in
            try Self.kept { try total(parts[model * groups..<(model + 1) * groups].flatMap { try $0.get() }) }
        }
    }

    /// How `evaluate` splits its work: over models, and over groups of batches when they are fewer than the threads.
    public func split(count: Int, jobs: Int) -> WorkSplit {
        let groups = count == 0 || count >= jobs ? 1 : min(batches.count, (jobs + count - 1) / count)
        return WorkSplit(
            models: count, batchGroups: groups, threads: max(1, min(jobs, count * groups)),
            arenaByteCount: compiled.arenaBytes)
    }

    /// A value, or the error that keeps one model from having one; interruptions are thrown.
    private static func kept<T>(_ body: () throws -> T) throws -> Result<T, ZooError> {
        do {
            return .success(try body())
        } catch let error as ZooError where error.code != .interrupted {
            return .failure(error)
        }
    }

    private func weights(of source: any TensorSource) throws -> WeightBlock {
        try WeightBlock(source, names: parameterNames, shapes: parameterShapes)
    }

    private var batches: Range<Int> { 0..<(samples.count + batch - 1) / batch }

    /// The summed losses and the correct samples of some batches, one after the other.
    private func run(_ executor: Executor<Float>, _ weights: WeightBlock, _ batches: Range<Int>) throws -> [Evaluation]
    {
        try executor.bind(parameters: weights.pointers)
        return try batches.map { number in
            let start = number * batch, end = min(start + batch, samples.count)
            try Cancellation.check()
            let isTail = end - start < batch
            try (isTail ? tail ?? [] : samples.inputs).withUnsafeBufferPointer { inputs in
                guard let base = inputs.baseAddress else { return }
                try executor.run(reals: [isTail ? base : base + start * samples.sampleSize])
            }
            var found = Evaluation(loss: 0, correctCount: 0, count: end - start)
            count(executor.output(0), samples.labels[start..<end], &found)
            return found
        }
    }

    private func total(_ batches: [Evaluation]) -> Evaluation {
        var total = Evaluation(loss: 0, correctCount: 0, count: samples.count)
        for part in batches {
            total.loss += part.loss
            total.correctCount += part.correctCount
        }
        total.loss /= Double(samples.count)
        return total
    }

    private func count(_ logits: UnsafeBufferPointer<Float>, _ labels: ArraySlice<Int32>, _ total: inout Evaluation) {
        for (sample, label) in labels.enumerated() {
            let row = UnsafeBufferPointer(rebasing: logits[sample * classes..<(sample + 1) * classes])
            let best = Self.argmax(row)
            total.loss += Self.crossEntropy(row, label: Int(label), best: best)
            if best == Int(label) { total.correctCount += 1 }
        }
    }

    /// log Σ exp(z) − z[label], from the largest logit on: what the others add is not lost beside it, so that losses
    /// near zero keep their digits.
    package static func crossEntropy(_ row: UnsafeBufferPointer<Float>, label: Int, best: Int) -> Double {
        let largest = row[best]
        var others = 0.0
        for place in row.indices where place != best { others += Double(exp(row[place] - largest)) }
        return Double(largest) - Double(row[label]) + log1p(others)
    }

    /// The place of the largest number: the lowest among equals, the first NaN before all numbers (as in PyTorch).
    package static func argmax(_ row: UnsafeBufferPointer<Float>) -> Int {
        var best = 0
        for place in row.indices {
            if row[place].isNaN { return place }
            if row[place] > row[best] { best = place }
        }
        return best
    }
}
