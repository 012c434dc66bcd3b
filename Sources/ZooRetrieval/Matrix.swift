import ZooBase
import ZooTensor

/// A dense row-major matrix in double precision: features `[N, D]`, probabilities `[N, Z]`.
public struct Matrix: Sendable, Hashable {
    /// Rows.
    public let rows: Int
    /// Columns.
    public let columns: Int
    /// The values, row by row.
    public var values: [Double]

    /// A matrix of given values. Precondition: there are rows × columns of them.
    public init(_ values: [Double], rows: Int, columns: Int) {
        precondition(values.count == rows * columns)
        self.rows = rows
        self.columns = columns
        self.values = values
    }

    /// A matrix of zeros.
    public init(rows: Int, columns: Int) {
        self.init([Double](repeating: 0, count: rows * columns), rows: rows, columns: columns)
    }

    /// A matrix from its rows. Precondition: they are equally long.
    public init(_ rows: [[Double]]) {
        self.init(rows.flatMap { $0 }, rows: rows.count, columns: rows.first?.count ?? 0)
    }

    /// One element.
    public subscript(_ row: Int, _ column: Int) -> Double {
        get { values[row * columns + column] }
        set { values[row * columns + column] = newValue }
    }

    /// One row.
    public func row(_ row: Int) -> ArraySlice<Double> { values[row * columns..<(row + 1) * columns] }

    /// The mean of the rows.
    package func columnMeans() -> [Double] {
        var means = [Double](repeating: 0, count: columns)
        for row in 0..<rows { for column in 0..<columns { means[column] += self[row, column] } }
        return means.map { $0 / Double(max(1, rows)) }
    }

    /// The rows minus their mean.
    package func centred() -> Matrix {
        let means = columnMeans()
        var result = self
        for row in 0..<rows { for column in 0..<columns { result[row, column] -= means[column] } }
        return result
    }

    /// Some rows.
    package func selecting(_ rows: [Int]) -> Matrix {
        Matrix(rows.flatMap { Array(row($0)) }, rows: rows.count, columns: columns)
    }

    /// The mean row of each class, and how many rows it has. Precondition: labels lie below `classCount`.
    func classMeans(_ labels: [Int], classCount: Int) -> (means: Matrix, counts: [Int]) {
        var means = Matrix(rows: classCount, columns: columns)
        var counts = [Int](repeating: 0, count: classCount)
        for row in 0..<rows {
            counts[labels[row]] += 1
            for column in 0..<columns { means[labels[row], column] += self[row, column] }
        }
        for c in 0..<classCount { for column in 0..<columns { means[c, column] /= Double(max(1, counts[c])) } }
        return (means, counts)
    }

    /// A · B, or A · Bᵀ.
    package func times(_ other: Matrix, transposed: Bool = false) throws -> Matrix {
        let outputs = transposed ? other.rows : other.columns
        return Matrix(
            try LinearAlgebra.product(
                values, other.values, transposeB: transposed, rows: rows, columns: outputs, depth: columns),
            rows: rows, columns: outputs)
    }

    /// Aᵀ · A.
    func gram() throws -> Matrix {
        Matrix(
            try LinearAlgebra.product(values, transposeA: true, values, rows: columns, columns: columns, depth: rows),
            rows: columns, columns: columns)
    }

    /// Thin singular value decomposition without the values that are noise.
    ///
    /// - Parameter cutoff: values up to this share of the largest are left out.
    /// - Returns: U `[rows, k]`, k values, descending, and V `[k, columns]`.
    func decomposition(cutoff: Double) throws -> (u: Matrix, values: [Double], vt: Matrix) {
        let full = try LinearAlgebra.singularValueDecomposition(values, rows: rows, columns: columns)
        let width = min(rows, columns)
        let kept = full.values.prefix { $0 > cutoff * (full.values.first ?? 0) && $0 > 0 }.count
        var u = Matrix(rows: rows, columns: kept)
        for row in 0..<rows { for k in 0..<kept { u[row, k] = full.u[row * width + k] } }
        let vt = Matrix(Array(full.vt.prefix(kept * columns)), rows: kept, columns: columns)
        return (u, Array(full.values.prefix(kept)), vt)
    }

    /// Singular values alone, descending.
    func singularValues() throws -> [Double] {
        rows == 0 || columns == 0
            ? [] : try LinearAlgebra.singularValueDecomposition(values, rows: rows, columns: columns).values
    }

    /// The rows, centred, in the basis of their principal components.
    ///
    /// - Parameters:
    ///   - limit: the most components.
    ///   - share: as many components as explain this share of the variance.
    func principalComponents(limit: Int, share: Double = 1) throws -> Matrix {
        let parts = try centred().decomposition(cutoff: 1e-10)
        let total = parts.values.reduce(0) { $0 + $1 * $1 }
        var count = 0, explained = 0.0
        while count < min(limit, parts.values.count), share >= 1 || explained < share * total {
            explained += parts.values[count] * parts.values[count]
            count += 1
        }
        var result = Matrix(rows: rows, columns: max(count, 1))
        for row in 0..<rows { for k in 0..<count { result[row, k] = parts.u[row, k] * parts.values[k] } }
        return result
    }
}
