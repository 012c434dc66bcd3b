import ZooBase

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The density of all eigenvalues by stochastic Lanczos quadrature (arXiv 1802.03451; PyHessian's density).
///
/// Each run from random signs gives nodes θ and weights that sum to one; their mean is a quadrature of the spectrum,
/// exact for polynomials up to degree 2m − 1 of each start.
public struct SpectralDensity: Sendable {
    /// One node: an eigenvalue and the share of the spectrum it stands for.
    public struct Node: Sendable, Hashable {
        /// θ.
        public var value: Double
        /// Its share.
        public var weight: Double
    }

    /// The nodes of each run, ascending.
    public let runs: [[Node]]
    /// Rows of the matrix.
    public let dimension: Int
    /// Products with the matrix.
    public let products: Int

    /// Estimates a density.
    ///
    /// - Parameters:
    ///   - steps: Lanczos steps per run.
    ///   - runs: starts.
    public init(_ matrix: CurvatureOperator, steps: Int = 100, runs: Int = 10, seed: UInt64 = 0) throws {
        dimension = matrix.dimension
        var products = 0
        self.runs = try (0..<max(1, runs)).map { index in
            var stream = RandomStream(seed: seed, "density", String(index))
            let run = try Lanczos(matrix, start: stream.rademacher(matrix.dimension), steps: steps)
            products += run.diagonal.count
            return try run.ritzPairs().map { Node(value: $0.value, weight: $0.first * $0.first) }
        }
        self.products = products
    }

    /// Σ over the spectrum of a function, dimension times the quadrature, with the standard error over runs.
    public func sum(_ function: (Double) -> Double) -> Estimate {
        let values = runs.map { run in
            Double(dimension) * run.reduce(0) { $0 + $1.weight * function($1.value) }
        }
        let n = Double(values.count)
        let mean = values.reduce(0, +) / n
        let squares = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        return Estimate(
            value: mean, error: n > 1 ? (squares / (n - 1) / n).squareRoot() : nil, products: products,
            isConverged: true)
    }

    /// The trace.
    public var trace: Estimate { sum { $0 } }

    /// The squared Frobenius norm.
    public var squaredFrobeniusNorm: Estimate { sum { $0 * $0 } }

    /// The share of eigenvalues in a range.
    public func share(_ range: ClosedRange<Double>) -> Double {
        runs.reduce(0) { total, run in
            total + run.reduce(0) { range.contains($1.value) ? $0 + $1.weight : $0 }
        } / Double(runs.count)
    }

    /// Σ λ/(λ+z): how many directions the data determines at prior precision z (D. MacKay, 1992). Negative
    /// eigenvalues count as zero.
    public func effectiveDimension(z: Double = 1) -> Estimate { sum { max($0, 0) / (max($0, 0) + z) } }

    /// The smoothed density on an even grid, its integral one: Gaussians of variance 1e-5 · max(1, range) at the nodes.
    public func curve(points: Int = 1000) -> (values: [Double], density: [Double]) {
        let low = runs.map { $0.first?.value ?? 0 }.reduce(0, +) / Double(runs.count) - 0.01
        let high = runs.map { $0.last?.value ?? 0 }.reduce(0, +) / Double(runs.count) + 0.01
        let variance = 1e-5 * max(1, high - low)
        let step = (high - low) / Double(points - 1)
        let values = (0..<points).map { low + Double($0) * step }
        var density = [Double](repeating: 0, count: points)
        for node in runs.joined() {
            for (place, value) in values.enumerated() {
                let distance = value - node.value
                density[place] += node.weight * exp(-distance * distance / (2 * variance))
            }
        }
        let total = density.reduce(0, +) * step
        return (values, total > 0 ? density.map { $0 / total } : density)
    }
}
