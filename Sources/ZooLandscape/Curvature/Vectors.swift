import COpenBLAS

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
    static func dot(_ a: [Double], _ b: [Double]) -> Double { cblas_ddot(Int32(a.count), a, 1, b, 1) }

    static func norm(_ a: [Double]) -> Double { cblas_dnrm2(Int32(a.count), a, 1) }

    /// y += scale · x.
    static func add(_ scale: Double, _ x: [Double], to y: inout [Double]) {
        cblas_daxpy(Int32(x.count), scale, x, 1, &y, 1)
    }

    static func scaled(_ a: [Double], _ factor: Double) -> [Double] {
        var result = a
        cblas_dscal(Int32(result.count), factor, &result, 1)
        return result
    }

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
    func orthogonalise(_ vector: inout [Double]) {
        guard count > 0 else { return }
        var parts = [Double](repeating: 0, count: count)
        for _ in 0..<2 {
            cblas_dgemv(
                CblasRowMajor, CblasNoTrans, Int32(count), Int32(dimension), 1, rows, Int32(dimension), vector, 1, 0,
                &parts, 1)
            cblas_dgemv(
                CblasRowMajor, CblasTrans, Int32(count), Int32(dimension), -1, rows, Int32(dimension), parts, 1, 1,
                &vector, 1)
        }
    }

    /// Σ coefficients[i] · vector i.
    func combination(_ coefficients: [Double]) -> [Double] {
        var result = [Double](repeating: 0, count: dimension)
        cblas_dgemv(
            CblasRowMajor, CblasTrans, Int32(count), Int32(dimension), 1, rows, Int32(dimension), coefficients, 1, 0,
            &result, 1)
        return result
    }

    /// Vector i.
    func vector(_ place: Int) -> [Double] { Array(rows[place * dimension..<(place + 1) * dimension]) }
}
