import Synchronization
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
package struct ComposeBatch<Scalar: CoefficientScalar>: Sendable {
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

    /// `share` samples from `first` on, filled up with the first sample of all at weight zero.
    func part(_ first: Int, _ share: Int, _ sampleSize: Int, _ classes: Int) -> ComposeBatch {
        let taken = max(0, min(share, count - first)), missing = share - taken
        guard missing > 0 || first > 0 else { return self }
        var part = ComposeBatch()
        if taken > 0 {
            part.inputs = Array(inputs[first * sampleSize..<(first + taken) * sampleSize])
            part.weights = Array(weights[first..<first + taken])
            part.labels = Array(labels[first..<first + taken])
            part.targets = Array(targets[first * classes..<(first + taken) * classes])
        }
        for _ in 0..<missing { part.inputs += inputs[..<sampleSize] }
        part.weights += [Scalar](repeating: 0, count: missing)
        part.labels += [Int32](repeating: 0, count: missing)
        part.targets += [Scalar](repeating: 0, count: missing * classes)
        return part
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
    private let evaluated: Int
    private let sampleSize: Int
    private let graph: ArchitectureGraph
    private let tensors: [TensorInfo]
    private let jobs: Int
    private let splits: Bool
    private var gradients: [SampleLoss: Gradient] = [:]
    private let forward: CompiledProgram<Scalar>
    /// Teams for logits that nobody uses now; kept, so that arenas are allocated once.
    private let idle = Mutex<[ExecutorTeam<Scalar>]>([])

    /// The gradient of one loss.
    private struct Gradient {
        /// One executor for each part of the batch.
        var team: ExecutorTeam<Scalar>
        /// Samples of a part.
        var share: Int
        /// For each tensor the place of its gradient among the outputs.
        var outputs: [Int?]
    }

    /// From this many multiplications on a batch is run in two halves: a thread wakes up in the time of some millions.
    private static var worthSplitting: Int { 1 << 24 }

    /// Prepares programs; gradients are compiled by `compile`.
    ///
    /// - Parameters:
    ///   - jobs: threads; results do not depend on them.
    ///   - splits: whether the gradient of a costly batch may come in two parts.
    /// - Throws: `mismatch` when graph and weights do not fit together; `unsupported` for networks that read tokens.
    package init(
        _ graph: ArchitectureGraph, tensors: [TensorInfo], batch: Int, jobs: Int = 1, splits: Bool = false
    ) throws {
        guard let input = graph.inputs.first, graph.inputs.count == 1, input.kind != .tokens else {
            throw ZooError(
                .unsupported,
                "architecture '\(graph.name)' reads tokens; coefficients are learned on images and vectors")
        }
        self.graph = graph
        self.tensors = tensors
        self.batch = batch
        self.jobs = jobs
        self.splits = splits
        evaluated = Evaluator.defaultBatch
        sampleSize = input.shape.reduce(1, *)
        let lowered = try LoweredGraph(graph, tensors: tensors, batch: evaluated)
        let logits = try lowered.output("logits", of: graph)
        classes = logits.shape.dimensions.last ?? 0
        let program = lowered.builder.build([("logits", logits)])
        names = program.inputs(.parameter).map(\.name)
        forward = Scalar.compile(program)
        arenaByteCount = forward.arenaBytes
    }

    /// The tensors' names as programs bind them, without compiling one.
    package static func boundNames(_ graph: ArchitectureGraph, tensors: [TensorInfo]) throws -> [String] {
        try LoweredGraph(graph, tensors: tensors, batch: 16).parameters.map(\.name)
    }

    /// Compiles the gradient of a loss in the tensors for which `isNeeded` holds.
    package func compile(_ loss: SampleLoss, isNeeded: (Int) -> Bool) throws {
        // Kernels hold samples in lanes of 16; the rest is filled up with samples of weight zero.
        var share = (batch + 15) / 16 * 16, parts = 1
        var (program, places) = try gradientProgram(loss, batch: share, isNeeded)
        if splits, share >= 32, program.multiplicationCount >= Self.worthSplitting {
            parts = 2
            share = (batch + 31) / 32 * 16
            (program, places) = try gradientProgram(loss, batch: share, isNeeded)
        }
        let team = ExecutorTeam(Scalar.compile(program), count: parts)
        arenaByteCount += parts * team.compiled.arenaBytes
        gradients[loss] = Gradient(team: team, share: share, outputs: places)
    }

    private func gradientProgram(
        _ loss: SampleLoss, batch: Int, _ isNeeded: (Int) -> Bool
    ) throws -> (Program, [Int?]) {
        let lowered = try LoweredGraph(graph, tensors: tensors, batch: batch)
        let b = lowered.builder
        let logits = try lowered.output("logits", of: graph)
        let losses: Value =
            switch loss {
            case .crossEntropy: try b.crossEntropy(logits, labels: b.indices("labels", [batch]))
            case .targets: try b.crossEntropy(logits, targets: b.data("targets", logits.shape))
            case .entropy: try b.reshape(b.entropy(logits), [batch])
            }
        let total = try b.sum(b.multiply(losses, b.data("weights", [batch])))
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
        return (b.build(outputs), places)
    }

    /// Runs a batch; `body` gets each sample's loss and the parts whose sum is ∂(Σ wᵢ ℓᵢ)/∂θ by place, valid during
    /// the call.
    package func evaluate<R>(
        _ loss: SampleLoss, _ theta: [UnsafePointer<Scalar>], _ batch: ComposeBatch<Scalar>,
        _ body: (_ losses: [Double], _ gradients: [[UnsafePointer<Scalar>]?]) throws -> R
    ) throws -> R {
        guard let gradient = gradients[loss] else { throw ZooError(.internal, "no gradient of \(loss)") }
        let team = gradient.team, share = gradient.share, count = batch.count
        guard count > 0, count <= share * team.members.count else {
            throw ZooError(.internal, "\(count) samples for a batch of \(share * team.members.count)")
        }
        try team.bind(parameters: theta, jobs: jobs)
        let (size, targets) = (sampleSize, loss == .targets ? classes : 0)
        try Parallel.forEach(count: team.members.count, jobs: jobs) { part in
            let own = batch.part(part * share, share, size, targets)
            try Self.run(team.members[part], loss, own)
        }
        let losses = team.members.flatMap { $0.output(0).map { Double($0) } }.prefix(count)
        let found = gradient.outputs.map { place in
            place.map { place in team.members.compactMap { $0.output(place).baseAddress } }
        }
        return try body(Array(losses), found)
    }

    private static func run(_ executor: Executor<Scalar>, _ loss: SampleLoss, _ batch: ComposeBatch<Scalar>) throws {
        try batch.inputs.withUnsafeBufferPointer { x in
            try batch.weights.withUnsafeBufferPointer { w in
                try batch.labels.withUnsafeBufferPointer { y in
                    try batch.targets.withUnsafeBufferPointer { t in
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
    }

    /// Logits of samples, `[samples, classes]`; `body` is called with one sample after the other.
    package func logits(
        _ theta: [UnsafePointer<Scalar>], inputs: [Scalar], count: Int,
        _ body: (Int, UnsafeBufferPointer<Scalar>) -> Void
    ) throws {
        let size = sampleSize
        let found = try logits(theta, count: count) { places, target in
            inputs.withUnsafeBufferPointer { all in
                guard let start = all.baseAddress else { return }
                target.update(from: start + places.lowerBound * size, count: places.count * size)
            }
        }
        found.withUnsafeBufferPointer { all in
            for place in 0..<count {
                body(place, UnsafeBufferPointer(rebasing: all[place * classes..<(place + 1) * classes]))
            }
        }
    }

    /// Logits of `count` samples, which `gather` copies range by range.
    private func logits(
        _ theta: [UnsafePointer<Scalar>], count: Int,
        gather: @Sendable (Range<Int>, UnsafeMutablePointer<Scalar>) -> Void
    ) throws -> [Scalar] {
        let rounds = (count + evaluated - 1) / evaluated
        let isWorth = forward.program.multiplicationCount * rounds >= Self.worthSplitting
        let team =
            idle.withLock { $0.popLast() } ?? ExecutorTeam(forward, count: isWorth ? max(1, min(jobs, rounds)) : 1)
        defer { idle.withLock { $0.append(team) } }
        try team.bind(parameters: theta, jobs: jobs)
        let (workers, size, evaluated, classes) = (team.members.count, sampleSize, evaluated, classes)
        var found = [Scalar](repeating: 0, count: count * classes)
        try found.withUnsafeMutableBufferPointer { found in
            guard let start = found.baseAddress else { return }
            let target = UncheckedBox(start)
            try Parallel.forEach(count: workers, jobs: jobs) { worker in
                // Places past the last sample hold what was there: each sample's logits are its own.
                var run = [Scalar](repeating: 0, count: evaluated * size)
                for round in stride(from: worker, to: rounds, by: workers) {
                    try Cancellation.check()
                    let places = round * evaluated..<min(count, (round + 1) * evaluated)
                    run.withUnsafeMutableBufferPointer { run in
                        if let run = run.baseAddress { gather(places, run) }
                    }
                    try run.withUnsafeBufferPointer { x in
                        guard let x = x.baseAddress else { return }
                        try team.members[worker].run(reals: [x])
                    }
                    guard let logits = team.members[worker].output(0).baseAddress else { continue }
                    (target.value + places.lowerBound * classes).update(from: logits, count: places.count * classes)
                }
            }
        }
        return found
    }

    /// Loss and accuracy on sets of samples.
    ///
    /// - Throws: `mismatch` for labels without a logit.
    package func evaluations(_ theta: [UnsafePointer<Scalar>], _ sets: [Samples]) throws -> [Evaluation] {
        for samples in sets { try samples.check(classes: classes) }
        let owners = sets.enumerated().flatMap { set, samples in (0..<samples.count).map { (set, $0) } }
        let size = sampleSize
        let found = try logits(theta, count: owners.count) { places, target in
            for (slot, place) in places.enumerated() {
                let (set, sample) = owners[place]
                sets[set].inputs.withUnsafeBufferPointer { inputs in
                    for index in 0..<size { target[slot * size + index] = Scalar(inputs[sample * size + index]) }
                }
            }
        }
        var totals = sets.map { Evaluation(loss: 0, correctCount: 0, count: $0.count) }
        for (place, (set, sample)) in owners.enumerated() {
            let row = found[place * classes..<(place + 1) * classes].map { Float($0) }
            row.withUnsafeBufferPointer { row in
                let best = Evaluator.argmax(row), label = Int(sets[set].labels[sample])
                totals[set].loss += Evaluator.crossEntropy(row, label: label, best: best)
                if best == label { totals[set].correctCount += 1 }
            }
        }
        for set in totals.indices { totals[set].loss /= Double(sets[set].count) }
        return totals
    }
}
