import CZooBLAS
import ZooBase

/// Dense linear algebra in double precision over row-major arrays, by OpenBLAS and its LAPACK.
public enum LinearAlgebra {
    /// op(A) op(B), `rows` × `columns`, over `depth`.
    ///
    /// - Parameters:
    ///   - transposeA: A is stored `depth` × `rows`.
    ///   - transposeB: B is stored `columns` × `depth`.
    /// - Throws: `unsupported` when OpenBLAS is not installed; so do the others.
    public static func product(
        _ a: [Double], transposeA: Bool = false, _ b: [Double], transposeB: Bool = false, rows: Int, columns: Int,
        depth: Int
    ) throws -> [Double] {
        precondition(a.count == rows * depth && b.count == columns * depth)
        try BLASLibrary.load()
        guard depth > 0, rows > 0, columns > 0 else { return [Double](repeating: 0, count: rows * columns) }
        return [Double](unsafeUninitializedCapacity: rows * columns) { target, count in
            zoo_dgemm(
                transposeA ? 1 : 0, transposeB ? 1 : 0, Int32(rows), Int32(columns), Int32(depth), a,
                Int32(transposeA ? rows : depth), b, Int32(transposeB ? depth : columns), 0, target.baseAddress,
                Int32(columns))
            count = rows * columns
        }
    }

    /// The same in single precision.
    public static func product(
        _ a: [Float], transposeA: Bool = false, _ b: [Float], transposeB: Bool = false, rows: Int, columns: Int,
        depth: Int
    ) throws -> [Float] {
        precondition(a.count == rows * depth && b.count == columns * depth)
        try BLASLibrary.load()
        guard depth > 0, rows > 0, columns > 0 else { return [Float](repeating: 0, count: rows * columns) }
        return [Float](unsafeUninitializedCapacity: rows * columns) { target, count in
            zoo_sgemm(
                transposeA ? 1 : 0, transposeB ? 1 : 0, Int32(rows), Int32(columns), Int32(depth), a,
                Int32(transposeA ? rows : depth), b, Int32(transposeB ? depth : columns), 0, target.baseAddress,
                Int32(columns))
            count = rows * columns
        }
    }

    /// The eigenvalues of a symmetric matrix, ascending; only one triangle is read.
    ///
    /// - Parameter matrix: n × n; overwritten.
    /// - Throws: `numeric` when they do not converge.
    public static func symmetricEigenvalues(_ matrix: inout [Double], size n: Int) throws -> [Double] {
        precondition(matrix.count == n * n)
        var values = [Double](repeating: 0, count: n)
        try check(zoo_dsyevd(Int32(n), &matrix, &values, false), "dsyevd")
        return values
    }

    /// The eigenvalues of a symmetric matrix, ascending, and its eigenvectors, row by row; only one triangle is read.
    ///
    /// - Throws: `numeric` when they do not converge.
    public static func symmetricEigenvectors(
        _ matrix: [Double], size n: Int
    ) throws -> (values: [Double], vectors: [Double]) {
        precondition(matrix.count == n * n)
        var values = [Double](repeating: 0, count: n), vectors = matrix
        try check(zoo_dsyevd(Int32(n), &vectors, &values, true), "dsyevd")
        return (values, vectors)
    }

    /// Eigenvalues, ascending, and eigenvectors, row by row, of a symmetric tridiagonal matrix.
    ///
    /// - Parameter offDiagonal: one shorter than the diagonal.
    /// - Throws: `numeric` when they do not converge.
    public static func tridiagonalEigenvectors(
        diagonal: [Double], offDiagonal: [Double]
    ) throws -> (values: [Double], vectors: [Double]) {
        let n = diagonal.count
        precondition(offDiagonal.count == max(n - 1, 0))
        var values = diagonal
        // LAPACK takes the address of the off-diagonal even when there is none.
        var rest = offDiagonal + [0]
        var vectors = [Double](repeating: 0, count: n * n)
        try check(zoo_dstev(Int32(n), &values, &rest, &vectors), "dstev")
        return (values, vectors)
    }

    /// A = U diag(s) Vᵀ with k = min(rows, columns): U `rows` × k, Vᵀ k × `columns`, s descending.
    ///
    /// - Throws: `numeric` when the iteration does not converge.
    public static func singularValueDecomposition(
        _ matrix: [Double], rows: Int, columns: Int
    ) throws -> (u: [Double], values: [Double], vt: [Double]) {
        precondition(matrix.count == rows * columns)
        let k = min(rows, columns)
        var a = matrix
        var values = [Double](repeating: 0, count: k)
        var u = [Double](repeating: 0, count: rows * k), vt = [Double](repeating: 0, count: k * columns)
        try check(zoo_dgesdd(Int32(rows), Int32(columns), &a, &values, &u, &vt), "dgesdd")
        return (u, values, vt)
    }

    /// The upper factor U, row by row, of the inverse of a symmetric positive definite matrix: A⁻¹ = UᵀU.
    ///
    /// - Throws: `numeric` when the matrix is not positive definite.
    public static func inverseUpperCholesky(_ matrix: [Double], size n: Int) throws -> [Double] {
        precondition(matrix.count == n * n)
        var a = matrix
        try BLASLibrary.load()
        let code = zoo_inverse_upper_cholesky(Int32(n), &a)
        guard code <= 0 else { throw ZooError(.numeric, "the matrix is not positive definite (row \(code))") }
        try check(code, "dpotrf")
        return a
    }

    private static func check(_ code: Int32, _ routine: String) throws {
        switch code {
        case 0: return
        case Int32(ZOO_LAPACK_MISSING):
            try BLASLibrary.load()
            throw ZooError(
                .unsupported, "this OpenBLAS has no LAPACK (\(routine))",
                hint: "install a complete one (Debian: apt-get install libopenblas0)")
        case Int32(ZOO_LAPACK_MEMORY): throw ZooError(.limit, "not enough memory for a decomposition (\(routine))")
        default: throw ZooError(.numeric, "a decomposition does not converge (LAPACK \(routine): \(code))")
        }
    }
}
