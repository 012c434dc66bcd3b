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
    private(set) var basis: Basis

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
        basis = Basis(dimension: matrix.dimension, jobs: matrix.jobs)
        var vector = start
        Vectors.normalise(&vector, jobs: matrix.jobs)
        basis.rounded(&vector)
        for step in 0..<min(steps, matrix.dimension) {
            try Cancellation.check()
            var next = try matrix.product(vector)
            diagonal.append(Vectors.dot(vector, next, jobs: matrix.jobs))
            basis.append(vector)
            try basis.orthogonalise(&next)
            residual = Vectors.norm(next, jobs: matrix.jobs)
            let size = diagonal.map(\.magnitude).max() ?? 0
            if residual <= Self.breakdown * max(size, offDiagonal.max() ?? 0) {
                residual = 0
                return
            }
            if step + 1 == min(steps, matrix.dimension) { return }
            if step > 0, try isDone(self) { return }
            offDiagonal.append(residual)
            Vectors.scale(&next, 1 / residual, jobs: matrix.jobs)
            basis.rounded(&next)
            vector = next
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

/// An orthonormal basis Q of a space that a matrix has been seen on, with the trace of QᵀHQ: what is known of the
/// matrix there need not be estimated again.
struct KnownSpace: Sendable {
    let basis: Basis
    let trace: Double
}

/// The largest eigenvalues of a matrix.
public struct LargestEigenvalues: Sendable {
    /// The largest k, descending; each with the bound ‖Hv − λv‖ on its error.
    public let values: [Estimate]
    /// The eigenvector of the largest.
    public let topVector: [Double]
    /// The Krylov space that they were found in.
    let space: KnownSpace

    /// Bytes that the vectors of a run may take, about: long vectors get fewer steps.
    private static let memoryLimit = 4 << 30

    /// Finds them with one Lanczos run.
    ///
    /// - Parameters:
    ///   - count: how many.
    ///   - tolerance: residual over |λ| at which an eigenvalue has converged.
    ///   - maximumSteps: products at most.
    /// - Throws: `numeric` when a product is not finite; what products throw.
    public init(
        _ matrix: CurvatureOperator, count: Int = 1, tolerance: Double = 1e-3, maximumSteps: Int = 60, seed: UInt64 = 0
    ) throws {
        var stream = RandomStream(seed: seed, "lanczos")
        let wanted = min(count, matrix.dimension)
        let steps = max(2, min(maximumSteps, Self.memoryLimit / max(1, Basis.bytes(matrix.dimension))))
        let run = try Lanczos(matrix, start: stream.normal(matrix.dimension), steps: steps) { run in
            guard run.diagonal.count > wanted, run.diagonal.count % 2 == 0 else { return false }
            let pairs = try run.ritzPairs()
            return pairs.suffix(wanted).allSatisfy { abs($0.last) * run.residual <= tolerance * abs($0.value) }
        }
        let pairs = try run.ritzPairs()
        values = pairs.suffix(wanted).reversed().map { pair in
            let bound = abs(pair.last) * run.residual
            return Estimate(
                value: pair.value, error: bound, products: run.diagonal.count,
                isConverged: bound <= tolerance * abs(pair.value))
        }
        topVector = try run.vector(pairs.count - 1)
        space = KnownSpace(basis: run.basis, trace: run.diagonal.reduce(0, +))
    }

    /// The smallest eigenvalue: the largest of −H, by a run of its own that goes on until it has converged.
    ///
    /// - Parameter maximumSteps: products at most; the smallest eigenvalue of a network's Hessian is small beside the
    ///   largest and takes many.
    public static func smallest(
        of matrix: CurvatureOperator, tolerance: Double = 1e-3, maximumSteps: Int = 300, seed: UInt64 = 0
    ) throws -> Estimate {
        let negative = CurvatureOperator(
            dimension: matrix.dimension, blockSize: matrix.blockSize, jobs: matrix.jobs
        ) { vectors in
            var products = try matrix.products(vectors)
            for place in products.indices { Vectors.scale(&products[place], -1, jobs: matrix.jobs) }
            return products
        }
        var found = try LargestEigenvalues(
            negative, tolerance: tolerance, maximumSteps: maximumSteps, seed: seed
        ).values[0]
        found.value = -found.value
        return found
    }
}
