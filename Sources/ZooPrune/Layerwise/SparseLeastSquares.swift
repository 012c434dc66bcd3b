import ZooBase
import ZooTensor

/// Few weights that fit many targets: minimises Σ_o (w_o H w_oᵀ − 2 w_o g_oᵀ) over matrices W with prescribed numbers
/// of zeros, rows o together.
///
/// The mask comes from splitting (ADMM): W fits without zeros, D is W with its lowest entries removed, and a growing
/// penalty ρ draws them together. Columns are scaled so that H has ones on its diagonal; there an entry's square is what
/// its loss would be. The kept weights are then refitted by conjugate gradients. Splitting for one-shot pruning is that
/// of ALPS (arXiv 2406.07831); no code was read.
public struct SparseLeastSquares: Sendable {
    /// H, `columns` × `columns`, symmetric and positive definite.
    public let hessian: [Double]
    /// G, `rows` × `columns`.
    public let targets: [Double]
    /// Outputs.
    public let rows: Int
    /// Inputs of an output.
    public let columns: Int
    private let jobs: Int

    /// A problem.
    ///
    /// - Precondition: counts that fit together.
    public init(hessian: [Double], targets: [Double], rows: Int, columns: Int, jobs: Int = 1) {
        precondition(hessian.count == columns * columns && targets.count == rows * columns)
        self.hessian = hessian
        self.targets = targets
        self.rows = rows
        self.columns = columns
        self.jobs = jobs
    }

    // Rounds of splitting; the penalty grows every third.
    private static let splittingRounds = 40, roundsPerPenalty = 3
    // Rounds of conjugate gradients, fewer when the residual has fallen by 10⁴.
    private static let refittingRounds = 25
    private static let firstPenalty: Float = 0.1

    /// The weights, zero where pruned, and which are pruned.
    ///
    /// - Parameters:
    ///   - start: the weights before.
    ///   - choose: which entries go, by their scores; the lowest.
    /// - Throws: `numeric` for an H without a positive diagonal; what `choose` throws.
    public func solve(
        from start: [Double], choose: ([Double]) throws -> [Bool]
    ) throws -> (weights: [Double], pruned: [Bool]) {
        var scale = [Float](repeating: 1, count: columns)
        for column in 0..<columns {
            let diagonal = hessian[column * columns + column]
            guard diagonal > 0, diagonal.isFinite else {
                throw ZooError(
                    .numeric, "the products of inputs have \(diagonal) on the diagonal (input \(column))")
            }
            scale[column] = Float(diagonal.squareRoot())
        }
        var scaled = [Double](repeating: 0, count: columns * columns)
        for i in 0..<columns {
            for j in 0..<columns {
                scaled[i * columns + j] = hessian[i * columns + j] / (Double(scale[i]) * Double(scale[j]))
            }
        }
        var goal = [Float](repeating: 0, count: rows * columns)
        var kept = goal
        for place in goal.indices {
            goal[place] = Float(targets[place]) / scale[place % columns]
            kept[place] = Float(start[place]) * scale[place % columns]
        }
        let matrix = scaled.map { Float($0) }
        // The mask of the plain scores is a candidate too: splitting need not find it where it is the best.
        var plain = kept
        let plainPruned = try project(&plain, choose)
        var pruned = try split(scaled, goal, &kept, choose)
        try refit(matrix, goal, &kept, pruned)
        try refit(matrix, goal, &plain, plainPruned)
        if try loss(matrix, goal, plain) < loss(matrix, goal, kept) {
            (kept, pruned) = (plain, plainPruned)
        }
        guard kept.allSatisfy(\.isFinite) else {
            throw ZooError(.numeric, "least squares over the kept weights do not converge")
        }
        let mask = pruned
        return (kept.indices.map { mask[$0] ? 0 : Double(kept[$0] / scale[$0 % columns]) }, mask)
    }

    /// Σ_o (w_o H w_oᵀ − 2 w_o g_oᵀ).
    private func loss(_ matrix: [Float], _ goal: [Float], _ weights: [Float]) throws -> Double {
        let applied = try multiply(weights, matrix, transposed: false)
        return weights.indices.reduce(0) {
            $0 + Double(weights[$1]) * (Double(applied[$1]) - 2 * Double(goal[$1]))
        }
    }

    // MARK: The mask

    private func split(
        _ scaled: [Double], _ goal: [Float], _ kept: inout [Float],
        _ choose: ([Double]) throws -> [Bool]
    ) throws -> [Bool] {
        let (values, vectors) = try LinearAlgebra.symmetricEigenvectors(scaled, size: columns)
        let basis = vectors.map { Float($0) }
        let eigenvalues = values.map { Float(max(0, $0)) }
        let turned = try multiply(goal, basis, transposed: true)
        var pruned = try project(&kept, choose)
        var counted = pruned
        var dual = [Float](repeating: 0, count: kept.count)
        var penalty = Self.firstPenalty
        for round in 1...Self.splittingRounds {
            try Cancellation.check()
            var sides = kept
            for place in sides.indices { sides[place] = penalty * sides[place] - dual[place] }
            sides = try multiply(sides, basis, transposed: true)
            for place in sides.indices {
                sides[place] = (sides[place] + turned[place]) / (eigenvalues[place % columns] + penalty)
            }
            let weights = try multiply(sides, basis, transposed: false)
            for place in kept.indices { kept[place] = weights[place] + dual[place] / penalty }
            pruned = try project(&kept, choose)
            for place in kept.indices { dual[place] += penalty * (weights[place] - kept[place]) }
            guard round % Self.roundsPerPenalty == 0 else { continue }
            let changed = zip(pruned, counted).reduce(0) { $0 + ($1.0 != $1.1 ? 1 : 0) }
            if changed == 0 { break }
            counted = pruned
            let share = Double(changed) / Double(max(1, pruned.count { !$0 }))
            penalty *= share > 0.1 ? 1.3 : share > 0.005 ? 1.2 : 1.1
        }
        return pruned
    }

    /// Sets what goes to zero.
    private func project(_ values: inout [Float], _ choose: ([Double]) throws -> [Bool]) throws
        -> [Bool]
    {
        let pruned = try choose(values.map { Double(abs($0)) })
        for place in pruned.indices where pruned[place] { values[place] = 0 }
        return pruned
    }

    // MARK: The kept weights

    /// Conjugate gradients for every row at once, on its kept weights; the diagonal is one already.
    private func refit(_ matrix: [Float], _ goal: [Float], _ kept: inout [Float], _ pruned: [Bool])
        throws
    {
        var residual = try multiply(kept, matrix, transposed: false)
        for place in residual.indices {
            residual[place] = pruned[place] ? 0 : goal[place] - residual[place]
        }
        var direction = residual
        var squares = rowProducts(residual, residual)
        let first = squares.reduce(0, +)
        for _ in 0..<Self.refittingRounds where squares.reduce(0, +) > 1e-8 * first {
            try Cancellation.check()
            let applied = try multiply(direction, matrix, transposed: false)
            let curvature = rowProducts(direction, applied)
            var next = squares
            for row in 0..<rows {
                guard curvature[row] > 0, squares[row] > 0 else { continue }
                let step = Float(squares[row] / curvature[row])
                var sum = 0.0
                for place in row * columns..<(row + 1) * columns where !pruned[place] {
                    kept[place] += step * direction[place]
                    residual[place] -= step * applied[place]
                    sum += Double(residual[place]) * Double(residual[place])
                }
                let carry = Float(sum / squares[row])
                for place in row * columns..<(row + 1) * columns where !pruned[place] {
                    direction[place] = residual[place] + carry * direction[place]
                }
                next[row] = sum
            }
            squares = next
        }
    }

    private func rowProducts(_ a: [Float], _ b: [Float]) -> [Double] {
        (0..<rows).map { row in
            (row * columns..<(row + 1) * columns).reduce(0) { $0 + Double(a[$1]) * Double(b[$1]) }
        }
    }

    /// A `[rows, columns]` times B or Bᵀ `[columns, columns]`, rows over threads.
    private func multiply(_ a: [Float], _ b: [Float], transposed: Bool) throws -> [Float] {
        let parts = max(1, min(jobs, rows))
        let found = try Parallel.map(count: parts, jobs: jobs) { part -> [Float] in
            let range = rows * part / parts..<rows * (part + 1) / parts
            return try LinearAlgebra.product(
                Array(a[range.lowerBound * columns..<range.upperBound * columns]), b,
                transposeB: transposed,
                rows: range.count, columns: columns, depth: columns)
        }
        return parts == 1 ? found[0] : Array(found.joined())
    }
}
