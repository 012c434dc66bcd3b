import ZooBase
import ZooNN
import ZooTensor

/// Which weights may be pruned.
public enum PruneLayers: String, Sendable, Hashable, CaseIterable {
    /// The matrices of feed-forward layers; without attention, all linear layers.
    case mlp
    /// The projections of attention: queries, keys, values and output.
    case attn
    /// Both; of networks for images also convolutions.
    case linear
}

/// A weight matrix whose entries may be pruned: `rows` outputs by `columns` inputs, whatever its layout.
///
/// A convolution is the matrix `[outputs, channels · kernel]`. Never among them: embeddings, norms, biases and heads.
public struct CandidateMatrix: Sendable, Hashable {
    /// The tensor's name.
    public let name: String
    /// The tensor of the bias; nil without one.
    public let bias: String?
    /// The node of the graph that reads it.
    public let node: String
    /// Outputs.
    public let rows: Int
    /// Inputs of an output.
    public let columns: Int
    /// Whether the tensor is stored `[inputs, outputs]`.
    public let isTransposed: Bool
    /// The extents of the tensor.
    public let shape: Shape
    /// Whether it projects to or from attention.
    public let isAttention: Bool

    /// Weights.
    public var count: Int { rows * columns }

    /// The place of an entry in the tensor.
    @inline(__always)
    public func index(_ row: Int, _ column: Int) -> Int {
        isTransposed ? column * rows + row : row * columns + column
    }

    /// The matrices of a network that may be pruned, in the order of the graph.
    ///
    /// - Throws: `unsupported` when there are none, saying which layers there would be.
    public static func all(
        of graph: ArchitectureGraph, tensors: [TensorInfo], layers: PruneLayers
    ) throws -> [CandidateMatrix] {
        let found = every(of: graph, tensors: tensors)
        let chosen = found.filter { matrix in
            switch layers {
            case .linear: true
            case .attn: matrix.isAttention
            case .mlp: !matrix.isAttention && matrix.shape.rank == 2
            }
        }
        guard !chosen.isEmpty else {
            throw ZooError(
                .unsupported, "architecture '\(graph.name)' has no layers of the kind '\(layers.rawValue)' to prune",
                hint: found.isEmpty ? "" : "--layers linear takes its \(found.count) weight matrices")
        }
        return chosen
    }

    private static func every(of graph: ArchitectureGraph, tensors: [TensorInfo]) -> [CandidateMatrix] {
        let shapes = Dictionary(tensors.map { ($0.name, $0.shape) }, uniquingKeysWith: { first, _ in first })
        let roles = graph.tensorRoles
        let nodes = Dictionary(graph.nodes.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        let hasAttention = graph.nodes.contains { $0.op == .attention }
        var feeding = Set<String>()
        for node in graph.nodes where node.op == .attention {
            for input in node.inputs.prefix(3) {
                feeding.insert(input)
                // Packed projections reach attention through slices.
                if let slice = nodes[input], slice.op == .slice { feeding.formUnion(slice.inputs) }
            }
        }
        var seen = Set<String>()
        return graph.nodes.compactMap { node -> CandidateMatrix? in
            guard node.op == .linear || (node.op == .conv2d && !hasAttention), !node.isHead,
                let name = node.parameter("weight"), let shape = shapes[name],
                roles[name] == .linear || roles[name] == .convolution,
                shape.rank == (node.op == .conv2d ? 4 : 2), seen.insert(name).inserted
            else { return nil }
            let isTransposed = node.flag("transposed")
            let rows = isTransposed ? shape[1] : shape[0]
            guard rows > 0, shape.elementCount > 0 else { return nil }
            let source = node.inputs.first.flatMap { nodes[$0] }
            return CandidateMatrix(
                name: name, bias: node.parameter("bias").flatMap { shapes[$0] == nil ? nil : $0 }, node: node.name,
                rows: rows, columns: shape.elementCount / rows, isTransposed: isTransposed, shape: shape,
                isAttention: feeding.contains(node.name) || source?.op == .attention)
        }
    }
}
