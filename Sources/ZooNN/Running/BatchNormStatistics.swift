import ZooBase
import ZooTensor

/// Recomputes the running statistics of batch norms on data: what averaged, interpolated or permuted weights need
/// before they are evaluated (arXiv 1803.05407 §3.2).
///
/// Samples pass in training mode, so that every layer is normalised with statistics of the weights as they are. Two
/// estimates are offered. `exact` takes mean and variance of all samples together, from one batch of the whole set where
/// memory allows it, else by pooling first and second moments of equal parts. `perBatch` does what PyTorch does with
/// `momentum=None`: the mean of the batches' means, and the mean of their unbiased variances. Either way `running_var`
/// is the unbiased estimate and `num_batches_tracked` becomes 0.
public final class BatchNormStatistics: Sendable {
    /// How batches become one estimate.
    public enum Estimate: Sendable, Hashable {
        /// Moments of all samples together.
        case exact
        /// The mean over batches of this many samples, as PyTorch accumulates them with `momentum=None`.
        case perBatch(Int)
    }

    private let moments: ChannelMoments
    private let nodes: [GraphNode]
    private let estimate: Estimate

    /// Whether a network has statistics to recompute.
    public static func applies(to graph: ArchitectureGraph) -> Bool { graph.nodes.contains { $0.op == .batchNorm } }

    /// Prepares the passes over the samples; labels are not read.
    ///
    /// - Throws: `mismatch` when the graph has no batch norm, or graph, weights and samples do not fit together.
    public init(
        _ graph: ArchitectureGraph, tensors: [TensorInfo], samples: Samples, estimate: Estimate = .exact
    ) throws {
        nodes = graph.nodes.filter { $0.op == .batchNorm }
        guard !nodes.isEmpty else {
            throw ZooError(
                .mismatch, "architecture '\(graph.name)' has no batch norm: there are no statistics to recompute")
        }
        self.estimate = estimate
        var batch: Int?
        if case .perBatch(let size) = estimate { batch = size }
        moments = try ChannelMoments(graph, tensors: tensors, samples: samples, target: .batchNormInputs, batch: batch)
    }

    /// The state dict with its statistics recomputed.
    ///
    /// - Throws: `numeric` when a statistic is not finite; what reading the weights throws.
    public func recalibrated(_ source: any TensorSource) throws -> StateDict {
        var state = try source.stateDict()
        let batches = try moments.batches(of: source)
        for node in nodes {
            guard let parts = batches[node.name], let first = parts.first else { continue }
            let (mean, variance) = statistics(parts, first)
            try store(mean, node.parameter("running_mean"), &state)
            try store(variance, node.parameter("running_var"), &state)
            if let name = node.parameter("num_batches_tracked"), let old = state[name] {
                let zeros = [Int64](repeating: 0, count: old.elementCount)
                state[name] = Tensor(zeros, shape: old.shape).converted(to: old.dtype)
            }
        }
        return state
    }

    private func statistics(_ parts: [Moments], _ first: Moments) -> (mean: [Double], variance: [Double]) {
        guard case .perBatch = estimate else {
            let all = parts.dropFirst().reduce(first) { $0.pooled(with: $1) }
            return (all.mean, all.unbiasedVariance)
        }
        var mean = [Double](repeating: 0, count: first.mean.count), variance = mean
        for part in parts {
            let unbiased = part.unbiasedVariance
            for channel in mean.indices {
                mean[channel] += part.mean[channel] / Double(parts.count)
                variance[channel] += unbiased[channel] / Double(parts.count)
            }
        }
        return (mean, variance)
    }

    private func store(_ values: [Double], _ name: String?, _ state: inout StateDict) throws {
        guard let name, let old = state[name] else { return }
        guard values.count == old.elementCount else {
            throw ZooError(.mismatch, "'\(name)' has \(old.elementCount) channels, its input has \(values.count)")
        }
        guard values.allSatisfy(\.isFinite) else {
            throw ZooError(.numeric, "'\(name)': a recomputed statistic is not finite")
        }
        state[name] = Tensor(values, shape: old.shape).converted(to: old.dtype)
    }
}
