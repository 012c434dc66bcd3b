import CZooKernels
import ZooBase
import ZooTensor

/// What a merge does with running means and variances of batch norm.
public enum BatchNormRule: String, Sendable, CaseIterable {
    /// Merged like every other tensor; variances are held at zero or above.
    case average
    /// The mean and variance of the models' inputs taken together, by their weights.
    case mixture
    /// The base model's, else the first model's.
    case base
    /// Computed anew on data after the merge; until then as `average`.
    case recompute
}

/// How one statistic of batch norm is made.
enum StatisticMerge: Sendable {
    /// Like every other tensor, but not below zero.
    case clamped
    /// A weighted mean.
    case mean([Double])
    /// The variance of a mixture; the members' means follow their variances in the stack.
    case variance([Double])

    static func isMean(_ name: String) -> Bool { name == "running_mean" || name.hasSuffix(".running_mean") }

    static func isVariance(_ name: String) -> Bool { name == "running_var" || name.hasSuffix(".running_var") }

    /// The name of the mean beside a variance.
    static func mean(beside name: String) -> String { name.dropLast("running_var".count) + "running_mean" }

    /// The kernel of a tensor; `usual` is the method's.
    func kernel(_ usual: () throws -> any MergeKernel) throws -> any MergeKernel {
        switch self {
        case .clamped: ClampedMerge(inner: try usual())
        case .mean(let weights): Combination(weights: weights)
        case .variance(let weights): MixtureVariance(weights: weights)
        }
    }
}

/// The result of another method, negative values raised to zero: a variance is none of them.
private struct ClampedMerge: MergeKernel {
    let inner: any MergeKernel

    var passCount: Int { inner.passCount }

    func prepare(_ stack: TensorStack, jobs: Int) throws -> any PreparedMerge {
        Prepared(inner: try inner.prepare(stack, jobs: jobs))
    }

    private struct Prepared: PreparedMerge {
        let inner: any PreparedMerge

        func apply(
            _ range: Range<Int>, _ stack: TensorStack, into output: UnsafeMutableRawPointer, type: KernelType
        ) throws {
            var values = [Double](repeating: 0, count: range.count)
            try values.withUnsafeMutableBytes { raw in
                guard let base = raw.baseAddress else { return }
                try inner.apply(range, stack, into: base, type: .float64)
            }
            for index in values.indices where values[index] < 0 { values[index] = 0 }
            zoo_convert(values, KernelType.float64.rawValue, range.count, output, type.rawValue)
        }
    }
}

/// Σ aᵢ(varᵢ + meanᵢ²) − (Σ aᵢ meanᵢ)²: the variance of the models' inputs taken together.
private struct MixtureVariance: MergeKernel, PreparedMerge {
    let weights: [Double]

    var passCount: Int { 0 }

    func prepare(_ stack: TensorStack, jobs: Int) -> any PreparedMerge { self }

    func apply(
        _ range: Range<Int>, _ stack: TensorStack, into output: UnsafeMutableRawPointer, type: KernelType
    ) throws {
        var values: [Double] = []
        values.reserveCapacity(range.count)
        try stack.forEachBlock(range) { block in
            for index in 0..<block.count {
                var mean = 0.0, square = 0.0
                for (member, weight) in weights.enumerated() {
                    let center = block.element(block.values[weights.count + member], index)
                    mean += weight * center
                    square += weight * (block.element(block.values[member], index) + center * center)
                }
                values.append(max(0, square - mean * mean))
            }
        }
        zoo_convert(values, KernelType.float64.rawValue, range.count, output, type.rawValue)
    }
}
