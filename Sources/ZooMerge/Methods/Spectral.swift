import ZooBase
import ZooTensor

/// A row-major matrix of doubles, as large as one weight matrix: what spectral methods work on.
struct Matrix: Sendable {
    var rows: Int
    var columns: Int
    var values: [Double]

    init(rows: Int, columns: Int, values: [Double]) {
        self.rows = rows
        self.columns = columns
        self.values = values
    }

    init(rows: Int, columns: Int) {
        self.init(rows: rows, columns: columns, values: [Double](repeating: 0, count: rows * columns))
    }

    /// self · other, either transposed.
    func times(_ other: Matrix, transposed: Bool = false, otherTransposed: Bool = false) throws -> Matrix {
        let m = transposed ? columns : rows, k = transposed ? rows : columns
        let n = otherTransposed ? other.rows : other.columns
        return Matrix(
            rows: m, columns: n,
            values: try LinearAlgebra.product(
                values, transposeA: transposed, other.values, transposeB: otherTransposed, rows: m, columns: n,
                depth: k))
    }

    static func + (left: Matrix, right: Matrix) -> Matrix {
        Matrix(rows: left.rows, columns: left.columns, values: zip(left.values, right.values).map { $0 + $1 })
    }

    static func - (left: Matrix, right: Matrix) -> Matrix {
        Matrix(rows: left.rows, columns: left.columns, values: zip(left.values, right.values).map { $0 - $1 })
    }

    func scaled(_ factor: Double) -> Matrix { Matrix(rows: rows, columns: columns, values: values.map { $0 * factor }) }

    /// The first columns.
    func prefix(_ count: Int) -> Matrix {
        var result = Matrix(rows: rows, columns: count)
        for row in 0..<rows {
            for column in 0..<count { result.values[row * count + column] = values[row * columns + column] }
        }
        return result
    }

    /// Columns side by side.
    static func joined(_ parts: [Matrix]) -> Matrix {
        let rows = parts.first?.rows ?? 0, columns = parts.reduce(0) { $0 + $1.columns }
        var result = Matrix(rows: rows, columns: columns)
        var start = 0
        for part in parts {
            for row in 0..<rows {
                for column in 0..<part.columns {
                    result.values[row * columns + start + column] = part.values[row * part.columns + column]
                }
            }
            start += part.columns
        }
        return result
    }

    /// Rows for columns.
    func transposed() -> Matrix {
        var result = Matrix(rows: columns, columns: rows)
        for row in 0..<rows {
            for column in 0..<columns { result.values[column * rows + row] = values[row * columns + column] }
        }
        return result
    }

    /// Columns multiplied by factors.
    func columnsScaled(_ factors: [Double]) -> Matrix {
        var result = self
        for row in 0..<rows { for column in 0..<columns { result.values[row * columns + column] *= factors[column] } }
        return result
    }

    /// The thin singular value decomposition U Σ Vᵀ by divide and conquer; V as columns.
    ///
    /// - Throws: `numeric` when it does not converge or an element is not finite.
    func singularValues() throws -> (u: Matrix, sigma: [Double], v: Matrix) {
        let rank = min(rows, columns)
        guard rank > 0 else { return (Matrix(rows: rows, columns: 0), [], Matrix(rows: columns, columns: 0)) }
        guard values.allSatisfy(\.isFinite) else { throw ZooError(.numeric, "a task vector is not finite") }
        let (left, sigma, right) = try LinearAlgebra.singularValueDecomposition(values, rows: rows, columns: columns)
        let u = Matrix(rows: rows, columns: rank, values: left)
        var v = Matrix(rows: columns, columns: rank)
        for row in 0..<rank {
            for column in 0..<columns { v.values[column * rank + row] = right[row * columns + column] }
        }
        return (u, sigma, v)
    }

    /// The nearest matrix with orthonormal columns: P Qᵀ of the decomposition P D Qᵀ.
    func polarFactor() throws -> Matrix {
        let (p, _, q) = try singularValues()
        return try p.times(q, otherTransposed: true)
    }
}

/// Methods that treat weight matrices by their singular values and average everything else.
struct SpectralMerge: MergeKernel {
    let base: Int
    let models: [Int]
    let alpha: Double
    /// Rows and columns of a weight matrix; nil for tensors that are averaged.
    let matrix: (rows: Int, columns: Int)?
    /// The merged task vector.
    let merged: @Sendable ([Matrix]) throws -> Matrix

    init(_ call: MergeCall, merged: @escaping @Sendable ([Matrix]) throws -> Matrix) throws {
        guard let base = call.base else { throw call.fault(.usage, "the base model lacks it") }
        self.base = base
        models = call.others
        alpha = call.parameters.number("alpha")
        self.merged = merged
        let dimensions = call.info.shape.dimensions
        let isMatrix = dimensions.count == 2 && !call.isEmbedding && !dimensions.contains(0)
        matrix = isMatrix ? (dimensions[0], dimensions[1]) : nil
    }

    var passCount: Int { matrix == nil ? 0 : 1 }

    func prepare(_ stack: TensorStack, jobs: Int) throws -> any PreparedMerge {
        guard let matrix, !models.isEmpty else {
            let share = models.isEmpty ? 0 : alpha / Double(models.count)
            return Combination(
                weights: stack.tensors.indices.map { $0 == base ? 1 - share * Double(models.count) : share })
        }
        let origin = stack.tensors[base].doubles()
        let vectors = models.map { model in
            Matrix(
                rows: matrix.rows, columns: matrix.columns,
                values: zip(stack.tensors[model].doubles(), origin).map { $0 - $1 })
        }
        let result = try merged(vectors)
        return DenseResult(values: zip(origin, result.values).map { $0 + alpha * $1 })
    }
}
