import ZooBase
import ZooNN

/// A symmetric matrix known by its products with vectors: a Hessian, a Gauss–Newton matrix, a matrix in a test.
public struct CurvatureOperator: Sendable {
    /// Rows.
    public let dimension: Int
    /// Directions that are best multiplied together: what they share is computed once.
    public let blockSize: Int
    /// Threads that work on vectors may take.
    public let jobs: Int
    private let multiply: @Sendable ([[Double]]) throws -> [[Double]]

    /// An operator.
    ///
    /// - Parameter multiply: the products of several vectors, in order.
    public init(
        dimension: Int, blockSize: Int = 4, jobs: Int = 1,
        multiply: @escaping @Sendable ([[Double]]) throws -> [[Double]]
    ) {
        self.dimension = dimension
        self.blockSize = blockSize
        self.jobs = jobs
        self.multiply = multiply
    }

    /// The Hessian of a mean loss at a point.
    public static func hessian(_ problem: LossProblem, at point: [Double]? = nil) -> CurvatureOperator {
        CurvatureOperator(problem.curvature(.hessian, at: point ?? problem.initial))
    }

    /// The Gauss–Newton matrix of a mean loss at a point; for cross-entropy the Fisher matrix.
    public static func gaussNewton(_ problem: LossProblem, at point: [Double]? = nil) -> CurvatureOperator {
        CurvatureOperator(problem.curvature(.gaussNewton, at: point ?? problem.initial))
    }

    /// Numbers that the vectors of a block may hold together, about.
    private static let blockElements = 1 << 27

    private init(_ curvature: PointCurvature) {
        // Of long vectors as many as share a run well and fit memory; of short ones as many as share a run.
        self.init(
            dimension: curvature.dimension,
            blockSize: curvature.isLarge ? max(1, min(8, Self.blockElements / curvature.dimension)) : 4,
            jobs: curvature.jobs
        ) { try curvature.products(along: $0) }
    }

    /// The diagonal block of some rows and columns: of one tensor, of one layer.
    public func block(_ range: Range<Int>) -> CurvatureOperator {
        CurvatureOperator(dimension: range.count, blockSize: blockSize, jobs: jobs) { vectors in
            let wide = vectors.map { vector in
                var full = [Double](repeating: 0, count: dimension)
                full.replaceSubrange(range, with: vector)
                return full
            }
            return try products(wide).map { Array($0[range]) }
        }
    }

    /// The products of several vectors.
    ///
    /// - Throws: `numeric` when a product is not finite; what computing it throws.
    public func products(_ vectors: [[Double]]) throws -> [[Double]] {
        let found = try multiply(vectors)
        guard found.allSatisfy({ Vectors.isFinite($0) }) else {
            throw ZooError(.numeric, "a product with the curvature matrix is not finite")
        }
        return found
    }

    /// The product of one vector.
    public func product(_ vector: [Double]) throws -> [Double] { try products([vector])[0] }
}

/// A number with what is known of its quality.
public struct Estimate: Sendable, Hashable {
    /// The number.
    public var value: Double
    /// Standard error, or bound of the error; nil where there is none.
    public var error: Double?
    /// Products with the matrix that it took.
    public var products: Int
    /// Whether the rule for stopping was met.
    public var isConverged: Bool
}
