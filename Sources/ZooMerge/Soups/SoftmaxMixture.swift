#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Mixing weights of a learned soup: α[r] = softmax(R[r]) over the models, one row for the whole model or one per
/// tensor, and β, which scales the logits while learning (arXiv 2203.05482, appendix I).
public struct SoftmaxMixture: Sendable {
    /// Rows of weights: 1, or one per tensor.
    public let rowCount: Int
    /// Models.
    public let modelCount: Int
    /// R row by row, then β: everything that is learned, as one vector.
    public var values: [Double]

    /// R = 1/M everywhere, so that α is uniform, and β = 1.
    public init(rowCount: Int, modelCount: Int) {
        self.rowCount = rowCount
        self.modelCount = modelCount
        values = [Double](repeating: 1 / Double(modelCount), count: rowCount * modelCount) + [1]
    }

    /// β.
    public var temperature: Double { values[rowCount * modelCount] }

    /// α of one row, sum 1.
    public func weights(row: Int) -> [Double] {
        let raw = values[row * modelCount..<(row + 1) * modelCount]
        let largest = raw.max() ?? 0
        let powers = raw.map { exp($0 - largest) }
        let sum = powers.reduce(0, +)
        return powers.map { $0 / sum }
    }

    /// The gradient by R of one row from the gradient by its α: α(g − Σ α g).
    public func gradient(row: Int, byWeights g: [Double]) -> [Double] {
        let alpha = weights(row: row)
        let mean = zip(alpha, g).reduce(0) { $0 + $1.0 * $1.1 }
        return zip(alpha, g).map { $0 * ($1 - mean) }
    }
}
