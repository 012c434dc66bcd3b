import ZooBase

/// Anchored least squares, our own: layer by layer, few weights are fitted such that the pruned network returns to where
/// the unpruned one is.
///
///     min Σ_t ω_t |y_t − W x_t − b|² + λ |W − W₀|²,   W with the wanted zeros, b free
///
/// x_t is what the layer reads in the network as pruned so far, y_t the unpruned network's output less what the pruned
/// one has already beside it (`LayerAnchors`), ω_t one over the tokens of the text, so that a short query counts as much
/// as a long document, as it does in a mean over tokens. An entry's score is the size of the fitted weight times the
/// spread of its input, as `SparseLeastSquares` finds them together; kept weights and biases are refitted. Like
/// SparseGPT it reads activations alone: one pass, no gradients, no training.
public struct Anchored: LayerwiseMethod {
    /// `anchored`.
    public static let name = "anchored"
    /// What it is.
    public static let summary =
        "our own: fits kept weights and biases so that layers give what the unpruned ones gave (--side)"
    /// The whole matrix: rows that matter more keep more.
    public static let defaultGroup = PruneGroup.tensor
    /// Products come with the anchors.
    public static let needsGram = false
    /// Yes.
    public static let needsAnchors = true
    private let settings: PruneSettings

    /// Reads the damping (λ over the mean of the diagonal).
    public init(_ settings: PruneSettings) { self.settings = settings }

    /// There are none over all layers.
    ///
    /// - Throws: `unsupported`.
    public func scores(of matrix: CandidateMatrix, _ statistics: PruneStatistics) throws -> [Double] {
        throw ZooError(
            .unsupported, "anchored fits one layer after the other and has no global scores",
            hint: "use --group tensor, row or N:M")
    }

    /// Fits a layer.
    ///
    /// - Throws: `numeric` when a decomposition fails.
    public func prune(_ layer: inout LayerProblem) throws {
        guard let anchors = layer.inputs.anchors else {
            throw ZooError(.internal, "'\(layer.matrix.name)': anchored needs what the layer should give")
        }
        let rows = layer.matrix.rows, columns = layer.matrix.columns
        let (hessian, targets) = try layer.leastSquares(anchors, damping: settings.damping)
        let wereZero = layer.weights.map { $0 == 0 }
        let plain = layer.plain, sparsity = layer.sparsity, group = layer.group
        let problem = SparseLeastSquares(
            hessian: hessian, targets: targets, rows: rows, columns: columns, jobs: layer.jobs)
        let found = try ZooError.locate("'\(layer.matrix.name)'") {
            try problem.solve(from: layer.weights) { scores in
                var scores = scores
                for place in scores.indices where wereZero[place] { scores[place] = -.infinity }
                let chosen = try MaskSelection.select([.init(plain, scores)], sparsity: sparsity, group: group)
                return chosen.pruned[plain.name] ?? wereZero
            }
        }
        layer.weights = found.weights
        layer.pruned = found.pruned
        layer.refitBias(anchors)
    }
}
