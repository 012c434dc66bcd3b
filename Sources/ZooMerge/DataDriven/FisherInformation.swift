import ZooAutodiff
import ZooBase
import ZooNN
import ZooTensor

/// The diagonal of the Fisher information of a classifier: per tensor element, the mean over samples of
/// E[(∂ log p(y|x) / ∂θ)²] (arXiv 2111.09832, section 3).
///
/// Gradients are per sample, by the engine's mapped programs, never squared sums over a batch. The expectation over
/// classes is exact; `empirical` takes the true label instead.
public struct FisherInformation: Sendable {
    /// Which label the gradient is taken for.
    public enum Kind: String, Sendable, CaseIterable {
        /// All of them, weighted with the model's own probabilities.
        case exact
        /// The sample's label.
        case empirical
    }

    /// One per trained tensor, of its shape, float32, under its name; readable and writable like any checkpoint.
    public let diagonal: StateDict
    /// Samples it is the mean of.
    public let sampleCount: Int

    /// Wraps a diagonal that was stored.
    public init(diagonal: StateDict, sampleCount: Int) {
        self.diagonal = diagonal
        self.sampleCount = sampleCount
    }

    /// Samples per run of the mapped program.
    private static let lanes = 16

    /// Computes the diagonal.
    ///
    /// - Throws: `mismatch` when graph, weights and samples do not fit together; `unsupported` for a network that has no
    ///   gradients per sample; `numeric` when the result is not finite; `interrupted`.
    public init(
        _ graph: ArchitectureGraph, _ source: any TensorSource, samples: Samples, kind: Kind = .exact, jobs: Int = 1,
        progress: @Sendable (Int) -> Void = { _ in }
    ) throws {
        guard kind == .exact || !samples.labels.isEmpty else {
            throw ZooError(.mismatch, "the data set has no labels; the empirical Fisher needs them")
        }
        let run = try FisherRun(graph, source, samples, kind)
        let chunks = (samples.count + Self.lanes - 1) / Self.lanes
        let pool = ExecutorPool(run.compiled)
        var sums = run.shapes.map { [Double](repeating: 0, count: $0.elementCount) }
        // Waves of as many chunks as threads, added in order: the sum does not depend on the threads.
        for start in stride(from: 0, to: chunks, by: max(1, jobs)) {
            try Cancellation.check()
            let wave = start..<min(start + max(1, jobs), chunks)
            let parts = try pool.map(count: wave.count, jobs: jobs) { place, executor in
                let first = (wave.lowerBound + place) * Self.lanes
                return try run.sums(executor, first..<min(first + Self.lanes, samples.count))
            }
            for part in parts { for tensor in sums.indices { Self.add(part[tensor], to: &sums[tensor]) } }
            progress(min(wave.upperBound * Self.lanes, samples.count) - start * Self.lanes)
        }
        var diagonal = StateDict()
        for (place, name) in run.names.enumerated() {
            let values = sums[place].map { Float($0 / Double(samples.count)) }
            guard values.allSatisfy(\.isFinite) else {
                throw ZooError(.numeric, "the Fisher information of '\(name)' is not finite")
            }
            diagonal[name] = Tensor(values, shape: run.shapes[place])
        }
        self.diagonal = diagonal
        sampleCount = samples.count
    }

    private static func add(_ part: [Double], to sum: inout [Double]) {
        sum.withUnsafeMutableBufferPointer { sum in
            part.withUnsafeBufferPointer { part in for place in sum.indices { sum[place] += part[place] } }
        }
    }
}

/// The mapped program: for each of 16 samples the squared gradient of log p of one label, times a weight.
private final class FisherRun: Sendable {
    let compiled: CompiledProgram<Float>
    let names: [String]
    let shapes: [Shape]
    private let samples: Samples
    private let kind: FisherInformation.Kind
    private let classes: Int
    private let weights: AlignedFloats
    private static let lanes = 16

    init(
        _ graph: ArchitectureGraph, _ source: any TensorSource, _ samples: Samples, _ kind: FisherInformation.Kind
    ) throws {
        guard let input = graph.inputs.first, graph.inputs.count == 1, input.shape == samples.inputShape else {
            throw ZooError(
                .mismatch,
                "architecture '\(graph.name)' reads inputs of shape \(graph.inputs.first?.shape ?? []), the data set has "
                    + "\(samples.inputShape)")
        }
        let lowered = try LoweredGraph(graph, tensors: source.tensorInfos, batch: 1)
        let b = lowered.builder
        let logits = try lowered.output("logits", of: graph)
        classes = logits.shape.dimensions.last ?? 0
        if kind == .empirical { try samples.check(classes: classes, for: "the empirical Fisher") }
        let labels = b.indices("labels", [1])
        let loss = try b.crossEntropy(logits, labels: labels)
        let trained = Set(graph.trainableNames)
        let parameters = lowered.parameters.filter { trained.contains($0.name) }
        let gradients = try b.gradient(of: loss, withRespectTo: parameters.map(\.value))
        // exp(−loss) is the probability of the label.
        let weight = b.data("weights", [1])
        let share = kind == .exact ? try b.multiply(weight, b.exp(b.affine(loss, scale: -1))) : weight
        let outputs = try gradients.enumerated().map { place, gradient in
            let flat = try b.reshape(gradient, [-1])
            return ("\(place)", try b.multiply(b.square(flat), b.broadcast(share, to: flat.shape)))
        }
        names = parameters.map(\.name)
        shapes = parameters.map(\.value.shape)
        compiled = try b.build(outputs).mapped([input.name, "labels", "weights"], count: Self.lanes).compiled()
        weights = AlignedFloats(
            try compiled.program.inputs(.parameter).map { try source.tensor(named: $0.name).floats() })
        self.samples = samples
        self.kind = kind
    }

    /// Σ over a few samples (and classes), by tensor.
    func sums(_ executor: Executor<Float>, _ range: Range<Int>) throws -> [[Double]] {
        try executor.bind(parameters: weights.pointers)
        let size = samples.sampleSize
        var inputs = [Float](repeating: 0, count: Self.lanes * size)
        inputs.replaceSubrange(
            0..<range.count * size, with: samples.inputs[range.lowerBound * size..<range.upperBound * size])
        let ones = (0..<Self.lanes).map { Float($0 < range.count ? 1 : 0) }
        var sums = shapes.map { [Double](repeating: 0, count: $0.elementCount) }
        for label in 0..<(kind == .exact ? classes : 1) {
            var labels = [Int32](repeating: Int32(label), count: Self.lanes)
            if kind == .empirical {
                for (slot, place) in range.enumerated() { labels[slot] = samples.labels[place] }
            }
            try inputs.withUnsafeBufferPointer { x in
                try ones.withUnsafeBufferPointer { w in
                    try labels.withUnsafeBufferPointer { y in
                        guard let x = x.baseAddress, let w = w.baseAddress, let y = y.baseAddress else { return }
                        try executor.run(reals: [x, w], indices: [y])
                    }
                }
            }
            for tensor in sums.indices { Self.add(executor.output(tensor), to: &sums[tensor]) }
        }
        return sums
    }

    private static func add(_ rows: UnsafeBufferPointer<Float>, to sum: inout [Double]) {
        sum.withUnsafeMutableBufferPointer { sum in
            let width = sum.count
            for row in 0..<rows.count / max(1, width) {
                for place in 0..<width { sum[place] += Double(rows[row * width + place]) }
            }
        }
    }
}
