import ZooAutodiff
import ZooBase
import ZooNN
import ZooTensor

/// Training of weights on the same batches as coefficients, for comparison: all of them, or the head alone.
public struct WeightTraining {
    /// What is trained.
    public enum Scope: String, Sendable, CaseIterable {
        /// The head, on the features of the frozen network.
        case probe
        /// Every trained tensor.
        case full
    }

    /// The best weights, those of the base when nothing was better.
    public private(set) var state: StateDict
    /// Numbers that were trained.
    public private(set) var parameterCount = 0

    /// Trains with AdamW and keeps the best by a score, as coefficients are (strict improvement over the base).
    ///
    /// - Parameters:
    ///   - tasks: what is learned on; losses are summed over tasks.
    ///   - score: of a network's weights; more is better.
    /// - Throws: `unsupported` when the network has no head to probe; `numeric`; `interrupted`.
    public init(
        _ graph: ArchitectureGraph, base: any TensorSource, tasks: [Samples], plan: BatchPlan, scope: Scope,
        options: CoefficientOptions, score: (StateDict) throws -> Double
    ) throws {
        let infos = base.tensorInfos
        let network = try ComposedNetwork<Float>(graph, tensors: infos, batch: plan.share * tasks.count)
        let roles = graph.tensorRoles
        let heads = Set(graph.nodes.filter(\.isHead).flatMap { $0.parameters.map(\.name) })
        let trained = network.names.indices.filter {
            roles[network.names[$0]] != .buffer && (scope == .full || heads.contains(network.names[$0]))
        }
        guard !trained.isEmpty else {
            throw ZooError(.unsupported, "architecture '\(graph.name)' has no head to train alone")
        }
        try network.compile(.crossEntropy) { trained.contains($0) }
        let shapes = Dictionary(infos.map { ($0.name, $0.shape) }, uniquingKeysWith: { first, _ in first })
        let theta = ScalarBlock<Float>(sizes: network.names.map { shapes[$0]?.elementCount ?? 0 })
        for (place, name) in network.names.enumerated() {
            try base.tensor(named: name).withFloats { values in
                theta.pointers[place].update(from: values.baseAddress!, count: values.count)
            }
        }
        var original = try base.stateDict()
        state = original
        parameterCount = trained.reduce(0) { $0 + theta.sizes[$1] }
        var first = trained.map { [Float](repeating: 0, count: theta.sizes[$0]) }, second = first
        var cursor = BatchCursor(plan), best = try score(state)
        for number in 0..<options.stepCount {
            try Cancellation.check()
            var batch = ComposeBatch<Float>()
            for (task, places) in cursor.places(step: number).enumerated() {
                batch.append(tasks[task], places, weight: 1 / Double(places.count))
            }
            let rate = Float(StepRule.rate(options.rate, options.schedule, step: number, of: options.stepCount))
            try network.evaluate(.crossEntropy, theta.pointers.map { UnsafePointer($0) }, batch) { losses, gradients in
                guard losses.allSatisfy(\.isFinite) else {
                    throw ZooError(.numeric, "the loss of step \(number + 1) of training weights is not finite")
                }
                for (slot, place) in trained.enumerated() {
                    guard let gradient = gradients[place]?.first else { continue }
                    Self.step(
                        theta.pointers[place], gradient, &first[slot], &second[slot], rate: rate,
                        decay: Float(options.weightDecay), number: number + 1)
                }
            }
            guard (number + 1) % options.stepsPerRound == 0 else { continue }
            for place in trained {
                let name = network.names[place]
                let values = Array(UnsafeBufferPointer(start: theta.pointers[place], count: theta.sizes[place]))
                original[name] = Tensor(values, shape: shapes[name] ?? []).converted(
                    to: original[name]?.dtype ?? .float32)
            }
            let found = try score(original)
            if found > best { (best, state) = (found, original) }
        }
    }

    /// AdamW with PyTorch's order of operations.
    private static func step(
        _ values: UnsafeMutablePointer<Float>, _ gradient: UnsafePointer<Float>, _ first: inout [Float],
        _ second: inout [Float], rate: Float, decay: Float, number: Int
    ) {
        var powers: (Double, Double) = (1, 1)
        for _ in 0..<number { powers = (powers.0 * 0.9, powers.1 * 0.999) }
        let c1 = Float(1 - powers.0), c2 = Float(1 - powers.1)
        first.withUnsafeMutableBufferPointer { m in
            second.withUnsafeMutableBufferPointer { v in
                for place in m.indices {
                    let g = gradient[place]
                    m[place] = 0.9 * m[place] + 0.1 * g
                    v[place] = 0.999 * v[place] + 0.001 * g * g
                    values[place] -= rate * decay * values[place]
                    values[place] -= rate * (m[place] / c1) / ((v[place] / c2).squareRoot() + 1e-8)
                }
            }
        }
    }
}
