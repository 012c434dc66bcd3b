import ZooBase

/// What a tensor is for in its network; methods treat them apart (heads stay, norms are not pruned, buffers are not
/// trained).
public enum TensorRole: String, Sendable, Hashable, CaseIterable {
    /// A weight matrix of a linear layer.
    case linear
    /// Kernels of a convolution.
    case convolution
    /// The weight of the last layer.
    case head
    /// Rows looked up by index: tokens, positions, types, a class token.
    case embedding
    /// Scale or shift of a norm.
    case norm
    /// A bias of a linear layer or a convolution, the head's too.
    case bias
    /// State that is not trained: running statistics and counters.
    case buffer
}

extension ArchitectureGraph {
    /// The role of every tensor the graph reads, by checkpoint name. A tensor read twice (a tied head) has the role
    /// of its first reader.
    public var tensorRoles: [String: TensorRole] {
        var roles: [String: TensorRole] = [:]
        for node in nodes {
            for parameter in node.parameters where roles[parameter.name] == nil {
                roles[parameter.name] = Self.role(parameter.role, of: node)
            }
        }
        return roles
    }

    /// The trained tensors in the order of the nodes: everything but buffers.
    public var trainableNames: [String] {
        let roles = tensorRoles
        return parameterNames.filter { roles[$0] != .buffer }
    }

    private static func role(_ role: String, of node: GraphNode) -> TensorRole {
        switch (node.op, role) {
        case (.batchNorm, "running_mean"), (.batchNorm, "running_var"), (.batchNorm, "num_batches_tracked"): .buffer
        case (.batchNorm, _), (.layerNorm, _), (.rmsNorm, _), (.attention, _): .norm
        case (.embedding, _), (.positionEmbedding, _), (.rowEmbedding, _), (.classToken, _): .embedding
        case (_, "bias"): .bias
        default: node.isHead ? .head : node.op == .conv2d ? .convolution : .linear
        }
    }
}
