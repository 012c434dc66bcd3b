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

/// Orthonormal vectors of one length, kept row by row in pieces that need not move when more come.
struct Basis: Sendable {
    /// Numbers per vector.
    let dimension: Int
    /// Vectors so far.
    private(set) var count = 0
    private var chunks: [[Double]] = []
    private let rowsPerChunk: Int

    /// Numbers of a piece, about.
    private static let chunkElements = 1 << 20

    init(dimension: Int) {
        self.dimension = dimension
        rowsPerChunk = max(1, Self.chunkElements / max(1, dimension))
    }

    mutating func append(_ vector: [Double]) {
        if count % rowsPerChunk == 0 {
            chunks.append([])
            chunks[chunks.count - 1].reserveCapacity(min(rowsPerChunk, 64) * dimension)
        }
        chunks[chunks.count - 1] += vector
        count += 1
    }

    /// Takes everything that lies in the basis out of a vector, twice, so that rounding leaves nothing behind.
    func orthogonalise(_ vector: inout [Double]) throws {
        guard count > 0 else { return }
        for _ in 0..<2 {
            // The parts of all pieces come first: piece by piece would be another, no better, order of rounding.
            let parts = try chunks.map { rows in
                try LinearAlgebra.product(
                    rows, vector, rows: rows.count / dimension, columns: 1, depth: dimension)
            }
            for (rows, part) in zip(chunks, parts) {
                Vectors.add(-1, try Self.combination(part, rows, dimension), to: &vector)
            }
        }
    }

    /// Σ coefficients[i] · vector i.
    func combination(_ coefficients: [Double]) throws -> [Double] {
        var sum = [Double](repeating: 0, count: dimension)
        var start = 0
        for rows in chunks {
            let number = rows.count / dimension
            let part = Array(coefficients[start..<start + number])
            Vectors.add(1, try Self.combination(part, rows, dimension), to: &sum)
            start += number
        }
        return sum
    }

    private static func combination(_ coefficients: [Double], _ rows: [Double], _ dimension: Int) throws -> [Double] {
        try LinearAlgebra.product(coefficients, rows, rows: 1, columns: dimension, depth: coefficients.count)
    }

    /// Vector i.
    func vector(_ place: Int) -> [Double] {
        let start = place % rowsPerChunk * dimension
        return Array(chunks[place / rowsPerChunk][start..<start + dimension])
    }
}
