#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// AdamW over a short vector of coefficients, in double precision (arXiv 1711.05101, algorithm 2, with PyTorch's order
/// of operations: decay first, then the step).
public struct AdamW: Sendable {
    /// The rate.
    public var rate: Double
    /// Decoupled weight decay.
    public var weightDecay: Double
    /// β₁ and β₂.
    public var betas = (0.9, 0.999)
    /// ε.
    public var epsilon = 1e-8
    private var mean: [Double] = []
    private var square: [Double] = []
    private var steps = 0

    /// Creates an optimiser without history.
    public init(rate: Double, weightDecay: Double = 0) {
        self.rate = rate
        self.weightDecay = weightDecay
    }

    /// One step.
    public mutating func step(_ values: inout [Double], gradient: [Double]) {
        precondition(values.count == gradient.count)
        if mean.isEmpty {
            mean = [Double](repeating: 0, count: values.count)
            square = mean
        }
        steps += 1
        let first = 1 - pow(betas.0, Double(steps)), second = 1 - pow(betas.1, Double(steps))
        for (place, g) in gradient.enumerated() {
            values[place] -= rate * weightDecay * values[place]
            mean[place] = betas.0 * mean[place] + (1 - betas.0) * g
            square[place] = betas.1 * square[place] + (1 - betas.1) * g * g
            values[place] -= rate * (mean[place] / first) / (sqrt(square[place] / second) + epsilon)
        }
    }
}
