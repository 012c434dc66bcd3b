import ZooBase
import ZooNN

/// A symmetric matrix known by its products with vectors: a Hessian, a Gauss–Newton matrix, a matrix in a test.
public struct CurvatureOperator: Sendable {
    /// Rows.
    public let dimension: Int
    /// Directions that are best multiplied together: what they share is computed once.
    public let blockSize: Int
    private let multiply: @Sendable ([[Double]]) throws -> [[Double]]

    /// An operator.
    ///
    /// - Parameter multiply: the products of several vectors, in order.
    public init(
        dimension: Int, blockSize: Int = 4, multiply: @escaping @Sendable ([[Double]]) throws -> [[Double]]
    ) {
        self.dimension = dimension
        self.blockSize = blockSize
        self.multiply = multiply
    }

    /// The Hessian of a mean loss at a point.
    public static func hessian(_ problem: LossProblem, at point: [Double]? = nil) -> CurvatureOperator {
        let point = point ?? problem.initial
        return CurvatureOperator(dimension: problem.layout.count) {
            try problem.hessianVectorProducts(at: point, along: $0).products
        }
    }

    /// The Gauss–Newton matrix of a mean loss at a point; for cross-entropy the Fisher matrix.
    public static func gaussNewton(_ problem: LossProblem, at point: [Double]? = nil) -> CurvatureOperator {
        let point = point ?? problem.initial
        return CurvatureOperator(dimension: problem.layout.count) {
            try problem.gaussNewtonProducts(at: point, along: $0).products
        }
    }

    /// The diagonal block of some rows and columns: of one tensor, of one layer.
    public func block(_ range: Range<Int>) -> CurvatureOperator {
        CurvatureOperator(dimension: range.count, blockSize: blockSize) { vectors in
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
        guard found.allSatisfy({ $0.allSatisfy(\.isFinite) }) else {
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
