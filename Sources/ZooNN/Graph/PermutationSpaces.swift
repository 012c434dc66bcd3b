import ZooBase

/// Axes of tensors that can be permuted together without changing what a network computes.
///
/// Two units of a hidden layer may change places when every tensor that writes or reads them changes with them. The
/// spaces follow from the graph alone: each axis of channels begins at the operator that makes it, elementwise
/// operators carry it on, residual additions join spaces, and inputs and outputs are fixed (arXiv 2209.04836 §2).
public struct PermutationSpaces: Sendable {
    /// One axis of one tensor, moved by a permutation in blocks: entry *i* of the permutation moves the elements
    /// `i·blockLength ..< (i+1)·blockLength` of the axis (more than one after a flatten).
    public struct Axis: Sendable, Hashable {
        /// The tensor.
        public var tensor: String
        /// Its axis.
        public var axis: Int
        /// Consecutive elements that belong to one unit.
        public var blockLength: Int
    }

    /// A group of axes that permute together.
    public struct Space: Sendable, Hashable {
        /// Its name: the node that makes the units.
        public var name: String
        /// How many units.
        public var unitCount: Int
        /// Everything that moves with them.
        public var axes: [Axis]
    }

    /// The spaces, in the order of the nodes that make them.
    public let spaces: [Space]

    /// Derives the spaces.
    ///
    /// Attention permutes whole heads where queries, keys and values have projections of their own: with grouped
    /// queries a unit is a head of keys and values with all its heads of queries. Packed projections keep their
    /// order, the elements of a head too, and so does everything that grouped convolutions write or read.
    public init(_ graph: ArchitectureGraph, shapes: GraphShapes) {
        var solver = PermutationSolver(graph, shapes)
        spaces = solver.solve()
    }
}

/// Walks the graph once, giving every channel axis a class and joining classes where additions demand it.
private struct PermutationSolver {
    private let graph: ArchitectureGraph
    private let shapes: GraphShapes
    private var parent: [Int] = []
    private var names: [String] = []
    private var counts: [Int] = []
    private var isFixed: [Bool] = []
    private var axes: [(space: Int, axis: PermutationSpaces.Axis)] = []
    /// The class of each node's channel axis and how many consecutive elements one unit has there.
    private var channel: [String: (space: Int, blockLength: Int)] = [:]

    init(_ graph: ArchitectureGraph, _ shapes: GraphShapes) {
        self.graph = graph
        self.shapes = shapes
    }

    mutating func solve() -> [PermutationSpaces.Space] {
        for input in graph.inputs {
            let shape = shapes.shapes[input.name] ?? []
            channel[input.name] = (make(input.name, shape.first ?? 1, fixed: true), 1)
        }
        for node in graph.nodes { channel[node.name] = visit(node) }
        for output in graph.outputs {
            // What users read must keep its order; features are internal and may move.
            if output.name != "features", let space = channel[output.node]?.space { fix(space) }
        }
        for node in graph.nodes where node.isHead { if let space = channel[node.name]?.space { fix(space) } }
        var grouped: [Int: [PermutationSpaces.Axis]] = [:]
        for entry in axes { grouped[root(entry.space), default: []].append(entry.axis) }
        return names.indices.filter { root($0) == $0 && !isFixed[$0] && grouped[$0] != nil }.map {
            PermutationSpaces.Space(name: names[$0], unitCount: counts[$0], axes: grouped[$0] ?? [])
        }
    }

    private mutating func make(_ name: String, _ count: Int, fixed: Bool = false) -> Int {
        parent.append(parent.count)
        names.append(name)
        counts.append(count)
        isFixed.append(fixed)
        return parent.count - 1
    }

    private func root(_ space: Int) -> Int {
        var space = space
        while parent[space] != space { space = parent[space] }
        return space
    }

    private mutating func fix(_ space: Int) { isFixed[root(space)] = true }

    private mutating func join(_ left: Int, _ right: Int) -> Int {
        let (a, b) = (min(root(left), root(right)), max(root(left), root(right)))
        guard a != b else { return a }
        parent[b] = a
        isFixed[a] = isFixed[a] || isFixed[b]
        return a
    }

    private mutating func record(_ name: String?, _ axis: Int, _ source: (space: Int, blockLength: Int)) {
        guard let name else { return }
        axes.append((source.space, .init(tensor: name, axis: axis, blockLength: source.blockLength)))
    }

    private mutating func visit(_ node: GraphNode) -> (space: Int, blockLength: Int) {
        let sources = node.inputs.compactMap { channel[$0] }
        let source = sources.first ?? (make(node.name, 1, fixed: true), 1)
        let shape = shapes.shapes[node.name] ?? []
        switch node.op {
        case .conv2d, .linear: return weighted(node, source, shape)
        case .embedding: return table(node, (make(node.name, shape.last ?? 1), 1))
        case .positionEmbedding, .rowEmbedding, .classToken: return table(node, source)
        case .batchNorm, .layerNorm, .rmsNorm:
            for parameter in node.parameters where parameter.role != "num_batches_tracked" {
                record(parameter.name, 0, source)
            }
            return source
        case .flatten:
            let before = node.inputs.first.flatMap { shapes.shapes[$0] } ?? []
            return (source.space, source.blockLength * before.dropFirst().reduce(1, *))
        case .add, .multiply:
            let space = sources.dropFirst().reduce(source.space) { join($0, $1.space) }
            return (space, source.blockLength)
        case .attention:
            if let heads = heads(node, sources, shape) { return heads }
            for entry in sources { fix(entry.space) }
            return (make(node.name, shape.last ?? 1, fixed: true), 1)
        case .slice, .concat:
            // Parts of packed projections keep their order.
            for entry in sources { fix(entry.space) }
            return (make(node.name, shape.last ?? 1, fixed: true), 1)
        default: return source
        }
    }

    /// Whole heads as units, when the three projections belong to this attention alone.
    private mutating func heads(
        _ node: GraphNode, _ sources: [(space: Int, blockLength: Int)], _ shape: [Int]
    ) -> (space: Int, blockLength: Int)? {
        let count = node.integer("heads", default: 1), keyCount = node.integer("kv_heads", default: count)
        guard sources.count >= 3, keyCount > 1, count % keyCount == 0, let width = shape.last, width % count == 0,
            node.inputs.prefix(3).allSatisfy({ isOwnProjection($0) }),
            Set(sources.prefix(3).map { root($0.space) }).count == 3
        else { return nil }
        let size = width / count, group = count / keyCount * size
        for (source, block) in zip(sources, [group, size, size]) {
            for place in axes.indices where root(axes[place].space) == root(source.space) {
                axes[place].axis.blockLength = block
            }
        }
        let space = join(join(sources[0].space, sources[1].space), sources[2].space)
        counts[space] = keyCount
        return (space, group)
    }

    /// A linear layer that only one node reads.
    private func isOwnProjection(_ name: String) -> Bool {
        guard let node = graph.nodes.first(where: { $0.name == name }), node.op == .linear, !node.isHead,
            let space = channel[name], !isFixed[root(space.space)], names[root(space.space)] == name
        else { return false }
        let readers = graph.nodes.reduce(0) { $0 + $1.inputs.filter { $0 == name }.count }
        return readers == 1 && !graph.outputs.contains { $0.node == name }
    }

    private mutating func weighted(
        _ node: GraphNode, _ source: (space: Int, blockLength: Int), _ shape: [Int]
    ) -> (space: Int, blockLength: Int) {
        let isTransposed = node.flag("transposed")
        let made = make(node.name, (node.op == .conv2d ? shape.first : shape.last) ?? 1)
        if node.op == .conv2d, node.integer("groups", default: 1) > 1 {
            fix(source.space)
            fix(made)
            return (made, 1)
        }
        record(node.parameter("weight"), isTransposed ? 1 : 0, (made, 1))
        record(node.parameter("weight"), isTransposed ? 0 : 1, source)
        record(node.parameter("bias"), 0, (made, 1))
        return (made, 1)
    }

    private mutating func table(
        _ node: GraphNode, _ source: (space: Int, blockLength: Int)
    ) -> (space: Int, blockLength: Int) {
        guard let name = node.parameter("weight") else { return source }
        // The table's last axis is the channel axis whatever its rank ([V, D], [1, P, D], [D]): -1 by convention.
        record(name, -1, source)
        return source
    }
}
