import ZooBase
import ZooTensor

/// The shapes that a graph gets from the tensors of a state dict, and everything that does not fit.
public struct GraphShapes: Sendable {
    /// Per sample extents of every input and node.
    public private(set) var shapes: [String: [Int]] = [:]
    /// What does not fit, in the order of the nodes.
    public private(set) var faults: [String] = []
    /// Floating-point tensors that the graph does not read, in the order of the state dict.
    public let unread: [String]

    private let parameters: [String: Shape]
    private let readsTokens: Bool

    /// Infers all shapes.
    ///
    /// - Parameters:
    ///   - graph: the architecture.
    ///   - tensors: what the state dict has.
    ///   - sequenceLength: the extent of inputs that the data decide.
    /// - Throws: `mismatch` listing, together, every missing parameter (with the nearest name there is) and every
    ///   shape that does not fit.
    public init(_ graph: ArchitectureGraph, tensors: [TensorInfo], sequenceLength: Int = 1) throws {
        parameters = Dictionary(tensors.map { ($0.name, $0.shape) }, uniquingKeysWith: { first, _ in first })
        readsTokens = graph.inputs.first?.kind == .tokens
        for input in graph.inputs {
            let shape = input.shape.map { $0 == 0 ? sequenceLength : $0 }
            guard Self.elementCount(shape) != nil else {
                throw ZooError(
                    .mismatch,
                    "architecture '\(graph.name)': input '\(input.name)' has extents \(shape); expected at most "
                        + "\(Self.elementLimit) elements and none negative")
            }
            shapes[input.name] = shape
        }
        let names = tensors.map(\.name)
        let read = Set(graph.parameterNames)
        unread = tensors.filter { $0.dtype.isFloatingPoint && !read.contains($0.name) }.map(\.name)
        for node in graph.nodes {
            let missing = node.parameters.filter { $0.role != "num_batches_tracked" && parameters[$0.name] == nil }
            for parameter in missing {
                let nearest = NearestName.find(parameter.name, in: names).map { " (nearest: '\($0)')" } ?? ""
                faults.append("'\(parameter.name)' is missing\(nearest)")
            }
            if let text = node.attributeFault {
                _ = fault(node, text)
                continue
            }
            guard missing.isEmpty, let sources = inputs(of: node), let shape = infer(node, sources) else { continue }
            guard Self.elementCount(shape) != nil else {
                _ = fault(node, "its output \(shape) has more than \(Self.elementLimit) elements")
                continue
            }
            shapes[node.name] = shape
        }
        if !faults.isEmpty, !unread.isEmpty {
            faults.append("not read by the architecture: \(unread.prefix(8).map { "'\($0)'" }.joined(separator: ", "))")
        }
        guard faults.isEmpty else {
            throw ZooError(
                .mismatch, "the weights do not fit architecture '\(graph.name)': \(faults.joined(separator: "; "))",
                hint: "name another with --architecture")
        }
    }

    private func inputs(of node: GraphNode) -> [[Int]]? {
        let found = node.inputs.compactMap { shapes[$0] }
        return found.count == node.inputs.count ? found : nil
    }

    private mutating func fault(_ node: GraphNode, _ text: String) -> [Int]? {
        faults.append("node '\(node.name)': \(text)")
        return nil
    }

    /// The shape of a parameter, checked against what the operator expects; nil extents may be anything.
    private mutating func parameter(_ node: GraphNode, _ role: String, _ expected: [Int?]) -> Shape? {
        guard let name = node.parameter(role), let shape = parameters[name] else { return nil }
        let fits = shape.rank == expected.count && zip(shape.dimensions, expected).allSatisfy { $1 == nil || $0 == $1 }
        guard fits else {
            let wanted = expected.map { $0.map(String.init) ?? "any" }.joined(separator: ", ")
            faults.append("'\(name)' has shape \(shape), expected [\(wanted)]")
            return nil
        }
        return shape
    }

    private mutating func infer(_ node: GraphNode, _ inputs: [[Int]]) -> [Int]? {
        let x = inputs[0]
        switch node.op {
        case .conv2d: return convolution(node, x)
        case .linear: return linear(node, x)
        case .embedding:
            return parameter(node, "weight", [nil, nil]).map { x + [$0[1]] }
        case .positionEmbedding, .rowEmbedding, .classToken: return table(node, x)
        case .batchNorm, .layerNorm, .rmsNorm: return norm(node, x)
        case .maxPool, .averagePool: return pool(node, x)
        case .globalAveragePool: return x.count == 3 ? [x[0]] : fault(node, "needs an image, found \(x)")
        case .flatten: return [x.reduce(1, *)]
        case .tokensFromImage: return x.count == 3 ? [x[1] * x[2], x[0]] : fault(node, "needs an image, found \(x)")
        case .add, .multiply:
            guard inputs.allSatisfy({ $0 == x }) else { return fault(node, "shapes \(inputs) differ") }
            return x
        case .slice:
            let start = node.integer("start", default: 0), length = node.integer("length", default: -1)
            guard start >= 0, length > 0, start + length <= x.last ?? 0 else {
                return fault(node, "\(start)..<\(start + length) is outside \(x)")
            }
            return x.dropLast() + [length]
        case .concat:
            guard inputs.allSatisfy({ $0.dropLast() == x.dropLast() }) else {
                return fault(node, "shapes \(inputs) differ")
            }
            return x.dropLast() + [inputs.reduce(0) { $0 + ($1.last ?? 0) }]
        case .attention: return attention(node, inputs)
        case .selectToken:
            let index = node.integer("index", default: 0)
            guard x.count == 2, index < x[0], index >= -x[0] else { return fault(node, "no token \(index) in \(x)") }
            return [x[1]]
        case .lastToken:
            guard x.count == 2, inputs[1] == [x[0]] else { return fault(node, "needs tokens and their mask") }
            return [x[1]]
        case .meanTokens: return x.count == 2 ? [x[1]] : fault(node, "needs tokens, found \(x)")
        case .activation, .normalize, .scale, .dropout: return x
        }
    }

    private mutating func convolution(_ node: GraphNode, _ x: [Int]) -> [Int]? {
        guard x.count == 3 else { return fault(node, "needs an image, found \(x)") }
        let groups = node.integer("groups", default: 1)
        guard groups > 0, x[0] % groups == 0 else { return fault(node, "\(x[0]) channels in \(groups) groups") }
        guard let weight = parameter(node, "weight", [nil, x[0] / groups, nil, nil]) else { return nil }
        if node.parameter("bias") != nil { _ = parameter(node, "bias", [weight[0]]) }
        let stride = node.integer("stride", default: 1), padding = node.integer("padding", default: 0)
        let dilation = node.integer("dilation", default: 1)
        guard stride > 0, padding >= 0, dilation > 0 else { return fault(node, "stride and dilation must be positive") }
        guard weight[2] <= GraphNode.largestAttribute, weight[3] <= GraphNode.largestAttribute else {
            return fault(node, "kernel larger than its input \(x)")
        }
        let extents = (0..<2).map { axis in
            (x[1 + axis] + 2 * padding - dilation * (weight[2 + axis] - 1) - 1) / stride + 1
        }
        guard extents.allSatisfy({ $0 > 0 }) else { return fault(node, "kernel larger than its input \(x)") }
        return [weight[0]] + extents
    }

    private mutating func linear(_ node: GraphNode, _ x: [Int]) -> [Int]? {
        guard let depth = x.last else { return fault(node, "needs at least one axis") }
        let isTransposed = node.flag("transposed")
        let expected: [Int?] = isTransposed ? [depth, nil] : [nil, depth]
        guard let weight = parameter(node, "weight", expected) else { return nil }
        let out = isTransposed ? weight[1] : weight[0]
        if node.parameter("bias") != nil { _ = parameter(node, "bias", [out]) }
        return x.dropLast() + [out]
    }

    private mutating func table(_ node: GraphNode, _ x: [Int]) -> [Int]? {
        guard x.count == 2, let name = node.parameter("weight"), let shape = parameters[name] else {
            return fault(node, "needs tokens, found \(x)")
        }
        guard shape.dimensions.last == x[1], shape.elementCount % max(x[1], 1) == 0 else {
            return fault(node, "'\(name)' has shape \(shape), expected rows of \(x[1])")
        }
        let rows = shape.elementCount / max(x[1], 1)
        switch node.op {
        case .classToken:
            return rows == 1 ? [x[0] + 1, x[1]] : fault(node, "'\(name)' holds \(rows) tokens, expected 1")
        case .rowEmbedding:
            let row = node.integer("row", default: 0)
            return row >= 0 && row < rows ? x : fault(node, "'\(name)' has \(rows) rows, no row \(row)")
        default:
            let needed = x[0] + node.integer("offset", default: 0)
            guard rows >= needed else { return fault(node, "'\(name)' has \(rows) positions, \(needed) are needed") }
            // Texts may be shorter than the table; the patches of an image have each their own row.
            guard readsTokens || rows == needed else {
                return fault(node, "'\(name)' has \(rows) positions, images of this size make \(needed)")
            }
            return x
        }
    }

    private mutating func norm(_ node: GraphNode, _ x: [Int]) -> [Int]? {
        guard let first = x.first, let last = x.last else { return fault(node, "needs at least one axis") }
        let extent = node.op == .batchNorm ? first : last
        for entry in node.parameters where entry.role != "num_batches_tracked" {
            if parameter(node, entry.role, [extent]) == nil { return nil }
        }
        return x
    }

    private mutating func pool(_ node: GraphNode, _ x: [Int]) -> [Int]? {
        guard x.count == 3 else { return fault(node, "needs an image, found \(x)") }
        let kernel = node.integer("kernel", default: 2), stride = node.integer("stride", default: kernel)
        let padding = node.integer("padding", default: 0)
        guard kernel > 0, stride > 0, padding >= 0, 2 * padding <= kernel else {
            return fault(node, "kernel \(kernel), stride \(stride), padding \(padding) do not fit together")
        }
        let extents = x[1...].map { ($0 + 2 * padding - kernel) / stride + 1 }
        guard extents.allSatisfy({ $0 > 0 }) else { return fault(node, "window larger than its input \(x)") }
        return [x[0]] + extents
    }

    private mutating func attention(_ node: GraphNode, _ inputs: [[Int]]) -> [Int]? {
        let heads = node.integer("heads", default: 1), keyHeads = node.integer("kv_heads", default: heads)
        let query = inputs[0], key = inputs[1], value = inputs[2]
        guard query.count == 2, key.count == 2, value == key else {
            return fault(node, "queries \(query), keys \(key) and values \(value) do not fit together")
        }
        guard heads > 0, keyHeads > 0, heads % keyHeads == 0, query[1] % heads == 0,
            key[1] == query[1] / heads * keyHeads
        else { return fault(node, "\(heads) heads and \(keyHeads) key heads do not divide \(query[1]) and \(key[1])") }
        for role in ["q_norm", "k_norm"] where node.parameter(role) != nil {
            if parameter(node, role, [query[1] / heads]) == nil { return nil }
        }
        return query
    }
}
