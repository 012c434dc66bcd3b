import ZooBase

/// Eigenvalues of largest magnitude by power iteration with deflation, with PyHessian's stopping rule (arXiv
/// 1912.07145): for comparison with numbers computed that way. It may stop early when two eigenvalues are close, and
/// what it finds first may be negative; `LargestEigenvalues` has neither fault.
public struct PowerIteration: Sendable {
    /// The eigenvalues in the order in which they were found.
    public let eigenvalues: [Estimate]

    /// Iterates.
    ///
    /// - Parameters:
    ///   - count: how many.
    ///   - tolerance: relative change of the Rayleigh quotient at which one has converged.
    ///   - maximumSteps: products per eigenvalue at most.
    public init(
        _ matrix: CurvatureOperator, count: Int = 1, tolerance: Double = 1e-3, maximumSteps: Int = 100, seed: UInt64 = 0
    ) throws {
        var stream = RandomStream(seed: seed, "power")
        var found = Basis(dimension: matrix.dimension, jobs: matrix.jobs)
        var eigenvalues: [Estimate] = []
        for _ in 0..<min(count, matrix.dimension) {
            var vector = stream.normal(matrix.dimension)
            Vectors.normalise(&vector, jobs: matrix.jobs)
            var estimate = Estimate(value: .nan, error: nil, products: 0, isConverged: false)
            while estimate.products < maximumSteps, !estimate.isConverged {
                try Cancellation.check()
                try found.orthogonalise(&vector)
                Vectors.normalise(&vector, jobs: matrix.jobs)
                var product = try matrix.product(vector)
                let value = Vectors.dot(vector, product, jobs: matrix.jobs)
                estimate.products += 1
                estimate.isConverged = abs(value - estimate.value) / (abs(estimate.value) + 1e-6) < tolerance
                if estimate.value.isNaN { estimate.isConverged = false }
                estimate.value = value
                swap(&vector, &product)
                if Vectors.normalise(&vector, jobs: matrix.jobs) == 0 { estimate.isConverged = true }
            }
            found.append(vector)
            eigenvalues.append(estimate)
        }
        self.eigenvalues = eigenvalues
    }
}
