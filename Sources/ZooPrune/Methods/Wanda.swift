import ZooBase

/// |W_oi| ‖x_i‖ in every output row (Wanda, arXiv 2306.11695): layer by layer, each with the inputs that the pruned
/// layers before it give. With `--group global` scores of the unpruned network's inputs are compared.
public struct Wanda: LayerwiseMethod {
    /// What it is called on the command line.
    public static let name = "wanda"
    /// What it is, in a few words.
    public static let summary = "weight's size times the norm of its input, in rows, layer by layer (--side)"
    /// The group used unless another is asked for.
    public static let defaultGroup = PruneGroup.row
    /// Whether products of inputs are needed.
    public static let needsGram = false
    private let sides: [CalibrationSide]

    /// The method with these constants.
    public init(_ settings: PruneSettings) { sides = (settings.side ?? .domain).sides }

    /// A score per weight, as the tensor lies.
    public func scores(of matrix: CandidateMatrix, _ statistics: PruneStatistics) throws -> [Double] {
        let weights = try statistics.weights(matrix)
        var squares = [Double](repeating: 0, count: matrix.columns)
        for side in sides {
            for (column, number) in try statistics.inputSquares(side, matrix).enumerated() {
                squares[column] += Double(number)
            }
        }
        let norms = squares.map { $0.squareRoot() }
        return weights.indices.map { place in
            let column = matrix.isTransposed ? place / matrix.rows : place % matrix.columns
            return Double(abs(weights[place])) * norms[column]
        }
    }

    /// Prunes a layer.
    public func prune(_ layer: inout LayerProblem) throws {
        let norms = layer.inputs.norms, columns = layer.matrix.columns
        let scores = layer.weights.indices.map { place in
            layer.weights[place] == 0 ? -Double.infinity : abs(layer.weights[place]) * norms[place % columns]
        }
        let plain = layer.plain
        let found = try MaskSelection.select(
            [.init(plain, scores)], sparsity: layer.sparsity, group: layer.group)
        layer.pruned = found.pruned[plain.name] ?? layer.pruned
        for place in layer.pruned.indices where layer.pruned[place] { layer.weights[place] = 0 }
    }
}
