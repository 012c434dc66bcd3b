import ZooTensor

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// ln.
enum NaturalLogarithm {
    static func of(_ x: Double) -> Double { log(x) }
}

/// Long vectors in double precision.
enum Vectors {
    /// Σ aᵢ bᵢ, in four running sums: one alone would wait for every addition.
    static func dot(_ a: [Double], _ b: [Double]) -> Double {
        precondition(a.count == b.count)
        return a.withUnsafeBufferPointer { x in
            b.withUnsafeBufferPointer { y in
                var sums = SIMD8<Double>.zero
                let whole = x.count - x.count % 8
                for start in stride(from: 0, to: whole, by: 8) {
                    var p = SIMD8<Double>.zero, q = SIMD8<Double>.zero
                    for lane in 0..<8 {
                        p[lane] = x[start + lane]
                        q[lane] = y[start + lane]
                    }
                    sums += p * q
                }
                var total = sums.sum()
                for place in whole..<x.count { total += x[place] * y[place] }
                return total
            }
        }
    }

    static func norm(_ a: [Double]) -> Double { dot(a, a).squareRoot() }

    /// y += scale · x.
    static func add(_ scale: Double, _ x: [Double], to y: inout [Double]) {
        precondition(x.count == y.count)
        x.withUnsafeBufferPointer { x in
            y.withUnsafeMutableBufferPointer { y in
                for place in 0..<x.count { y[place] += scale * x[place] }
            }
        }
    }

    static func scaled(_ a: [Double], _ factor: Double) -> [Double] { a.map { $0 * factor } }

    /// a of length one; unchanged when it is zero.
    static func normalised(_ a: [Double]) -> [Double] {
        let length = norm(a)
        return length > 0 ? scaled(a, 1 / length) : a
    }
}

/// Orthonormal vectors of one length, kept row by row.
struct Basis {
    /// Numbers per vector.
    let dimension: Int
    /// Vectors so far.
    private(set) var count = 0
    private var rows: [Double] = []

    init(dimension: Int) { self.dimension = dimension }

    mutating func append(_ vector: [Double]) {
        rows += vector
        count += 1
    }

    /// Takes everything that lies in the basis out of a vector, twice, so that rounding leaves nothing behind.
    func orthogonalise(_ vector: inout [Double]) throws {
        guard count > 0 else { return }
        for _ in 0..<2 {
            let parts = try LinearAlgebra.product(rows, vector, rows: count, columns: 1, depth: dimension)
            Vectors.add(-1, try combination(parts), to: &vector)
        }
    }

    /// Σ coefficients[i] · vector i.
    func combination(_ coefficients: [Double]) throws -> [Double] {
        try LinearAlgebra.product(coefficients, rows, rows: 1, columns: dimension, depth: count)
    }

    /// Vector i.
    func vector(_ place: Int) -> [Double] { Array(rows[place * dimension..<(place + 1) * dimension]) }
}
