import Foundation
import ZooBase
import ZooTensor

/// A matrix as U Σ Vᵀ cut after the largest singular values, exact or by a randomised range finder.
struct TruncatedDecomposition {
    /// Columns are left singular vectors.
    var u: Matrix
    /// Descending.
    var sigma: [Double]
    /// Columns are right singular vectors.
    var v: Matrix
    /// Σ of the squared singular values that were left out: the squared error of the product.
    var squaredError: Double
    /// Whether the vectors are those of the full decomposition.
    var isExact: Bool

    /// Directions beyond the rank that the range finder samples, and its power iterations (Halko, Martinsson and Tropp,
    /// SIAM Review 53, 2011, algorithm 4.4).
    static let oversampling = 10, powerIterations = 2
    /// The range finder pays while its directions are fewer than this share of the smaller side.
    static let sharePaid = 0.125

    /// Decomposes.
    ///
    /// - Parameters:
    ///   - threshold: singular values up to this are left out as well; 0 keeps all.
    ///   - exact: never use the range finder.
    init(_ matrix: Matrix, rank: Int, threshold: Double, exact: Bool, seed: UInt64) throws {
        let smaller = min(matrix.rows, matrix.columns)
        let sampled = rank + Self.oversampling
        let parts: (u: Matrix, sigma: [Double], v: Matrix)
        isExact = exact || Double(sampled) > Self.sharePaid * Double(smaller)
        if isExact {
            parts = try matrix.singularValues()
        } else {
            parts = try Self.sampled(matrix, sampled, seed)
        }
        var kept = min(rank, parts.sigma.count)
        if threshold > 0 { kept = min(kept, parts.sigma.prefix { $0 > threshold }.count) }
        u = parts.u.prefix(kept)
        v = parts.v.prefix(kept)
        sigma = Array(parts.sigma.prefix(kept))
        if isExact {
            squaredError = parts.sigma.dropFirst(kept).reduce(0) { $0 + $1 * $1 }
        } else {
            // ‖M − Q(QᵀM)ₖ‖² = ‖M‖² − Σ σₖ², for Q(QᵀM)ₖ is a projection of M.
            let whole = matrix.values.reduce(0) { $0 + $1 * $1 }
            squaredError = max(0, whole - sigma.reduce(0) { $0 + $1 * $1 })
        }
    }

    private static func sampled(_ matrix: Matrix, _ count: Int, _ seed: UInt64) throws -> (
        u: Matrix, sigma: [Double], v: Matrix
    ) {
        guard matrix.values.allSatisfy(\.isFinite) else { throw ZooError(.numeric, "a task vector is not finite") }
        var generator = SeededGenerator(seed: seed)
        var test = Matrix(rows: matrix.columns, columns: count)
        for place in stride(from: 0, to: test.values.count, by: 2) {
            // Box and Muller's pair of normal numbers.
            let radius = (-2 * log(1 - uniform(&generator))).squareRoot(), angle = 2 * Double.pi * uniform(&generator)
            test.values[place] = radius * cos(angle)
            if place + 1 < test.values.count { test.values[place + 1] = radius * sin(angle) }
        }
        var range = try matrix.times(test).singularValues().u
        for _ in 0..<powerIterations {
            let back = try matrix.times(range, transposed: true).singularValues().u
            range = try matrix.times(back).singularValues().u
        }
        let (u, sigma, v) = try range.times(matrix, transposed: true).singularValues()
        return (try range.times(u), sigma, v)
    }

    private static func uniform(_ generator: inout SeededGenerator) -> Double {
        Double(generator.next() >> 11) * 0x1p-53
    }
}
