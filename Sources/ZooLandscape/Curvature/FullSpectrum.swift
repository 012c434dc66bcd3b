import ZooBase
import ZooTensor

/// All eigenvalues of a matrix that fits memory: for networks of some thousand parameters.
public struct FullSpectrum: Sendable {
    /// The eigenvalues, ascending.
    public let eigenvalues: [Double]
    /// Sum of the diagonal.
    public let trace: Double
    /// Largest |H − Hᵀ| before it was made symmetric: the rounding of the products.
    public let asymmetry: Double

    /// Matrices with more rows are refused: they would take 8·n² bytes.
    public static let largestDimension = 20_000

    /// Multiplies by every unit vector and decomposes.
    ///
    /// - Throws: `limit` for too many rows; `numeric` when the decomposition does not converge.
    public init(_ matrix: CurvatureOperator, progress: ((Int) -> Void)? = nil) throws {
        let n = matrix.dimension
        guard n <= Self.largestDimension else {
            throw ZooError(
                .limit, "the full spectrum of \(n) parameters; \(Self.largestDimension) are the most",
                hint: "use the spectral density instead")
        }
        var rows = [Double](repeating: 0, count: n * n)
        // Blocks larger than those of an iteration: nothing waits for a single product here.
        let block = matrix.blockSize * 4
        for start in stride(from: 0, to: n, by: block) {
            try Cancellation.check()
            let range = start..<min(start + block, n)
            let units = range.map { place in
                var unit = [Double](repeating: 0, count: n)
                unit[place] = 1
                return unit
            }
            for (place, product) in zip(range, try matrix.products(units)) {
                rows.replaceSubrange(place * n..<(place + 1) * n, with: product)
            }
            progress?(range.count)
        }
        asymmetry = Self.symmetrise(&rows, n)
        trace = (0..<n).reduce(0) { $0 + rows[$1 * n + $1] }
        eigenvalues = try LinearAlgebra.symmetricEigenvalues(&rows, size: n)
    }

    /// The names of `measurements`, in their order.
    static let valueNames = [
        "top", "min", "trace", "frobenius", "negative_count", "effective_dimension", "participation",
    ].map { "full_" + $0 }

    /// What is kept of the spectrum: its ends, the trace, the Frobenius norm, how many eigenvalues are below zero beyond
    /// rounding, Σ max(λ, 0)/(max(λ, 0)+1), and the participation ratio (Σλ)²/Σλ².
    var measurements: [Measurement] {
        let top = eigenvalues.last ?? 0, size = max(abs(top), abs(eigenvalues.first ?? 0))
        let squares = eigenvalues.reduce(0) { $0 + $1 * $1 }
        return [
            Measurement("full_top", top), Measurement("full_min", eigenvalues.first),
            Measurement("full_trace", trace), Measurement("full_frobenius", squares.squareRoot()),
            Measurement("full_negative_count", Double(eigenvalues.count { $0 < -1e-5 * size })),
            Measurement(
                "full_effective_dimension", eigenvalues.reduce(0) { $0 + max($1, 0) / (max($1, 0) + 1) }),
            Measurement(
                "full_participation", squares > 0 ? trace * trace / squares : nil,
                reason: squares > 0 ? nil : "all eigenvalues are zero"),
        ]
    }

    /// (H + Hᵀ) / 2, block by block so that columns are read in the cache; returns the largest difference.
    private static func symmetrise(_ rows: inout [Double], _ n: Int) -> Double {
        var largest = 0.0
        let block = 64
        for i in stride(from: 0, to: n, by: block) {
            for j in stride(from: i, to: n, by: block) {
                for row in i..<min(i + block, n) {
                    for column in max(j, row + 1)..<max(min(j + block, n), max(j, row + 1)) {
                        let a = rows[row * n + column], b = rows[column * n + row]
                        largest = max(largest, abs(a - b))
                        rows[row * n + column] = (a + b) / 2
                        rows[column * n + row] = (a + b) / 2
                    }
                }
            }
        }
        return largest
    }
}
