import ZooAutodiff
import ZooBase
import ZooNN
import ZooTensor

/// What is minimised over a batch: Σ wᵢ ℓᵢ with a weight per sample, so that means, sums of several tasks' means and
/// negated tasks are one program.
package enum SampleLoss: Hashable, Sendable {
    /// Cross-entropy against labels.
    case crossEntropy
    /// Cross-entropy against a distribution per sample.
    case targets
    /// Entropy of the predictions.
    case entropy
}

/// A batch as programs read it.
package struct ComposeBatch<Scalar: CoefficientScalar> {
    package var inputs: [Scalar] = []
    package var labels: [Int32] = []
    package var weights: [Scalar] = []
    /// A distribution per sample, for `SampleLoss.targets`.
    package var targets: [Scalar] = []
    /// Samples, before the batch is filled up.
    package var count: Int { weights.count }

    package init() {}

    /// Adds samples of one weight.
    package mutating func append(_ samples: Samples, _ places: some Sequence<Int>, weight: Double) {
        let size = samples.sampleSize
        for place in places {
            if let same = samples.inputs[place * size..<(place + 1) * size] as? ArraySlice<Scalar> {
                inputs += same
            } else {
                inputs += samples.inputs[place * size..<(place + 1) * size].map { Scalar($0) }
            }
            labels.append(samples.labels.isEmpty ? 0 : samples.labels[place])
            weights.append(Scalar(weight))
        }
    }
}

/// The compiled programs of one network at composed weights: losses with their gradients by weights, and logits.
///
/// Batch norm uses the composed statistics, dropout drops nothing (evaluation mode).
package final class ComposedNetwork<Scalar: CoefficientScalar> {
    /// The tensors that programs bind, in order.
    package let names: [String]
    /// Classes of the head.
    package let classes: Int
    /// Samples per gradient run, before the batch is filled up to whole lanes.
    package let batch: Int
    /// Bytes of the programs' arenas.
    package private(set) var arenaByteCount = 0
    private let padded: Int
    private let evaluated: Int
    private let sampleSize: Int
    private let graph: ArchitectureGraph
    private let tensors: [TensorInfo]
    private var gradients: [SampleLoss: (executor: Executor<Scalar>, outputs: [Int?])] = [:]
    private let forward: ExecutorPool<Scalar>
    private let loss: SampleLoss

    /// Prepares programs; gradients are compiled by `compile`.
    ///
    /// - Throws: `mismatch` when graph and weights do not fit together; `unsupported` for networks that read tokens.
    package init(
        _ graph: ArchitectureGraph, tensors: [TensorInfo], batch: Int, loss: SampleLoss = .crossEntropy
    ) throws {
        guard let input = graph.inputs.first, graph.inputs.count == 1, input.kind != .tokens else {
            throw ZooError(
                .unsupported,
                "architecture '\(graph.name)' reads tokens; coefficients are learned on images and vectors")
        }
        self.graph = graph
        self.tensors = tensors
        self.batch = batch
        self.loss = loss
        // Kernels hold samples in lanes of 16; the rest is filled up with samples of weight zero.
        padded = (batch + 15) / 16 * 16
        evaluated = Evaluator.defaultBatch
        sampleSize = input.shape.reduce(1, *)
        let lowered = try LoweredGraph(graph, tensors: tensors, batch: evaluated)
        let logits = try lowered.output("logits", of: graph)
        classes = logits.shape.dimensions.last ?? 0
        let program = lowered.builder.build([("logits", logits)])
        names = program.inputs(.parameter).map(\.name)
        forward = ExecutorPool(Scalar.compile(program))
        arenaByteCount = forward.compiled.arenaBytes
    }

    /// The tensors' names as programs bind them, without compiling one.
    package static func boundNames(_ graph: ArchitectureGraph, tensors: [TensorInfo]) throws -> [String] {
        try LoweredGraph(graph, tensors: tensors, batch: 16).parameters.map(\.name)
    }

    /// Compiles the gradient of a loss in the tensors for which `isNeeded` holds.
    package func compile(_ loss: SampleLoss, isNeeded: (Int) -> Bool) throws {
        let lowered = try LoweredGraph(graph, tensors: tensors, batch: padded)
        let b = lowered.builder
        let logits = try lowered.output("logits", of: graph)
        let losses: Value =
            switch loss {
            case .crossEntropy: try b.crossEntropy(logits, labels: b.indices("labels", [padded]))
            case .targets: try b.crossEntropy(logits, targets: b.data("targets", logits.shape))
            case .entropy: try b.reshape(b.entropy(logits), [padded])
            }
        let total = try b.sum(b.multiply(losses, b.data("weights", [padded])))
        var outputs: [(name: String, value: Value)] = [("losses", losses)]
        var places: [Int?] = []
        let wanted = lowered.parameters.indices.filter(isNeeded)
        let found = try b.gradient(of: total, withRespectTo: wanted.map { lowered.parameters[$0].value })
        for place in lowered.parameters.indices {
            guard let slot = wanted.firstIndex(of: place) else {
                places.append(nil)
                continue
            }
            places.append(outputs.count)
            outputs.append((lowered.parameters[place].name, found[slot]))
        }
        let compiled = Scalar.compile(b.build(outputs))
        arenaByteCount += compiled.arenaBytes
        gradients[loss] = (compiled.makeExecutor(), places)
    }

    /// Runs a batch; `body` gets each sample's loss and ∂(Σ wᵢ ℓᵢ)/∂θ by place, valid during the call.
    package func evaluate<R>(
        _ loss: SampleLoss, _ theta: [UnsafePointer<Scalar>], _ batch: ComposeBatch<Scalar>,
        _ body: (_ losses: [Double], _ gradients: [UnsafePointer<Scalar>?]) throws -> R
    ) throws -> R {
        guard let (executor, outputs) = gradients[loss] else { throw ZooError(.internal, "no gradient of \(loss)") }
        let count = batch.count, missing = padded - count
        guard count > 0, missing >= 0 else { throw ZooError(.internal, "\(count) samples for a batch of \(padded)") }
        let first = batch.inputs[..<sampleSize]
        let inputs = missing == 0 ? batch.inputs : batch.inputs + (0..<missing).flatMap { _ in first }
        let weights = batch.weights + [Scalar](repeating: 0, count: missing)
        let labels = batch.labels + [Int32](repeating: 0, count: missing)
        let targets = batch.targets + [Scalar](repeating: 0, count: loss == .targets ? missing * classes : 0)
        try executor.bind(parameters: theta)
        try inputs.withUnsafeBufferPointer { x in
            try weights.withUnsafeBufferPointer { w in
                try labels.withUnsafeBufferPointer { y in
                    try targets.withUnsafeBufferPointer { t in
                        guard let x = x.baseAddress, let w = w.baseAddress, let y = y.baseAddress else { return }
                        switch loss {
                        case .crossEntropy: try executor.run(reals: [x, w], indices: [y])
                        case .targets: try executor.run(reals: [x, t.baseAddress ?? w, w])
                        case .entropy: try executor.run(reals: [x, w])
                        }
                    }
                }
            }
        }
        let losses = executor.output(0).prefix(count).map { Double($0) }
        return try body(losses, outputs.map { place in place.flatMap { executor.output($0).baseAddress } })
    }

    /// Logits of samples, `[samples, classes]`; called with one batch after the other.
    package func logits(
        _ theta: [UnsafePointer<Scalar>], inputs: [Scalar], count: Int,
        _ body: (Int, UnsafeBufferPointer<Scalar>) -> Void
    ) throws {
        try forward.withExecutor { executor in
            try executor.bind(parameters: theta)
            for start in stride(from: 0, to: count, by: evaluated) {
                try Cancellation.check()
                let taken = min(evaluated, count - start)
                var run = Array(inputs[start * sampleSize..<(start + taken) * sampleSize])
                let first = run[..<sampleSize]
                for _ in taken..<evaluated { run += first }
                try run.withUnsafeBufferPointer { x in
                    guard let x = x.baseAddress else { return }
                    try executor.run(reals: [x])
                }
                let logits = executor.output(0)
                for slot in 0..<taken {
                    body(start + slot, UnsafeBufferPointer(rebasing: logits[slot * classes..<(slot + 1) * classes]))
                }
            }
        }
    }

    /// Loss and accuracy on samples.
    ///
    /// - Throws: `mismatch` for labels without a logit.
    package func evaluation(_ theta: [UnsafePointer<Scalar>], _ samples: Samples) throws -> Evaluation {
        try samples.check(classes: classes)
        var total = Evaluation(loss: 0, correctCount: 0, count: samples.count)
        let inputs = (samples.inputs as? [Scalar]) ?? samples.inputs.map { Scalar($0) }
        try logits(theta, inputs: inputs, count: samples.count) { place, row in
            let row = row.map { Float($0) }
            row.withUnsafeBufferPointer { row in
                let best = Evaluator.argmax(row), label = Int(samples.labels[place])
                total.loss += Evaluator.crossEntropy(row, label: label, best: best)
                if best == label { total.correctCount += 1 }
            }
        }
        total.loss /= Double(samples.count)
        return total
    }
}
