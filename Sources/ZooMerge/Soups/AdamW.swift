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
    /// What an optimiser remembers between steps.
    public struct Memory: Sendable, Hashable {
        /// Running mean of gradients; empty before the first step.
        public var mean: [Double] = []
        /// Running mean of their squares.
        public var square: [Double] = []
        /// Steps taken.
        public var steps = 0

        /// No history.
        public init() {}
    }

    /// The rate.
    public var rate: Double
    /// Decoupled weight decay.
    public var weightDecay: Double
    /// β₁ and β₂.
    public var betas = (0.9, 0.999)
    /// ε.
    public var epsilon = 1e-8
    /// What it remembers; set it to go on where another stopped.
    public var memory = Memory()

    /// Creates an optimiser without history.
    public init(rate: Double, weightDecay: Double = 0) {
        self.rate = rate
        self.weightDecay = weightDecay
    }

    /// One step.
    public mutating func step(_ values: inout [Double], gradient: [Double]) {
        precondition(values.count == gradient.count)
        if memory.mean.isEmpty {
            memory.mean = [Double](repeating: 0, count: values.count)
            memory.square = memory.mean
        }
        memory.steps += 1
        let first = 1 - pow(betas.0, Double(memory.steps)), second = 1 - pow(betas.1, Double(memory.steps))
        for (place, g) in gradient.enumerated() {
            values[place] -= rate * weightDecay * values[place]
            memory.mean[place] = betas.0 * memory.mean[place] + (1 - betas.0) * g
            memory.square[place] = betas.1 * memory.square[place] + (1 - betas.1) * g * g
            values[place] -= rate * (memory.mean[place] / first) / (sqrt(memory.square[place] / second) + epsilon)
        }
    }
}
