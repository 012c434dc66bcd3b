import ZooBase
import ZooTensor

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Data-free metrics of one layer's spectrum, with WeightWatcher's names and definitions (arXiv 2002.06716; nature
/// communications 12, 4122).
public struct LayerSpectrum: Sendable {
    /// What to compute beyond the spectrum.
    public struct Options: Sendable {
        /// Layers with fewer eigenvalues are left out.
        public var leastEigenvalues = 1
        /// Compare with shuffled weights.
        public var isRandomised = false
        /// Clip single large eigenvalues before the fit.
        public var clipsFingers = false
        /// Seed of the shuffles.
        public var seed: UInt64 = 0

        /// The defaults.
        public init() {}
    }

    /// The tensor's name.
    public let name: String
    /// The kind of layer.
    public let kind: LayerMatrix.Kind
    /// The longer side of the matrix, the shorter side, and their ratio N/M.
    public let longSide: Int
    /// The shorter side.
    public let shortSide: Int
    /// All eigenvalues λ = σ², ascending.
    public let eigenvalues: [Double]
    /// The fit of the tail; nil when it failed.
    public let fit: PowerLaw?
    /// Large eigenvalues that were clipped for the fit.
    public let fingerCount: Int
    /// Metrics of the shuffled weights, when asked for.
    public let shuffled: Shuffled?

    /// What shuffling the weights leaves.
    public struct Shuffled: Sendable, Hashable {
        /// The largest eigenvalue; of small layers the largest over five shuffles.
        public var largest: Double
        /// Jensen–Shannon distance between both spectra.
        public var distance: Double
        /// Largest of one shuffle over the layer's largest.
        public var softRank: Double
        /// The layer's largest minus that of one shuffle.
        public var excess: Double
    }

    /// Measures a layer.
    ///
    /// - Throws: `unsupported` when it has fewer eigenvalues than asked for; `numeric` when they do not converge.
    public init(_ layer: LayerMatrix, options: Options = Options()) throws {
        let count = layer.shortSide * layer.sliceCount
        guard count >= options.leastEigenvalues else {
            throw ZooError(.unsupported, "\(count) eigenvalues, fewer than \(options.leastEigenvalues)")
        }
        name = layer.name
        kind = layer.kind
        longSide = layer.longSide
        shortSide = layer.shortSide
        let values = try layer.eigenvalues()
        eigenvalues = values
        let clipped =
            options.clipsFingers ? PowerLaw.clippingFingers(values) : PowerLaw(values, rule: .automatic).map { ($0, 0) }
        fit = clipped?.fit
        fingerCount = clipped?.fingers ?? 0
        shuffled = options.isRandomised ? try Self.shuffle(layer, values, options.seed) : nil
    }

    // MARK: Scale

    /// N/M.
    public var aspectRatio: Double { Double(longSide) / Double(shortSide) }
    /// Σ λ, the squared Frobenius norm.
    public var norm: Double { eigenvalues.reduce(0, +) }
    /// λ_max (this field's "spectral norm" is σ²).
    public var spectralNorm: Double { eigenvalues.last ?? 0 }
    /// Σ λ / λ_max.
    public var stableRank: Double { norm / spectralNorm }
    /// log₁₀ Σ λ.
    public var logNorm: Double { log10(norm) }
    /// log₁₀ λ_max.
    public var logSpectralNorm: Double { log10(spectralNorm) }

    // MARK: Shape

    /// α · log₁₀ λ_max.
    public var alphaWeighted: Double? { fit.map { $0.alpha * logSpectralNorm } }
    /// log₁₀ Σ λ^α.
    public var logAlphaNorm: Double? {
        fit.map { fit in
            // From the largest on: λ^α overflows for the exponents that degenerate fits have.
            let top = log10(spectralNorm)
            let sum = eigenvalues.reduce(0) { $1 > 0 ? $0 + pow(10, fit.alpha * (log10($1) - top)) : $0 }
            return fit.alpha * top + log10(sum)
        }
    }
    /// Singular values above σ_max · N · ε of float32.
    public var matrixRank: Int {
        let limit = spectralNorm.squareRoot() * Double(longSide) * Double(Float.ulpOfOne)
        return eigenvalues.filter { $0.squareRoot() > limit }.count
    }
    /// Eigenvalues minus rank.
    public var rankLoss: Int { eigenvalues.count - matrixRank }
    /// −Σ p ln p / ln rank with p = λ/Σλ.
    public var entropy: Double {
        let sum = norm
        let rank = matrixRank
        guard sum > 0, rank > 1 else { return rank == 1 ? 0 : .nan }
        let total = eigenvalues.reduce(0) { total, value in
            let p = value / sum + 1e-10
            return total - p * log(p)
        }
        return total / log(Double(rank))
    }
    /// What to think of α: `over-trained` below 2, `under-trained` above 6, else nothing; why there is none.
    public var warning: String {
        guard let fit else { return "no power law can be fitted" }
        if fit.alpha < 2 { return "over-trained" }
        return fit.alpha > 6 ? "under-trained" : ""
    }

    // MARK: Shuffled weights

    /// Layers with fewer eigenvalues are shuffled five times for the largest.
    private static let fewEigenvalues = 100

    private static func shuffle(_ layer: LayerMatrix, _ values: [Double], _ seed: UInt64) throws -> Shuffled {
        var generator = RandomStream(seed: seed, "shuffle", layer.name)
        let first = try layer.shuffledEigenvalues(using: &generator)
        var largest = first.last ?? 0
        if values.count < fewEigenvalues {
            for _ in 1..<5 { largest = max(largest, try layer.shuffledEigenvalues(using: &generator).last ?? 0) }
        }
        let own = values.last ?? 0, one = first.last ?? 0
        return Shuffled(
            largest: largest, distance: jensenShannon(values, first), softRank: one / own, excess: own - one)
    }

    /// √(½ KL(p‖m) + ½ KL(q‖m)) of two spectra divided by their sums, natural logarithm.
    static func jensenShannon(_ a: [Double], _ b: [Double]) -> Double {
        let sumA = a.reduce(0, +), sumB = b.reduce(0, +)
        guard sumA > 0, sumB > 0 else { return .nan }
        var total = 0.0
        for (x, y) in zip(a, b) {
            let p = x / sumA, q = y / sumB, m = (p + q) / 2
            if p > 0 { total += p * log(p / m) / 2 }
            if q > 0 { total += q * log(q / m) / 2 }
        }
        return max(0, total).squareRoot()
    }
}
