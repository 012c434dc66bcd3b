import ZooBase

/// What the inputs of a layer were on calibration data: means of squares, or of all products.
public struct LayerInputs: Sendable {
    /// Inputs of an output.
    public let columns: Int
    /// Rows that were seen: tokens, samples or pixels.
    public internal(set) var rows = 0
    /// Σ x_i² per input.
    public internal(set) var squares: [Double]
    /// Σ x_i x_j, `columns` × `columns`; empty when not asked for.
    public internal(set) var products: [Double]
    /// The outputs that read these inputs, of a grouped convolution; nil for all.
    public internal(set) var outputs: Range<Int>?
    /// What the layer should give, for methods that ask for it; else nil.
    public internal(set) var anchors: LayerAnchors?

    /// Nothing seen yet.
    public init(columns: Int, needsGram: Bool) {
        self.columns = columns
        squares = [Double](repeating: 0, count: columns)
        products = needsGram ? [Double](repeating: 0, count: columns * columns) : []
    }

    /// Inputs known otherwise.
    public init(columns: Int, rows: Int, squares: [Double], products: [Double] = []) {
        self.columns = columns
        self.rows = rows
        self.squares = squares
        self.products = products
    }

    /// ‖x_i‖ over all rows.
    public var norms: [Double] { squares.map { $0.squareRoot() } }
}

/// A layer that is pruned now: its weights row by row, whatever the layout of the tensor.
public struct LayerProblem: Sendable {
    /// The matrix.
    public let matrix: CandidateMatrix
    /// `rows` × `columns`; a method sets pruned ones to zero and may change the others.
    public var weights: [Double]
    /// Which weights are gone; weights that were zero before count first.
    public var pruned: [Bool]
    /// The bias of each output, which a method may change; nil without.
    public var bias: [Double]?
    /// Threads to use.
    public var jobs = 1
    /// What the layer reads.
    public let inputs: LayerInputs
    /// The share to prune.
    public let sparsity: Double
    /// Where weights compete: `tensor`, `row` or a pattern.
    public let group: PruneGroup

    /// A layer with its weights row by row.
    public init(
        _ matrix: CandidateMatrix, weights: [Double], inputs: LayerInputs, sparsity: Double, group: PruneGroup
    ) {
        precondition(weights.count == matrix.count)
        self.matrix = matrix
        self.weights = weights
        self.inputs = inputs
        self.sparsity = sparsity
        self.group = group
        pruned = [Bool](repeating: false, count: weights.count)
    }

    /// The matrix as a plain one, row by row.
    var plain: CandidateMatrix { CandidateMatrix(plain: matrix) }
}

extension LayerProblem {
    /// H and G of min Σ ω |y − W x − b|² + λ |W − W₀|² over W, with b free where the layer has a bias: the minimum is G H⁻¹.
    ///
    /// - Parameter damping: λ over the mean of the diagonal.
    /// - Throws: `mismatch` when no data reach the layer.
    func leastSquares(_ anchors: LayerAnchors, damping: Double) throws -> (hessian: [Double], targets: [Double]) {
        let rows = matrix.rows, columns = matrix.columns
        if let bias, bias.count != rows {
            throw ZooError(.internal, "'\(matrix.name)' has \(rows) outputs and \(bias.count) biases")
        }
        var (hessian, targets) = try anchors.covariances(center: bias != nil)
        let trace = (0..<columns).reduce(0) { $0 + hessian[$1 * columns + $1] }
        // An input that never changes has no spread; without the floor its weight would be free.
        let extra = max(damping * trace / Double(columns), 1e-12)
        for column in 0..<columns { hessian[column * columns + column] += extra }
        for place in targets.indices { targets[place] += extra * weights[place] }
        return (hessian, targets)
    }

    /// The bias that goes with the weights as they are: the mean of y − W x. Nothing for a layer without one.
    mutating func refitBias(_ anchors: LayerAnchors) {
        guard bias != nil else { return }
        let columns = matrix.columns
        bias = (0..<matrix.rows).map { row in
            let carried = (0..<columns).reduce(0) { $0 + weights[row * columns + $1] * anchors.inputs[$1] }
            return (anchors.outputs[row] - carried) / anchors.weight
        }
    }
}

extension CandidateMatrix {
    /// The same matrix stored row by row.
    init(plain matrix: CandidateMatrix) {
        self.init(
            name: matrix.name, bias: matrix.bias, node: matrix.node, rows: matrix.rows, columns: matrix.columns,
            isTransposed: false, shape: [matrix.rows, matrix.columns], isAttention: matrix.isAttention)
    }

    /// Some of the outputs of a convolution, whose rows lie one after another.
    ///
    /// - Precondition: a matrix that is not transposed and has these rows.
    public func outputs(_ range: Range<Int>) -> CandidateMatrix {
        precondition(!isTransposed && range.upperBound <= rows)
        return CandidateMatrix(
            name: name, bias: bias, node: node, rows: range.count, columns: columns, isTransposed: false,
            shape: [range.count, columns], isAttention: isAttention)
    }

    /// A matrix of its own, for tests and plain arrays.
    public init(name: String, rows: Int, columns: Int, isTransposed: Bool = false) {
        self.init(
            name: name, bias: nil, node: name, rows: rows, columns: columns, isTransposed: isTransposed,
            shape: isTransposed ? [columns, rows] : [rows, columns], isAttention: false)
    }
}
