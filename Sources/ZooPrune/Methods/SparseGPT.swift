import ZooBase
import ZooTensor

/// SparseGPT (arXiv 2301.00774): column by column the weights of least w² / [H⁻¹]_ii² go, and what they did is put on
/// the columns after them; H = 2 XᵀX / n, damped.
///
/// Blocks of columns choose together; with a pattern every M columns do. Layer by layer, so no threshold is global.
public struct SparseGPT: LayerwiseMethod {
    /// What it is called on the command line.
    public static let name = "sparsegpt"
    /// What it is, in a few words.
    public static let summary = "least squares on the layer's inputs, the other weights adjusted (--side)"
    /// The group used unless another is asked for.
    public static let defaultGroup = PruneGroup.tensor
    /// Whether products of inputs are needed.
    public static let needsGram = true
    private let settings: PruneSettings

    /// The method with these constants.
    public init(_ settings: PruneSettings) { self.settings = settings }

    /// A score per weight, as the tensor lies.
    public func scores(of matrix: CandidateMatrix, _ statistics: PruneStatistics) throws -> [Double] {
        throw ZooError(
            .unsupported, "sparsegpt adjusts the weights of one layer after the other and has no global scores",
            hint: "use --group tensor, row or N:M")
    }

    /// Prunes a layer.
    public func prune(_ layer: inout LayerProblem) throws {
        let rows = layer.matrix.rows, columns = layer.matrix.columns
        if case .pattern(_, let of) = layer.group { try MaskSelection.checkPattern(layer.matrix, of) }
        let upper = try factor(layer.inputs, columns, dead: &layer)
        // Whole patterns lie in one block.
        var width = max(1, settings.block)
        if case .pattern(_, let of) = layer.group { width = max(of, width / of * of) }
        var gone = 0
        for start in stride(from: 0, to: columns, by: width) {
            let end = min(start + width, columns)
            if case .tensor = layer.group {
                // Rounding is carried from block to block, so that the layer loses exactly its share.
                let wanted = PruneGroup.zeros(layer.sparsity, of: rows * end)
                choose(&layer, upper, start..<end, wanted - gone)
                gone = wanted
            } else if case .row = layer.group {
                let wanted = PruneGroup.zeros(layer.sparsity, of: end) - PruneGroup.zeros(layer.sparsity, of: start)
                for row in 0..<rows { choose(&layer, upper, start..<end, wanted, row: row) }
            }
            var errors = [Double](repeating: 0, count: rows * (end - start))
            for column in start..<end {
                if case .pattern(let keep, let of) = layer.group, column % of == 0 {
                    for row in 0..<rows { choose(&layer, upper, column..<column + of, of - keep, row: row) }
                }
                eliminate(&layer, upper, column, end, &errors, start)
            }
            try spread(&layer, upper, start..<end, errors)
        }
        for place in layer.pruned.indices where layer.pruned[place] { layer.weights[place] = 0 }
    }

    /// The upper Cholesky factor U of H⁻¹ = UᵀU. Inputs that are always zero get 1 on the diagonal, and their weights go.
    private func factor(_ inputs: LayerInputs, _ columns: Int, dead layer: inout LayerProblem) throws -> [Double] {
        guard inputs.products.count == columns * columns, inputs.rows > 0 else {
            throw ZooError(.internal, "sparsegpt needs the products of a layer's inputs")
        }
        var hessian = inputs.products.map { 2 * $0 / Double(inputs.rows) }
        var trace = 0.0
        for column in 0..<columns {
            if hessian[column * columns + column] == 0 {
                hessian[column * columns + column] = 1
                for row in 0..<layer.matrix.rows { layer.weights[row * columns + column] = 0 }
            }
            trace += hessian[column * columns + column]
        }
        let extra = settings.damping * trace / Double(columns)
        for column in 0..<columns { hessian[column * columns + column] += extra }
        return try ZooError.locate("'\(layer.matrix.name)': products of inputs") {
            try LinearAlgebra.inverseUpperCholesky(hessian, size: columns)
        }
    }

    /// Marks the lowest of a block of columns, in all rows together or in one. Zeros go first.
    private func choose(
        _ layer: inout LayerProblem, _ upper: [Double], _ block: Range<Int>, _ count: Int, row: Int? = nil
    ) {
        let columns = layer.matrix.columns
        let rows = row.map { $0..<$0 + 1 } ?? 0..<layer.matrix.rows
        var scores: [Double] = []
        scores.reserveCapacity(rows.count * block.count)
        for row in rows {
            for column in block {
                let weight = layer.weights[row * columns + column], pivot = upper[column * columns + column]
                scores.append(weight == 0 ? -.infinity : weight * weight / (pivot * pivot))
            }
        }
        for (place, goes) in MaskSelection.lowest(scores, count).enumerated() where goes {
            layer.pruned[(rows.lowerBound + place / block.count) * columns + block.lowerBound + place % block.count] =
                true
        }
    }

    /// Sets the pruned weights of a column to zero and puts them on the rest of the block.
    private func eliminate(
        _ layer: inout LayerProblem, _ upper: [Double], _ column: Int, _ end: Int, _ errors: inout [Double],
        _ start: Int
    ) {
        let columns = layer.matrix.columns, pivot = upper[column * columns + column], width = end - start
        for row in 0..<layer.matrix.rows where layer.pruned[row * columns + column] {
            let error = layer.weights[row * columns + column] / pivot
            guard error != 0 else { continue }
            for other in column..<end {
                layer.weights[row * columns + other] -= error * upper[column * columns + other]
            }
            layer.weights[row * columns + column] = 0
            errors[row * width + column - start] = error
        }
    }

    /// Puts a block's errors on all columns after it.
    private func spread(
        _ layer: inout LayerProblem, _ upper: [Double], _ block: Range<Int>, _ errors: [Double]
    ) throws {
        let columns = layer.matrix.columns, rest = columns - block.upperBound
        guard rest > 0 else { return }
        let behind = block.flatMap { upper[$0 * columns + block.upperBound..<($0 + 1) * columns] }
        let change = try LinearAlgebra.product(
            errors, behind, rows: layer.matrix.rows, columns: rest, depth: block.count)
        for row in 0..<layer.matrix.rows {
            for column in 0..<rest {
                layer.weights[row * columns + block.upperBound + column] -= change[row * rest + column]
            }
        }
    }
}
