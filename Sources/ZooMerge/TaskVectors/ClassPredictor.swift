import ZooAutodiff
import ZooBase
import ZooNN
import ZooTensor

/// Predicted classes of many networks of one architecture on one set of samples.
public final class ClassPredictor: Sendable {
    private let samples: Samples
    private let network: UncheckedNetwork
    private let names: [String]

    /// The network's pool of executors is safe to use from threads; what compiles gradients is not used here.
    private struct UncheckedNetwork: @unchecked Sendable {
        let value: ComposedNetwork<Float>
    }

    /// Compiles the network.
    ///
    /// - Throws: `mismatch` when graph, weights and samples do not fit together.
    public init(_ graph: ArchitectureGraph, tensors: [TensorInfo], samples: Samples) throws {
        guard graph.inputs.first?.shape == samples.inputShape else {
            throw ZooError(
                .mismatch,
                "architecture '\(graph.name)' reads inputs of shape \(graph.inputs.first?.shape ?? []), the data set has "
                    + "\(samples.inputShape)")
        }
        self.samples = samples
        network = UncheckedNetwork(value: try ComposedNetwork<Float>(graph, tensors: tensors, batch: 16))
        names = network.value.names
    }

    /// The class of the largest logit of every sample, per model (the lowest among equals).
    ///
    /// - Throws: what reading the models throws; `interrupted`.
    public func predictions(
        count: Int, jobs: Int, model: @Sendable (Int) throws -> any TensorSource
    ) throws -> [[Int32]] {
        try Parallel.map(count: count, jobs: jobs) { index in
            let source = try model(index)
            let weights = AlignedFloats(try self.names.map { try source.tensor(named: $0).floats() })
            defer { withExtendedLifetime(weights) {} }
            var classes = [Int32](repeating: 0, count: self.samples.count)
            try self.network.value.logits(weights.pointers, inputs: self.samples.inputs, count: self.samples.count) {
                classes[$0] = Int32(Evaluator.argmax($1))
            }
            return classes
        }
    }
}
