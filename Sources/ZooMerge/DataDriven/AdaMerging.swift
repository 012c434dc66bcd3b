import Foundation
import ZooAutodiff
import ZooBase
import ZooNN
import ZooTensor

/// AdaMerging (arXiv 2310.02575): coefficients of task vectors, θ(λ) = θ₀ + Σ λₖ (θₖ − θ₀), learned without labels by
/// making the merged network's predictions certain: min Σ over tasks of the mean entropy of its softmax.
public struct AdaMerging: Sendable {
    /// Which tensors share a coefficient.
    public enum Granularity: String, Sendable, CaseIterable {
        /// One per task.
        case task
        /// One per task and tensor ("layer-wise").
        case layer
    }

    /// How to learn; the defaults are the published ones.
    public struct Options: Sendable {
        /// Which tensors share a coefficient.
        public var granularity = Granularity.layer
        /// λ at the start.
        public var start = 0.3
        /// Adam's rate.
        public var rate = 1e-3
        /// Steps.
        public var steps = 500
        /// Samples per batch; a step takes two batches of each task.
        public var batch = 16
        /// Seed of the order of samples.
        public var seed: UInt64 = 0

        /// The defaults.
        public init() {}
    }

    /// λ of each task by row: one row, or one per tensor in the order of `rowNames`.
    public private(set) var coefficients: [[Double]]
    /// The tensor of each row; `all` for task-wise coefficients.
    public let rowNames: [String]
    /// The loss of each step: entropies summed over batches and tasks.
    public private(set) var losses: [Double] = []
    /// Samples of each task predicted as each class at the end: an empty class in a task that has it warns of collapse.
    public private(set) var predictions: [[Int]] = []
    /// The same with the coefficients at the start.
    public private(set) var startPredictions: [[Int]] = []

    /// Tasks whose predictions have collapsed: the number of classes in use (e to the entropy of their shares) has fallen
    /// below half of what it was at the start.
    public var collapsedTasks: [Int] {
        zip(startPredictions, predictions).enumerated().filter {
            Self.classesInUse($0.element.1) < 0.5 * Self.classesInUse($0.element.0)
        }.map(\.offset)
    }

    /// e to the entropy of a histogram.
    static func classesInUse(_ counts: [Int]) -> Double {
        let total = Double(counts.reduce(0, +))
        return exp(counts.filter { $0 > 0 }.map { Double($0) / total }.reduce(0) { $0 - $1 * log($1) })
    }

    /// The merged network: every floating-point tensor of the base, moved.
    public private(set) var state = StateDict()

    /// Learns the coefficients.
    ///
    /// - Parameters:
    ///   - base: θ₀.
    ///   - tasks: θₖ, each with unlabelled samples of its task.
    /// - Throws: `mismatch` when networks, graph and samples do not fit together; `numeric` when the loss is not finite;
    ///   `interrupted`.
    public init(
        _ graph: ArchitectureGraph, base: any TensorSource, tasks: [(model: any TensorSource, samples: Samples)],
        options: Options = Options(), progress: (Int) -> Void = { _ in }
    ) throws {
        let problem = try EntropyProblem(graph, base, tasks, options.granularity, batch: options.batch)
        rowNames = problem.rowNames
        var values = [Double](repeating: options.start, count: problem.rowNames.count * tasks.count)
        startPredictions = try problem.predictions(values)
        var optimiser = AdamW(rate: options.rate)
        var generator = SeededGenerator(seed: options.seed)
        var queues = tasks.map { SampleQueue(count: $0.samples.count) }
        for _ in 0..<options.steps {
            try Cancellation.check()
            var batches: [[[Int]]] = []
            for task in tasks.indices {
                batches.append((0..<2).map { _ in queues[task].next(options.batch, using: &generator) })
            }
            let (loss, gradient) = try problem.loss(values, batches: batches)
            guard loss.isFinite else {
                throw ZooError(
                    .numeric, "the entropy is not finite", hint: "lower --rate, or start from smaller scales")
            }
            losses.append(loss)
            optimiser.step(&values, gradient: gradient)
            progress(1)
        }
        let clamped = values.map { min(1, max(0, $0)) }
        coefficients = stride(from: 0, to: clamped.count, by: tasks.count).map {
            Array(clamped[$0..<$0 + tasks.count])
        }
        predictions = try problem.predictions(values)
        state = try Self.merged(base, tasks.map(\.model), coefficients, rowNames)
    }

    private static func merged(
        _ base: any TensorSource, _ models: [any TensorSource], _ coefficients: [[Double]], _ rows: [String]
    ) throws -> StateDict {
        let places = Dictionary(rows.enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
        let mean = models.indices.map { task in
            coefficients.reduce(0) { $0 + $1[task] } / Double(max(1, coefficients.count))
        }
        var state = StateDict()
        for info in base.tensorInfos {
            let start = try base.tensor(named: info.name)
            guard info.dtype.isFloatingPoint else {
                state[info.name] = start
                continue
            }
            let lambda =
                rows == [EntropyProblem.allRow] ? coefficients[0] : places[info.name].map { coefficients[$0] } ?? mean
            let origin = start.doubles()
            var sum = origin
            for (model, share) in zip(models, lambda) {
                for (place, value) in try model.tensor(named: info.name).doubles().enumerated() {
                    sum[place] += share * (value - origin[place])
                }
            }
            if EntropyProblem.isVariance(info.name) { for place in sum.indices { sum[place] = max(0, sum[place]) } }
            state[info.name] = Tensor(sum, shape: info.shape).converted(to: info.dtype)
        }
        return state
    }
}

/// Samples of one task in shuffled rounds.
private struct SampleQueue {
    let count: Int
    private var rest: [Int] = []

    init(count: Int) { self.count = count }

    mutating func next(_ size: Int, using generator: inout SeededGenerator) -> [Int] {
        let wanted = min(size, count)
        if rest.count < wanted { rest = Array(0..<count).shuffled(using: &generator) }
        defer { rest.removeLast(wanted) }
        return Array(rest.suffix(wanted))
    }
}

/// The entropy of a merged network's predictions and its gradient by the coefficients.
package final class EntropyProblem {
    /// The name of the only row of task-wise coefficients.
    package static let allRow = "all"
    /// The tensors that coefficients belong to.
    package let rowNames: [String]
    private let samples: [Samples]
    private let executor: Executor<Float>
    private let names: [String]
    private let base: [[Float]]
    /// vectors[tensor][task]: θₖ − θ₀.
    private let vectors: [[[Float]]]
    private let rowOf: [Int?]
    private let padded: Int
    private let classes: Int

    /// Compiles entropy and gradients, and reads the task vectors.
    package init(
        _ graph: ArchitectureGraph, _ base: any TensorSource,
        _ tasks: [(model: any TensorSource, samples: Samples)], _ granularity: AdaMerging.Granularity, batch: Int
    ) throws {
        guard !tasks.isEmpty, batch > 0 else { throw ZooError(.usage, "AdaMerging takes at least one task") }
        guard let input = graph.inputs.first, graph.inputs.count == 1,
            tasks.allSatisfy({ $0.samples.inputShape == input.shape })
        else {
            throw ZooError(.mismatch, "the samples do not have the shape that architecture '\(graph.name)' reads")
        }
        var pairing = TensorPairing(base.tensorInfos)
        for (index, task) in tasks.enumerated() { pairing.add(task.model.tensorInfos, index: index + 1) }
        _ = try pairing.resolve(names: ["the base"] + tasks.indices.map { "task \($0 + 1)" }, pairing: .strict)
        samples = tasks.map(\.samples)
        padded = (batch + 15) / 16 * 16
        let lowered = try LoweredGraph(graph, tensors: base.tensorInfos, batch: padded)
        let b = lowered.builder
        let logits = try lowered.output("logits", of: graph)
        classes = logits.shape.dimensions.last ?? 0
        let loss = try b.average(b.entropy(logits), weights: b.data("weights", [padded]))
        let parameters = lowered.parameters
        let gradients = try b.gradient(of: loss, withRespectTo: parameters.map(\.value))
        let outputs = [("loss", loss), ("logits", logits)] + gradients.enumerated().map { ("\($0)", $1) }
        executor = b.build(outputs).compiled().makeExecutor()
        let names = parameters.map(\.name)
        self.names = names
        let trained = Set(graph.trainableNames)
        rowNames = granularity == .task ? [Self.allRow] : names.filter(trained.contains)
        let places = Dictionary(rowNames.enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
        rowOf = names.map { granularity == .task ? 0 : places[$0] }
        let base = try names.map { try base.tensor(named: $0).floats() }
        self.base = base
        vectors = try names.enumerated().map { place, name in
            try tasks.map { task in zip(try task.model.tensor(named: name).floats(), base[place]).map { $0 - $1 } }
        }
    }

    /// The loss and its gradient by λ, row by row; a coefficient outside [0, 1] is clamped and has no gradient.
    package func loss(_ values: [Double], batches: [[[Int]]]) throws -> (loss: Double, gradient: [Double]) {
        let count = samples.count
        let weights = AlignedFloats(composed(values))
        try executor.bind(parameters: weights.pointers)
        var gradient = [Double](repeating: 0, count: values.count)
        var total = 0.0
        for (task, list) in batches.enumerated() {
            for places in list {
                try run(samples[task], places)
                total += Double(executor.output(0)[0])
                for (tensor, row) in rowOf.enumerated() {
                    guard let row else { continue }
                    let g = executor.output(tensor + 2)
                    // Where a variance is held at zero, moving the coefficient does nothing.
                    let held = Self.isVariance(names[tensor]) ? weights.pointers[tensor] : nil
                    for k in 0..<count {
                        gradient[row * count + k] += dot(g, vectors[tensor][k], whereAboveZero: held)
                    }
                }
            }
        }
        withExtendedLifetime(weights) {}
        for place in values.indices where values[place] < 0 || values[place] > 1 { gradient[place] = 0 }
        return (total, gradient)
    }

    /// Predicted classes of every task's samples.
    package func predictions(_ values: [Double]) throws -> [[Int]] {
        let weights = AlignedFloats(composed(values))
        try executor.bind(parameters: weights.pointers)
        defer { withExtendedLifetime(weights) {} }
        return try samples.map { samples in
            var counts = [Int](repeating: 0, count: classes)
            for start in stride(from: 0, to: samples.count, by: padded) {
                let places = Array(start..<min(start + padded, samples.count))
                try run(samples, places)
                let logits = executor.output(1)
                for slot in places.indices {
                    let row = logits[slot * classes..<(slot + 1) * classes]
                    if let best = row.indices.max(by: { row[$0] < row[$1] }) { counts[best - slot * classes] += 1 }
                }
            }
            return counts
        }
    }

    private func composed(_ values: [Double]) -> [[Float]] {
        let count = samples.count
        let means = (0..<count).map { k in
            let all = stride(from: k, to: values.count, by: count).map { min(1, max(0, values[$0])) }
            return all.reduce(0, +) / Double(max(1, all.count))
        }
        return base.indices.map { tensor in
            var sum = base[tensor]
            for k in 0..<count {
                let share = Float(rowOf[tensor].map { min(1, max(0, values[$0 * count + k])) } ?? means[k])
                let vector = vectors[tensor][k]
                for place in sum.indices { sum[place] += share * vector[place] }
            }
            if Self.isVariance(names[tensor]) { for place in sum.indices { sum[place] = max(0, sum[place]) } }
            return sum
        }
    }

    private func run(_ samples: Samples, _ places: [Int]) throws {
        let size = samples.sampleSize
        var inputs = [Float](repeating: 0, count: padded * size), ones = [Float](repeating: 0, count: padded)
        for (slot, place) in places.enumerated() {
            inputs.replaceSubrange(
                slot * size..<(slot + 1) * size, with: samples.inputs[place * size..<(place + 1) * size])
            ones[slot] = 1
        }
        try inputs.withUnsafeBufferPointer { x in
            try ones.withUnsafeBufferPointer { w in
                guard let x = x.baseAddress, let w = w.baseAddress else { return }
                try executor.run(reals: [x, w])
            }
        }
    }

    /// Whether a tensor is a variance of batch norm, which extrapolation must not make negative.
    fileprivate static func isVariance(_ name: String) -> Bool { name.hasSuffix("running_var") }

    private func dot(
        _ a: UnsafeBufferPointer<Float>, _ b: [Float], whereAboveZero held: UnsafePointer<Float>? = nil
    ) -> Double {
        var sum = 0.0
        for place in b.indices where held.map({ $0[place] > 0 }) ?? true { sum += Double(a[place]) * Double(b[place]) }
        return sum
    }
}
