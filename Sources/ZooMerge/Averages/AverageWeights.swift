import ZooBase

/// The weights that turn a list of checkpoints into an average; every method of averaging is one weight vector.
public enum AverageWeights {
    /// 1/M each: the uniform soup, SWA over the listed checkpoints, LAWA over the latest k (arXiv 2203.05482 §2,
    /// 1803.05407, 2209.14981).
    public static func uniform(count: Int) -> [Double] { Array(repeating: 1 / Double(count), count: count) }

    /// Given weights, divided by their sum unless `normalise` is off.
    ///
    /// - Throws: `usage` when the count is wrong, one is not finite, or the sum is zero and must be divided by.
    public static func weighted(_ weights: [Double], count: Int, normalise: Bool = true) throws -> [Double] {
        guard weights.count == count else {
            throw ZooError(.usage, "\(weights.count) weights for \(count) checkpoints", hint: "give one per checkpoint")
        }
        guard weights.allSatisfy(\.isFinite) else { throw ZooError(.usage, "a weight is not a finite number") }
        guard normalise else { return weights }
        // Scaled by the largest first: a sum of large weights would overflow and make every quotient zero.
        let largest = weights.map(\.magnitude).max() ?? 0
        guard largest > 0 else { throw ZooError(.usage, "all weights are zero") }
        let scaled = weights.map { $0 / largest }
        let sum = scaled.reduce(0, +)
        guard sum.magnitude > 1e-12 else {
            throw ZooError(.usage, "the weights sum to zero", hint: "give weights with a sum other than zero")
        }
        return scaled.map { $0 / sum }
    }

    /// Exponential moving average over stored checkpoints, oldest first: e₁ = c₁, eⱼ = δ eⱼ₋₁ + (1−δ) cⱼ.
    ///
    /// - Parameters:
    ///   - decay: δ in [0, 1).
    ///   - biasCorrected: start from zero and divide by 1 − δⁿ.
    /// - Throws: `usage` when the decay is outside [0, 1).
    public static func exponential(count: Int, decay: Double, biasCorrected: Bool = false) throws -> [Double] {
        guard decay >= 0, decay < 1 else { throw ZooError(.usage, "decay \(decay) is outside [0, 1)") }
        var weights = [Double](repeating: 0, count: count)
        var power = 1.0
        for position in stride(from: count - 1, through: 0, by: -1) {
            weights[position] = position == 0 && !biasCorrected ? power : (1 - decay) * power
            power *= decay
        }
        // After the loop `power` is δⁿ: the weight that a start from zero never received.
        return biasCorrected ? weights.map { $0 / (1 - power) } : weights
    }

    /// WiSE-FT: (1−α)·zero-shot + α·fine-tuned (arXiv 2109.01903, equation 1).
    ///
    /// - Throws: `usage` when the alpha is not finite.
    public static func interpolation(alpha: Double) throws -> [Double] {
        guard alpha.isFinite else { throw ZooError(.usage, "alpha is not a finite number") }
        return [1 - alpha, alpha]
    }
}
