import ZooBase
import ZooTensor

/// Removes units of a layer's input one after another, each time the one whose loss the others make up for best, and
/// refits what is left: anchored least squares (`Anchored`) for whole neurons and heads.
///
///     min Σ_t ω_t |y_t − W x_t − b|² + λ |W − W₀|²,   columns of removed units zero, b free
///
/// With P = H⁻¹ and W the best weights of the units that are left, removing the columns g costs
/// tr(W_g (P_gg)⁻¹ W_gᵀ); W and P without them are W − W_g (P_gg)⁻¹ P_g and P − P_gᵀ (P_gg)⁻¹ P_g: the step of the optimal
/// brain surgeon for a group of inputs. For one removal it is exact; the order of several is greedy.
public struct UnitElimination {
    /// Outputs and inputs of the layer.
    public let rows: Int, columns: Int
    /// Consecutive inputs of a unit.
    public let blockLength: Int
    /// The weights, `rows` × `columns`; columns of removed units are zero.
    public private(set) var weights: [Double]
    /// Units that are left, ascending.
    public var kept: [Int] { (0..<isLeft.count).filter { isLeft[$0] } }
    private var inverse: [Double]
    private var isLeft: [Bool]
    private var columnsLeft: [Int]

    /// Fits all units.
    ///
    /// - Parameters:
    ///   - hessian: H, `columns` × `columns`, symmetric and positive definite.
    ///   - targets: G, `rows` × `columns`; the weights are G H⁻¹.
    /// - Precondition: counts that fit together.
    /// - Throws: `numeric` when H is not positive definite.
    public init(hessian: [Double], targets: [Double], rows: Int, columns: Int, blockLength: Int = 1) throws {
        precondition(hessian.count == columns * columns && targets.count == rows * columns)
        precondition(blockLength > 0 && columns % blockLength == 0)
        self.rows = rows
        self.columns = columns
        self.blockLength = blockLength
        let upper = try LinearAlgebra.inverseUpperCholesky(hessian, size: columns)
        inverse = try LinearAlgebra.product(
            upper, transposeA: true, upper, rows: columns, columns: columns, depth: columns)
        weights = try LinearAlgebra.product(targets, inverse, rows: rows, columns: columns, depth: columns)
        isLeft = [Bool](repeating: true, count: columns / blockLength)
        columnsLeft = Array(0..<columns)
    }

    /// Removes the cheapest units, one after another, at most until one is left.
    ///
    /// - Throws: `numeric` when a block of the inverse is not positive definite; `interrupted`.
    public mutating func remove(_ count: Int) throws {
        for _ in 0..<max(0, min(count, kept.count - 1)) {
            try Cancellation.check()
            var best: (unit: Int, cost: Double)?
            for unit in kept {
                let cost = try cost(of: unit)
                guard cost.isFinite else {
                    throw ZooError(.numeric, "removing unit \(unit) would cost \(cost)")
                }
                if best.map({ cost < $0.cost }) ?? true { best = (unit, cost) }
            }
            if let best { try eliminate(best.unit) }
        }
    }

    /// What the sum of squares grows by when a unit goes and the others are fitted anew.
    ///
    /// - Throws: `numeric` when its block of the inverse is not positive definite.
    public func cost(of unit: Int) throws -> Double {
        let factor = try factor(unit), start = unit * blockLength
        var total = 0.0
        // tr(W_g (P_gg)⁻¹ W_gᵀ) = |U W_gᵀ|² with (P_gg)⁻¹ = UᵀU.
        for row in 0..<rows {
            for i in 0..<blockLength {
                var sum = 0.0
                for j in i..<blockLength { sum += factor[i * blockLength + j] * weights[row * columns + start + j] }
                total += sum * sum
            }
        }
        return total
    }

    /// U with (P_gg)⁻¹ = UᵀU.
    private func factor(_ unit: Int) throws -> [Double] {
        let start = unit * blockLength
        if blockLength == 1 {
            let pivot = inverse[start * columns + start]
            guard pivot > 0 else { throw ZooError(.numeric, "the products of inputs are singular (unit \(unit))") }
            return [1 / pivot.squareRoot()]
        }
        let block = (0..<blockLength * blockLength).map {
            inverse[(start + $0 / blockLength) * columns + start + $0 % blockLength]
        }
        return try LinearAlgebra.inverseUpperCholesky(block, size: blockLength)
    }

    private mutating func eliminate(_ unit: Int) throws {
        let length = blockLength, start = unit * length, width = columns
        let factor = try factor(unit)
        isLeft[unit] = false
        columnsLeft.removeAll { $0 / length == unit }
        // B = U P_g; then P −= BᵀB and W −= (W_g Uᵀ) B.
        var b = [Double](repeating: 0, count: length * width)
        for i in 0..<length {
            for j in i..<length {
                let value = factor[i * length + j]
                for column in columnsLeft { b[i * width + column] += value * inverse[(start + j) * width + column] }
            }
        }
        let left = columnsLeft, rows = rows
        b.withUnsafeBufferPointer { b in
            // Columns that are gone are gone through, too: there B is zero, and memory without gaps is faster.
            inverse.withUnsafeMutableBufferPointer { inverse in
                for row in left {
                    for i in 0..<length {
                        Self.subtract(b[i * width + row], b, i * width, from: inverse, row * width, count: width)
                    }
                }
            }
            weights.withUnsafeMutableBufferPointer { weights in
                for row in 0..<rows {
                    for i in 0..<length {
                        var value = 0.0
                        for j in i..<length { value += factor[i * length + j] * weights[row * width + start + j] }
                        Self.subtract(value, b, i * width, from: weights, row * width, count: width)
                    }
                    for j in 0..<length { weights[row * width + start + j] = 0 }
                }
            }
        }
    }

    /// y −= a x.
    @inline(__always)
    private static func subtract(
        _ a: Double, _ x: UnsafeBufferPointer<Double>, _ from: Int, from y: UnsafeMutableBufferPointer<Double>,
        _ to: Int, count: Int
    ) {
        guard a != 0, let x = x.baseAddress, let y = y.baseAddress else { return }
        for place in 0..<count { y[to + place] -= a * x[from + place] }
    }
}

extension LayerProblem {
    /// Removes units of the layer's input and refits the other columns and the bias to the anchors.
    ///
    /// - Parameters:
    ///   - share: of the units to remove; at least one stays.
    ///   - blockLength: consecutive inputs of a unit.
    ///   - damping: λ over the mean of the diagonal of H.
    /// - Returns: the units that are left, ascending.
    /// - Throws: `internal` for a layer without anchors; `numeric` when a decomposition fails.
    public mutating func removeUnits(share: Double, blockLength: Int, damping: Double) throws -> [Int] {
        guard let anchors = inputs.anchors else {
            throw ZooError(.internal, "'\(matrix.name)': units are removed by what the layer should give")
        }
        let (hessian, targets) = try leastSquares(anchors, damping: damping)
        var elimination = try ZooError.locate("'\(matrix.name)': products of inputs") {
            try UnitElimination(
                hessian: hessian, targets: targets, rows: matrix.rows, columns: matrix.columns,
                blockLength: blockLength)
        }
        try elimination.remove(PruneGroup.zeros(share, of: matrix.columns / blockLength))
        weights = elimination.weights
        refitBias(anchors)
        return elimination.kept
    }
}
