import ZooBase
import ZooTensor

/// A Lanczos run with full re-orthogonalisation: a symmetric matrix seen through a Krylov space (C. Lanczos, 1950).
public struct Lanczos: Sendable {
    /// Diagonal of the tridiagonal matrix.
    public private(set) var diagonal: [Double] = []
    /// Its off-diagonal, one shorter.
    public private(set) var offDiagonal: [Double] = []
    /// The length of what is left after the last step; zero when the space is exhausted.
    public private(set) var residual = 0.0
    private var basis: Basis

    /// Below this share of the matrix's size the space is exhausted.
    private static let breakdown = 1e-10

    /// Runs steps from a start.
    ///
    /// - Parameters:
    ///   - start: not zero; normalised here.
    ///   - steps: at most; never more than the dimension.
    ///   - isDone: asked after every step from the second on.
    /// - Throws: what products throw; `interrupted`.
    public init(
        _ matrix: CurvatureOperator, start: [Double], steps: Int,
        until isDone: (Lanczos) throws -> Bool = { _ in false }
    ) throws {
        basis = Basis(dimension: matrix.dimension)
        var vector = Vectors.normalised(start)
        for step in 0..<min(steps, matrix.dimension) {
            try Cancellation.check()
            var next = try matrix.product(vector)
            diagonal.append(Vectors.dot(vector, next))
            basis.append(vector)
            try basis.orthogonalise(&next)
            residual = Vectors.norm(next)
            let size = diagonal.map(\.magnitude).max() ?? 0
            if residual <= Self.breakdown * max(size, offDiagonal.max() ?? 0) {
                residual = 0
                return
            }
            if step + 1 == min(steps, matrix.dimension) { return }
            if step > 0, try isDone(self) { return }
            offDiagonal.append(residual)
            vector = Vectors.scaled(next, 1 / residual)
        }
    }

    /// Eigenvalues of the tridiagonal matrix, ascending, with the first and last component of each eigenvector.
    ///
    /// - Throws: `numeric` when they do not converge.
    public func ritzPairs() throws -> [(value: Double, first: Double, last: Double)] {
        let (values, vectors) = try decomposition()
        let m = diagonal.count
        return (0..<m).map { (values[$0], vectors[$0 * m], vectors[$0 * m + m - 1]) }
    }

    /// An approximate eigenvector: that of the Ritz value at a place of the ascending order.
    public func vector(_ place: Int) throws -> [Double] {
        let (_, vectors) = try decomposition()
        let m = diagonal.count
        return try basis.combination(Array(vectors[place * m..<(place + 1) * m]))
    }

    private func decomposition() throws -> (values: [Double], vectors: [Double]) {
        try LinearAlgebra.tridiagonalEigenvectors(
            diagonal: diagonal, offDiagonal: Array(offDiagonal.prefix(max(diagonal.count - 1, 0))))
    }
}

/// The ends of a spectrum.
public struct ExtremeEigenvalues: Sendable {
    /// The largest k eigenvalues, descending; each with the bound ‖Hv − λv‖ on its error.
    public let largest: [Estimate]
    /// The smallest eigenvalue.
    public let smallest: Estimate
    /// The eigenvector of the largest.
    public let topVector: [Double]

    /// Finds the ends with one Lanczos run.
    ///
    /// - Parameters:
    ///   - count: how many of the largest.
    ///   - tolerance: residual over |λ| at which an eigenvalue has converged.
    ///   - maximumSteps: products at most.
    /// - Throws: `numeric` when a product is not finite; what products throw.
    public init(
        _ matrix: CurvatureOperator, count: Int = 1, tolerance: Double = 1e-3, maximumSteps: Int = 60, seed: UInt64 = 0
    ) throws {
        var stream = RandomStream(seed: seed, "lanczos")
        let wanted = min(count, matrix.dimension)
        let run = try Lanczos(matrix, start: stream.normal(matrix.dimension), steps: maximumSteps) { run in
            guard run.diagonal.count > wanted, run.diagonal.count % 3 == 0 else { return false }
            let pairs = try run.ritzPairs()
            return pairs.suffix(wanted).allSatisfy { abs($0.last) * run.residual <= tolerance * abs($0.value) }
        }
        let pairs = try run.ritzPairs()
        func estimate(_ pair: (value: Double, first: Double, last: Double)) -> Estimate {
            let bound = abs(pair.last) * run.residual
            return Estimate(
                value: pair.value, error: bound, products: run.diagonal.count,
                isConverged: bound <= tolerance * abs(pair.value))
        }
        largest = pairs.suffix(wanted).reversed().map(estimate)
        smallest = estimate(pairs[0])
        topVector = try run.vector(pairs.count - 1)
    }
}
