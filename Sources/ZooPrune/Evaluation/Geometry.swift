import ZooBase
import ZooTensor

/// How embeddings lie on the sphere: secondary to what they retrieve.
public struct Geometry: Sendable, Hashable {
    /// Mean |f(x) − f(x⁺)|² over pairs (Wang and Isola, arXiv 2005.10242); less is closer.
    public var alignment: Double
    /// ln of the mean of exp(−2 |x − y|²) over all pairs of distinct texts; less is more even.
    public var uniformity: Double
    /// (Σ λ)² / Σ λ² of the covariance's eigenvalues: directions that are really used.
    public var effectiveDimension: Double

    /// Of unit vectors of queries and of what answers them.
    ///
    /// - Parameters:
    ///   - positives: as many vectors.
    ///   - limit: queries at most that uniformity compares with each other; the first ones.
    /// - Throws: `mismatch` for fewer than two pairs.
    public init(queries: [[Float]], positives: [[Float]], limit: Int = 2000) throws {
        guard queries.count == positives.count, queries.count > 1, let width = queries.first?.count else {
            throw ZooError(.mismatch, "geometry takes at least two pairs of vectors; there are \(queries.count)")
        }
        alignment =
            zip(queries, positives).reduce(0) { $0 + Self.squaredDistance($1.0, $1.1) } / Double(queries.count)
        let all = Array((queries + positives).prefix(limit))
        let flat = all.flatMap { $0 }
        let products = try LinearAlgebra.product(
            flat, flat, transposeB: true, rows: all.count, columns: all.count, depth: width)
        let squares = all.map { $0.reduce(0.0) { $0 + Double($1) * Double($1) } }
        var sum = 0.0
        for i in all.indices {
            for j in 0..<i {
                let distance = squares[i] + squares[j] - 2 * Double(products[i * all.count + j])
                sum += Functions.exponential(-2 * max(0, distance))
            }
        }
        uniformity = Functions.logarithm(sum / (Double(all.count) * Double(all.count - 1) / 2))
        effectiveDimension = try Self.effectiveDimension(queries + positives, width)
    }

    /// (Σ λ)² / Σ λ² = (tr C)² / ‖C‖²: no eigenvalues are needed. 0 when all vectors are one.
    static func effectiveDimension(_ vectors: [[Float]], _ width: Int) throws -> Double {
        var mean = [Double](repeating: 0, count: width)
        for vector in vectors { for (place, number) in vector.enumerated() { mean[place] += Double(number) } }
        for place in mean.indices { mean[place] /= Double(vectors.count) }
        let centred = vectors.flatMap { vector in vector.indices.map { Double(vector[$0]) - mean[$0] } }
        let covariance = try LinearAlgebra.product(
            centred, transposeA: true, centred, rows: width, columns: width, depth: vectors.count)
        let trace = (0..<width).reduce(0) { $0 + covariance[$1 * width + $1] }
        let norm = covariance.reduce(0) { $0 + $1 * $1 }
        return norm > 0 ? trace * trace / norm : 0
    }

    /// The cosine of two vectors; 0 when one is zero.
    public static func cosine(_ a: [Float], _ b: [Float]) -> Double {
        var product = 0.0, first = 0.0, second = 0.0
        for (x, y) in zip(a, b) {
            product += Double(x) * Double(y)
            first += Double(x) * Double(x)
            second += Double(y) * Double(y)
        }
        return first > 0 && second > 0 ? product / (first * second).squareRoot() : 0
    }

    /// The mean cosine of two models' vectors of the same texts.
    public static func meanCosine(_ a: [[Float]], _ b: [[Float]]) -> Double {
        zip(a, b).reduce(0) { $0 + cosine($1.0, $1.1) } / Double(max(1, a.count))
    }

    private static func squaredDistance(_ a: [Float], _ b: [Float]) -> Double {
        zip(a, b).reduce(0) { $0 + (Double($1.0) - Double($1.1)) * (Double($1.0) - Double($1.1)) }
    }
}
