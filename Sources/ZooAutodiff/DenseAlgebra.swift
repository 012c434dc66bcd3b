import ZooBase

/// Products and solutions of dense row-major matrices in double precision, for work beside programs: Gram matrices,
/// costs of assignments, least squares. Single-threaded, like every kernel here.
public enum DenseAlgebra {
    /// C ← op(A) op(B) + β C. Leading dimensions are row lengths of the stored matrices.
    ///
    /// - Precondition: `BLASLibrary.load()` has succeeded.
    public static func multiply(
        _ a: UnsafePointer<Double>, _ b: UnsafePointer<Double>, transposeA: Bool = false, transposeB: Bool = false,
        rows: Int, columns: Int, depth: Int, adding beta: Double = 0, into c: UnsafeMutablePointer<Double>
    ) {
        guard rows > 0, columns > 0, depth > 0 else { return }
        Double.gemm(
            transposeA, transposeB, rows, columns, depth, a, transposeA ? rows : depth, b,
            transposeB ? depth : columns, beta, c, columns)
    }

    /// The same in single precision.
    public static func multiply(
        _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, transposeA: Bool = false, transposeB: Bool = false,
        rows: Int, columns: Int, depth: Int, adding beta: Float = 0, into c: UnsafeMutablePointer<Float>
    ) {
        guard rows > 0, columns > 0, depth > 0 else { return }
        Float.gemm(
            transposeA, transposeB, rows, columns, depth, a, transposeA ? rows : depth, b,
            transposeB ? depth : columns, beta, c, columns)
    }

    /// X of X·S = B for a symmetric positive definite S `[n, n]` and B `[rows, n]`, by Cholesky; nil when a pivot is
    /// not positive.
    public static func solve(_ s: [Double], size n: Int, rightSides b: [Double], rows: Int) -> [Double]? {
        precondition(s.count == n * n && b.count == rows * n)
        guard let factor = cholesky(s, n) else { return nil }
        var x = b
        x.withUnsafeMutableBufferPointer { x in
            factor.withUnsafeBufferPointer { l in
                for row in 0..<rows {
                    substitute(l, n, UnsafeMutableBufferPointer(rebasing: x[row * n..<(row + 1) * n]))
                }
            }
        }
        return x
    }

    /// The lower factor of S = L Lᵀ.
    private static func cholesky(_ s: [Double], _ n: Int) -> [Double]? {
        var l = s
        let isDefinite = l.withUnsafeMutableBufferPointer { l in
            for j in 0..<n {
                let row = UnsafeBufferPointer(rebasing: l[j * n..<(j + 1) * n])
                var pivot = row[j]
                for k in 0..<j { pivot -= row[k] * row[k] }
                guard pivot > 0, pivot.isFinite else { return false }
                let diagonal = pivot.squareRoot()
                l[j * n + j] = diagonal
                for i in j + 1..<max(n, j + 1) {
                    var sum = l[i * n + j]
                    for k in 0..<j { sum -= l[i * n + k] * row[k] }
                    l[i * n + j] = sum / diagonal
                }
            }
            return true
        }
        return isDefinite ? l : nil
    }

    private static func substitute(_ l: UnsafeBufferPointer<Double>, _ n: Int, _ x: UnsafeMutableBufferPointer<Double>)
    {
        for i in 0..<n {
            var sum = x[i]
            for k in 0..<i { sum -= l[i * n + k] * x[k] }
            x[i] = sum / l[i * n + i]
        }
        for i in stride(from: n - 1, through: 0, by: -1) {
            let value = x[i] / l[i * n + i]
            x[i] = value
            for k in 0..<i { x[k] -= l[i * n + k] * value }
        }
    }
}
