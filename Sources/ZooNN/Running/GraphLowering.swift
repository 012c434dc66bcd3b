import ZooAutodiff
import ZooBase
import ZooTensor

/// A graph written into a program: the values of its nodes, ready for losses and derivatives on top.
public struct LoweredGraph {
    /// The program under construction.
    public let builder: ProgramBuilder
    /// Samples per run.
    public let batch: Int
    /// The value of every input and node that is a real array, batch axis first.
    public private(set) var values: [String: Value] = [:]
    /// Token inputs `[batch, T]`.
    public private(set) var tokens: [String: Indices] = [:]
    /// Parameters by checkpoint name, in the order in which the program reads them.
    public private(set) var parameters: [(name: String, value: Value)] = []
    /// In training mode, the batch statistics of each batch norm node, for its running averages.
    public private(set) var statistics: [(node: GraphNode, mean: Value, variance: Value)] = []

    /// Floating-point tensors that the graph does not read.
    public let unreadNames: [String]
    /// The weight of each sample `[batch]`, when padding was asked for: a data input.
    public private(set) var sampleWeights: Value?
    /// The name of the data input of the samples' weights.
    public static let sampleWeightsName = "sample.weights"

    private let isTraining: Bool
    private let shapes: [String: Shape]
    private var known: [String: Value] = [:]

    /// Writes the graph into a new program.
    ///
    /// - Parameters:
    ///   - graph: the architecture.
    ///   - tensors: what the state dict has: names and shapes.
    ///   - batch: samples per run.
    ///   - sequenceLength: tokens per sample, for token inputs.
    ///   - isTraining: batch norm with batch statistics; dropout reads a data input `NODE.mask` of zeros and 1/(1−p).
    ///   - isPadded: the batch may hold samples that only fill it up. They have weight zero in a data input of their
    ///     own, and batch norm in training leaves them out of its statistics; so must the loss.
    ///   - other: a graph written before, whose program and weights are shared: queries and documents of different
    ///     lengths through one encoder.
    ///   - prefix: what stands before the names of the program's inputs, so that those of two graphs differ.
    /// - Throws: `mismatch` when weights and graph do not fit together.
    public init(
        _ graph: ArchitectureGraph, tensors: [TensorInfo], batch: Int, sequenceLength: Int = 1,
        isTraining: Bool = false, isPadded: Bool = false, beside other: LoweredGraph? = nil, prefix: String = ""
    ) throws {
        let inferred = try GraphShapes(graph, tensors: tensors, sequenceLength: sequenceLength)
        unreadNames = inferred.unread
        builder = other?.builder ?? ProgramBuilder()
        known = other?.known ?? [:]
        parameters = other?.parameters ?? []
        self.batch = batch
        self.isTraining = isTraining
        shapes = Dictionary(tensors.map { ($0.name, $0.shape) }, uniquingKeysWith: { first, _ in first })
        for input in graph.inputs {
            let extents = [batch] + (inferred.shapes[input.name] ?? [])
            if input.kind == .tokens {
                tokens[input.name] = builder.indices(prefix + input.name, Shape(extents))
            } else {
                values[input.name] = builder.data(prefix + input.name, Shape(extents))
            }
        }
        if isPadded { sampleWeights = builder.data(Self.sampleWeightsName, [batch]) }
        for node in graph.nodes {
            values[node.name] = try ZooError.locate("node '\(node.name)'") { try lower(node) }
        }
    }

    /// The value of an output.
    ///
    /// - Throws: `notFound` listing the outputs there are.
    public func output(_ name: String, of graph: ArchitectureGraph) throws -> Value {
        guard let node = graph.node(of: name), let value = values[node] else {
            throw ZooError(
                .notFound, "architecture '\(graph.name)' has no output '\(name)'",
                hint: NearestName.hint(name, in: graph.outputs.map(\.name), kind: "outputs"))
        }
        return value
    }

    private mutating func tensor(_ node: GraphNode, _ role: String) -> Value? {
        guard let name = node.parameter(role), let shape = shapes[name] else { return nil }
        if let value = known[name] { return value }
        let value = builder.parameter(name, shape)
        known[name] = value
        parameters.append((name, value))
        return value
    }

    private mutating func weight(_ node: GraphNode, _ role: String = "weight") throws -> Value {
        guard let value = tensor(node, role) else { throw ZooError(.mismatch, "parameter '\(role)' is missing") }
        return value
    }

    private func input(_ node: GraphNode, _ place: Int = 0) throws -> Value {
        guard place < node.inputs.count, let value = values[node.inputs[place]] else {
            throw ZooError(.mismatch, "\(node.op.rawValue) cannot read token ids")
        }
        return value
    }

    private mutating func lower(_ node: GraphNode) throws -> Value {
        if node.op == .embedding { return try embedding(node) }
        let x = try input(node)
        switch node.op {
        case .conv2d:
            return try builder.conv2d(
                x, weight: weight(node), bias: tensor(node, "bias"),
                Convolution(
                    stride: node.integer("stride", default: 1), padding: node.integer("padding", default: 0),
                    dilation: node.integer("dilation", default: 1), groups: node.integer("groups", default: 1)))
        case .linear: return try linear(node, x)
        case .embedding: return x
        case .positionEmbedding, .rowEmbedding, .classToken: return try table(node, x)
        case .batchNorm: return try batchNorm(node, x)
        case .layerNorm:
            return try builder.layerNorm(
                x, weight: tensor(node, "weight"), bias: tensor(node, "bias"),
                epsilon: node.number("eps", default: 1e-5))
        case .rmsNorm:
            var scale = try weight(node)
            let offset = node.number("offset", default: 0)
            if offset != 0 { scale = builder.affine(scale, offset: offset) }
            return try builder.rmsNorm(x, weight: scale, epsilon: node.number("eps", default: 1e-6))
        case .activation: return try activation(node, x)
        case .maxPool, .averagePool:
            let kernel = node.integer("kernel", default: 2), padding = node.integer("padding", default: 0)
            let stride = node.integer("stride", default: kernel)
            return node.op == .maxPool
                ? try builder.maxPool(x, kernel: kernel, stride: stride, padding: padding)
                : try builder.averagePool(x, kernel: kernel, stride: stride, padding: padding)
        case .globalAveragePool: return try builder.mean(x, axes: [2, 3])
        case .flatten: return try builder.flatten(x)
        case .tokensFromImage:
            let (channels, pixels) = (x.shape[1], x.shape[2] * x.shape[3])
            return try builder.transpose(builder.reshape(x, [batch, channels, pixels]), [0, 2, 1])
        case .add: return try fold(node) { try builder.add($0, $1) }
        case .multiply: return try fold(node) { try builder.multiply($0, $1) }
        case .concat:
            let axis = node.integer("axis", default: x.shape.rank - 2)
            return try builder.concatenate(node.inputs.indices.map { try input(node, $0) }, axis: 1 + axis)
        case .slice:
            let start = node.integer("start", default: 0)
            return try builder.slice(x, axis: x.shape.rank - 1, start..<start + node.integer("length", default: 1))
        case .attention: return try attention(node)
        case .selectToken:
            let index = node.integer("index", default: 0), place = index < 0 ? x.shape[1] + index : index
            return try builder.reshape(builder.slice(x, axis: 1, place..<place + 1), [batch, x.shape[2]])
        case .lastToken:
            let real = try input(node, 1), length = x.shape[1]
            let following = try builder.concatenate(
                [builder.slice(real, axis: 1, 1..<length), builder.fill(0, [batch, 1])], axis: 1)
            let last = try builder.reshape(builder.subtract(real, following), [batch, length, 1])
            return try builder.sum(builder.multiply(x, last), axes: [1])
        case .meanTokens: return try meanTokens(node, x)
        case .normalize: return try builder.normalised(x)
        case .scale: return builder.affine(x, scale: node.number("factor", default: 1))
        case .dropout:
            guard isTraining, node.number("probability", default: 0.5) > 0 else { return x }
            return try builder.multiply(x, builder.data("\(node.name).mask", x.shape))
        }
    }

    private func fold(_ node: GraphNode, _ combine: (Value, Value) throws -> Value) throws -> Value {
        try node.inputs.indices.dropFirst().reduce(input(node)) { try combine($0, input(node, $1)) }
    }

    private mutating func linear(_ node: GraphNode, _ x: Value) throws -> Value {
        let matrix = try weight(node), bias = tensor(node, "bias")
        guard node.flag("transposed") else { return try builder.linear(x, weight: matrix, bias: bias) }
        let product = try builder.matmul(x, matrix)
        return try bias.map { try builder.add(product, $0) } ?? product
    }

    private mutating func embedding(_ node: GraphNode) throws -> Value {
        guard let ids = node.inputs.first.flatMap({ tokens[$0] }) else {
            throw ZooError(.mismatch, "embedding reads token ids, not numbers")
        }
        return try builder.gatherRows(weight(node), ids)
    }

    private mutating func table(_ node: GraphNode, _ x: Value) throws -> Value {
        let stored = try weight(node)
        let depth = x.shape[2]
        let rows = try builder.reshape(stored, [stored.shape.elementCount / depth, depth])
        switch node.op {
        case .classToken:
            let first = try builder.broadcast(builder.reshape(rows, [1, 1, depth]), to: [batch, 1, depth])
            return try builder.concatenate([first, x], axis: 1)
        case .rowEmbedding:
            let row = node.integer("row", default: 0)
            return try builder.add(x, builder.reshape(builder.slice(rows, axis: 0, row..<row + 1), [1, 1, depth]))
        default:
            let offset = node.integer("offset", default: 0)
            let used = try builder.slice(rows, axis: 0, offset..<offset + x.shape[1])
            return try builder.add(x, builder.reshape(used, [1, x.shape[1], depth]))
        }
    }

    private mutating func batchNorm(_ node: GraphNode, _ x: Value) throws -> Value {
        let epsilon = node.number("eps", default: 1e-5)
        let scale = tensor(node, "weight"), shift = tensor(node, "bias")
        if isTraining {
            let (output, mean, variance) = try builder.batchNormTraining(
                x, weight: scale, bias: shift, epsilon: epsilon, sampleWeights: sampleWeights)
            statistics.append((node, mean, variance))
            return output
        }
        return try builder.batchNorm(
            x, weight: scale, bias: shift, mean: weight(node, "running_mean"), variance: weight(node, "running_var"),
            epsilon: epsilon)
    }

    private func activation(_ node: GraphNode, _ x: Value) throws -> Value {
        switch node.attributes["kind"]?.string.flatMap(ActivationKind.init(alias:)) {
        case .relu: return builder.relu(x)
        case .tanh: return builder.tanh(x)
        case .sigmoid: return builder.sigmoid(x)
        case .gelu: return builder.gelu(x)
        case .geluTanh: return try builder.geluTanh(x)
        case .quickGelu: return builder.quickGelu(x)
        case .silu: return builder.silu(x)
        case .leakyRelu: return try builder.leakyRelu(x, slope: node.number("slope", default: 0.01))
        case .softplus: return builder.softplus(x)
        case .sin: return builder.sin(x)
        case .identity: return x
        case nil: throw ZooError(.corrupt, "unknown activation")
        }
    }

    private mutating func attention(_ node: GraphNode) throws -> Value {
        let heads = node.integer("heads", default: 1), keyHeads = node.integer("kv_heads", default: heads)
        var queries = try builder.splitHeads(input(node, 0), heads: heads)
        var keys = try builder.splitHeads(input(node, 1), heads: keyHeads)
        let values = try builder.splitHeads(input(node, 2), heads: keyHeads)
        let length = queries.shape[2], epsilon = node.number("eps", default: 1e-6)
        if let scale = tensor(node, "q_norm") {
            queries = try builder.rmsNorm(queries, weight: scale, epsilon: epsilon)
        }
        if let scale = tensor(node, "k_norm") { keys = try builder.rmsNorm(keys, weight: scale, epsilon: epsilon) }
        if let base = node.attributes["rope_theta"]?.double {
            let tables = builder.rotaryTables(tokens: length, size: queries.shape[3], base: base)
            queries = try builder.rotary(queries, cosines: tables.cosines, sines: tables.sines)
            keys = try builder.rotary(keys, cosines: tables.cosines, sines: tables.sines)
        }
        var hidden: Value? = node.flag("causal") ? builder.causalMask(tokens: length) : nil
        if node.inputs.count > 3 {
            // Zero for real tokens, a large negative number for padding, added to every query's scores. Not −∞: a row
            // of padding alone must stay finite.
            let real = try builder.reshape(input(node, 3), [batch, 1, 1, length])
            let padding = builder.affine(real, scale: Self.maskedScore, offset: -Self.maskedScore)
            hidden = try hidden.map { try builder.add($0, padding) } ?? padding
        }
        let attended = try builder.attention(
            queries: queries, keys: keys, values: values, mask: hidden, scale: node.attributes["scale"]?.double)
        return try builder.mergeHeads(attended)
    }

    /// The score difference that makes a masked key's weight exactly zero in single precision.
    private static let maskedScore = 1e9

    private func meanTokens(_ node: GraphNode, _ x: Value) throws -> Value {
        guard node.inputs.count > 1 else { return try builder.mean(x, axes: [1]) }
        let real = try input(node, 1)
        let weighted = try builder.multiply(x, builder.reshape(real, [batch, x.shape[1], 1]))
        // At least one token, so that an empty text gives zeros and not NaN, as sentence-transformers does.
        let count = try builder.maximum(
            builder.sum(real, axes: [1], keepingAxes: true), builder.fill(1e-9, [batch, 1]))
        return try builder.divide(builder.sum(weighted, axes: [1]), count)
    }
}
