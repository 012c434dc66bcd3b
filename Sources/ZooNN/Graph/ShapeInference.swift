import ZooBase
import ZooTensor

/// The shapes that a graph gets from the tensors of a state dict, and everything that does not fit.
///
/// After a misfit the walk goes on: the tensor is taken as it is, and what it leaves open counts as unknown, so that every
/// fault is told and none of them twice.
public struct GraphShapes: Sendable {
    /// Per sample extents of every input and node.
    public private(set) var shapes: [String: [Int]] = [:]
    /// What does not fit, in the order of the nodes.
    public private(set) var faults: [String] = []
    /// Floating-point tensors that the graph does not read, in the order of the state dict.
    public let unread: [String]

    private let parameters: [String: Shape]
    /// What is known of every input and node: nil for what a fault leaves open, no entry where not even the rank is known.
    private var known: [String: Extents] = [:]

    private typealias Extents = [Int?]
    private let readsImages: Bool

    /// Infers all shapes.
    ///
    /// - Parameters:
    ///   - graph: the architecture.
    ///   - tensors: what the state dict has.
    ///   - sequenceLength: the extent of inputs that the data decide.
    /// - Throws: `mismatch` listing, together, every missing parameter (with the nearest name there is), every shape that
    ///   does not fit and, where there are such faults, every tensor that is not read.
    public init(_ graph: ArchitectureGraph, tensors: [TensorInfo], sequenceLength: Int = 1) throws {
        parameters = Dictionary(tensors.map { ($0.name, $0.shape) }, uniquingKeysWith: { first, _ in first })
        readsImages = graph.inputs.contains { $0.kind == .image }
        for input in graph.inputs {
            let shape = input.shape.map { $0 == 0 ? sequenceLength : $0 }
            guard Self.elementCount(shape) != nil else {
                throw ZooError(
                    .mismatch,
                    "architecture '\(graph.name)': input '\(input.name)' has extents \(shape); expected at most "
                        + "\(Self.elementLimit) elements and none negative")
            }
            known[input.name] = shape
        }
        let names = ParameterNames(graph, tensors: tensors)
        unread = names.unread
        for node in graph.nodes {
            for parameter in node.parameters { if let text = names.fault(parameter.name) { note(text) } }
            visit(node)
        }
        if !faults.isEmpty, let text = names.unreadFault { note(text) }
        guard faults.isEmpty else {
            throw ZooError(
                .mismatch, "the weights do not fit architecture '\(graph.name)': \(faults.joined(separator: "; "))",
                hint: "name another with --architecture")
        }
        for (name, extents) in known { shapes[name] = extents.compactMap(\.self) }
    }

    private mutating func visit(_ node: GraphNode) {
        if let text = node.attributeFault {
            fault(node, text)
            return
        }
        guard let shape = infer(node, node.inputs.map { known[$0] }) else { return }
        let extents = shape.compactMap(\.self)
        guard extents.count < shape.count || Self.elementCount(extents) != nil else {
            fault(node, "its output \(extents) has more than \(Self.elementLimit) elements")
            return
        }
        known[node.name] = shape
    }

    private mutating func note(_ text: String) { if !faults.contains(text) { faults.append(text) } }

    /// Notes a fault of a node; what it computes is unknown then.
    @discardableResult
    private mutating func fault(_ node: GraphNode, _ text: String) -> Extents? {
        note("node '\(node.name)': \(text)")
        return nil
    }

    private static func text(_ extents: Extents?) -> String {
        guard let extents else { return "unknown" }
        return "[\(extents.map { $0.map(String.init) ?? "?" }.joined(separator: ", "))]"
    }

    /// The extents of a parameter, checked against what the operator expects; nil extents may be anything. A parameter of
    /// the right rank is taken at its word after the fault, one of another or none at all is unknown.
    private mutating func parameter(_ node: GraphNode, _ role: String, _ expected: Extents) -> Extents? {
        guard let name = node.parameter(role), let shape = parameters[name] else { return nil }
        let fits = shape.rank == expected.count && zip(shape.dimensions, expected).allSatisfy { $1 == nil || $0 == $1 }
        if !fits {
            let wanted = expected.map { $0.map(String.init) ?? "any" }.joined(separator: ", ")
            note("'\(name)' has shape \(shape), expected [\(wanted)]")
        }
        return shape.rank == expected.count ? shape.dimensions : nil
    }

    /// Inputs of a node that should be images (rank 3) or tokens (rank 2); unknown extents after a fault.
    private mutating func ranked(_ node: GraphNode, _ x: Extents?, _ rank: Int, _ what: String) -> Extents {
        if let x, x.count == rank { return x }
        if let x { fault(node, "needs \(what), found \(Self.text(x))") }
        return Extents(repeating: nil, count: rank)
    }

    private mutating func infer(_ node: GraphNode, _ inputs: [Extents?]) -> Extents? {
        let x = inputs[0]
        switch node.op {
        case .conv2d: return convolution(node, x)
        case .linear: return linear(node, x)
        case .embedding:
            let width = parameter(node, "weight", [nil, nil])?[1]
            return x.map { $0 + [width] }
        case .positionEmbedding, .rowEmbedding, .classToken: return table(node, x)
        case .batchNorm, .layerNorm, .rmsNorm: return norm(node, x)
        case .maxPool, .averagePool: return pool(node, x)
        case .globalAveragePool: return [ranked(node, x, 3, "an image")[0]]
        case .flatten: return x.map { [Self.product($0)] } ?? [nil]
        case .tokensFromImage:
            let image = ranked(node, x, 3, "an image")
            return [Self.product(Array(image[1...])), image[0]]
        case .add, .multiply: return merged(node, inputs)
        case .slice:
            let start = node.integer("start", default: 0), length = node.integer("length", default: -1)
            guard length > 0 else { return fault(node, "'length' is missing") }
            guard let x else { return nil }
            if x.isEmpty { return fault(node, "needs at least one axis") }
            if let last = x[x.count - 1], start + length > last {
                fault(node, "\(start)..<\(start + length) is outside \(Self.text(x))")
            }
            return x.dropLast() + [length]
        case .concat: return concatenated(node, inputs)
        case .attention: return attention(node, inputs)
        case .selectToken:
            let index = node.integer("index", default: 0), tokens = ranked(node, x, 2, "tokens")
            if let count = tokens[0], index >= count || index < -count {
                fault(node, "no token \(index) in \(Self.text(x))")
            }
            return [tokens[1]]
        case .lastToken:
            let tokens = ranked(node, x, 2, "tokens")
            if let mask = inputs[1], let count = tokens[0], mask != [count] {
                fault(node, "the mask has extents \(Self.text(mask)), expected [\(count)]")
            }
            return [tokens[1]]
        case .meanTokens: return [ranked(node, x, 2, "tokens")[1]]
        case .activation, .normalize, .scale, .dropout: return x
        }
    }

    private static func product(_ extents: Extents) -> Int? {
        let whole = extents.compactMap(\.self)
        return whole.count == extents.count
            ? whole.reduce(1) { $0.multipliedReportingOverflow(by: $1).partialValue } : nil
    }

    private mutating func convolution(_ node: GraphNode, _ x: Extents?) -> Extents? {
        let x = ranked(node, x, 3, "an image")
        let groups = node.integer("groups", default: 1)
        var depth = x[0].map { $0 / groups }
        if let channels = x[0], channels % groups != 0 {
            fault(node, "\(channels) channels in \(groups) groups")
            depth = nil
        }
        let weight = parameter(node, "weight", [nil, depth, nil, nil])
        let outputs = weight?[0] ?? parameter(node, "bias", [nil])?[0]
        if let outputs, outputs % groups != 0 { fault(node, "\(outputs) outputs in \(groups) groups") }
        _ = parameter(node, "bias", [outputs])
        let stride = node.integer("stride", default: 1), padding = node.integer("padding", default: 0)
        let dilation = node.integer("dilation", default: 1)
        return [outputs]
            + (1...2).map { (axis: Int) -> Int? in
                guard let side = x[axis], let kernel = weight?[1 + axis] else { return nil }
                let space = side + 2 * padding - dilation * (min(kernel, GraphNode.largestAttribute) - 1) - 1
                guard space >= 0, kernel > 0 else {
                    fault(node, "kernel of \(kernel) for an extent of \(side)")
                    return nil
                }
                return space / stride + 1
            }
    }

    private mutating func linear(_ node: GraphNode, _ x: Extents?) -> Extents? {
        if let x, x.isEmpty { return fault(node, "needs at least one axis") }
        let isTransposed = node.flag("transposed"), depth = x?.last ?? nil
        let weight = parameter(node, "weight", isTransposed ? [depth, nil] : [nil, depth])
        let outputs = weight?[isTransposed ? 1 : 0] ?? parameter(node, "bias", [nil])?[0]
        _ = parameter(node, "bias", [outputs])
        return x.map { $0.dropLast() + [outputs] }
    }

    private mutating func table(_ node: GraphNode, _ x: Extents?) -> Extents? {
        var x = ranked(node, x, 2, "tokens")
        if let name = node.parameter("weight"), let shape = parameters[name] {
            let width = shape.dimensions.last ?? 1, rows = shape.elementCount / max(width, 1)
            if let wanted = x[1], wanted != width {
                note("'\(name)' has shape \(shape), expected rows of \(wanted)")
            }
            x[1] = width
            check(node, "'\(name)' of shape \(shape)", rows: rows, tokens: x[0])
        }
        return node.op == .classToken ? [x[0].map { $0 + 1 }, x[1]] : x
    }

    private mutating func check(_ node: GraphNode, _ what: String, rows: Int, tokens: Int?) {
        switch node.op {
        case .classToken: if rows != 1 { fault(node, "\(what) holds \(rows) tokens, expected 1") }
        case .rowEmbedding:
            let row = node.integer("row", default: 0)
            if row < 0 || row >= rows { fault(node, "\(what) has \(rows) rows, no row \(row)") }
        default:
            guard let tokens else { return }
            let needed = tokens + node.integer("offset", default: 0)
            if rows < needed {
                fault(node, "\(what) has \(rows) positions, \(needed) are needed")
            } else if readsImages && rows != needed {
                // Texts may be shorter than the table, in parts of a network too; the patches of an image have each their own row.
                fault(node, "\(what) has \(rows) positions, images of this size make \(needed)")
            }
        }
    }

    private mutating func norm(_ node: GraphNode, _ x: Extents?) -> Extents? {
        if let x, x.isEmpty { return fault(node, "needs at least one axis") }
        let isFirst = node.op == .batchNorm
        let extent = (isFirst ? x?.first : x?.last) ?? nil
        let found = node.parameters.filter { $0.role != "num_batches_tracked" }
            .compactMap { parameter(node, $0.role, [extent])?[0] }
        guard var x, let first = found.first else { return x }
        // Where all say the same other number, the fault lies before the norm and what follows goes by them.
        if let extent, found.contains(extent) { return x }
        x[isFirst ? 0 : x.count - 1] = first
        return x
    }

    private mutating func pool(_ node: GraphNode, _ x: Extents?) -> Extents? {
        let x = ranked(node, x, 3, "an image")
        let kernel = node.integer("kernel", default: 2), stride = node.integer("stride", default: kernel)
        let padding = node.integer("padding", default: 0)
        guard 2 * padding <= kernel else {
            fault(node, "kernel \(kernel), stride \(stride), padding \(padding) do not fit together")
            return [x[0], nil, nil]
        }
        return [x[0]]
            + x[1...].map { (side: Int?) -> Int? in
                guard let side else { return nil }
                guard side + 2 * padding >= kernel else {
                    fault(node, "window of \(kernel) for an extent of \(side)")
                    return nil
                }
                return (side + 2 * padding - kernel) / stride + 1
            }
    }

    // MARK: Several inputs

    /// Equal extents; where two differ the place is unknown from here on.
    private mutating func merged(_ node: GraphNode, _ inputs: [Extents?], except free: Int? = nil) -> Extents? {
        let known = inputs.compactMap(\.self)
        guard let first = known.first else { return nil }
        guard known.allSatisfy({ $0.count == first.count }) else {
            return fault(node, "shapes \(known.map { Self.text($0) }.joined(separator: ", ")) differ")
        }
        var result = first
        for axis in first.indices where axis != free {
            let extents = Set(known.compactMap { $0[axis] })
            if extents.count > 1 {
                fault(node, "shapes \(known.map { Self.text($0) }.joined(separator: ", ")) differ")
            }
            result[axis] = extents.count == 1 ? extents.first : nil
        }
        return result
    }

    private mutating func concatenated(_ node: GraphNode, _ inputs: [Extents?]) -> Extents? {
        guard let rank = inputs.compactMap({ $0?.count }).first else { return nil }
        let axis = node.integer("axis", default: rank - 1)
        guard axis < rank else { return fault(node, "no axis \(axis) among \(rank)") }
        guard var result = merged(node, inputs, except: axis) else { return nil }
        let parts = inputs.compactMap { $0?[axis] }
        result[axis] = parts.count == inputs.count ? parts.reduce(0, +) : nil
        return result
    }

    private mutating func attention(_ node: GraphNode, _ inputs: [Extents?]) -> Extents? {
        let heads = node.integer("heads", default: 1), keyHeads = node.integer("kv_heads", default: heads)
        let query = ranked(node, inputs[0], 2, "tokens")
        let key = ranked(node, inputs[1], 2, "tokens"), value = ranked(node, inputs[2], 2, "tokens")
        if zip(key, value).contains(where: { $0 != nil && $1 != nil && $0 != $1 }) {
            let texts = [query, key, value].map(Self.text)
            fault(node, "queries \(texts[0]), keys \(texts[1]) and values \(texts[2]) do not fit together")
        }
        var size: Int?
        if let width = query[1] {
            if width % heads != 0 || heads % keyHeads != 0
                || (key[1] ?? width / heads * keyHeads) != width / heads * keyHeads
            {
                let found = key[1].map(String.init) ?? "?"
                fault(node, "\(heads) heads and \(keyHeads) key heads do not divide \(width) and \(found)")
            } else {
                size = width / heads
            }
        }
        for role in ["q_norm", "k_norm"] where node.parameter(role) != nil { _ = parameter(node, role, [size]) }
        return query
    }
}
