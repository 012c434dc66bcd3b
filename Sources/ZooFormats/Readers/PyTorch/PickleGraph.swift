import ZooBase

/// What a pickle describes: nodes, items and names, addressed by index, over the pickle's own bytes.
///
/// Made by `PickleMachine`. A node may be reached by many paths and may contain itself; whoever walks the graph keeps
/// to a depth and a number of steps.
package final class PickleGraph: @unchecked Sendable {
    // Sendable by rule: nothing behind the pointers is written after construction; they are freed with the graph.

    /// The pickle; texts and bytes are slices of it.
    let bytes: Bytes
    /// The value that STOP left.
    package let root: PickleValue
    /// How many bytes the pickle takes, its STOP included.
    package let byteCount: Int
    /// Every global named, in order.
    let globals: [PickleGlobal]
    private let nodes: UnsafeBufferPointer<PickleNode>
    private let items: UnsafeBufferPointer<PickleValue>
    private let chunks: UnsafeBufferPointer<PickleChunk>

    /// Takes over what a builder gathered.
    init(bytes: Bytes, root: PickleValue, byteCount: Int, _ builder: consuming PickleBuilder) {
        self.bytes = bytes
        self.root = root
        self.byteCount = byteCount
        globals = builder.globals
        let counts = (builder.nodes.count, builder.items.count, builder.chunks.count)
        let blocks = builder.take()
        nodes = UnsafeBufferPointer(start: blocks.nodes, count: counts.0)
        items = UnsafeBufferPointer(start: blocks.items, count: counts.1)
        chunks = UnsafeBufferPointer(start: blocks.chunks, count: counts.2)
    }

    deinit {
        nodes.deallocate()
        items.deallocate()
        chunks.deallocate()
    }

    /// How many containers and calls.
    package var nodeCount: Int { nodes.count }

    /// How many items all of them hold: a measure for the work of walking the graph once.
    var itemCount: Int { items.count }

    // MARK: Reading

    /// The node of a value; nil for plain values.
    @inline(__always) func node(_ value: PickleValue) -> PickleNode? {
        guard value.kind == .node else { return nil }
        precondition(nodes.indices.contains(Int(value.payload)))
        return nodes[Int(value.payload)]
    }

    /// The callable of a reduce or the class of an object; absent for others.
    func callable(_ node: PickleNode) -> PickleValue {
        node.kind == .reduce || node.kind == .object ? items[Int(node.header)] : .absent
    }

    /// The arguments of a reduce or object.
    func arguments(_ node: PickleNode) -> PickleValue {
        node.kind == .reduce || node.kind == .object ? items[Int(node.header) + 1] : .absent
    }

    /// The state that BUILD gave; absent when there was none.
    func state(_ node: PickleNode) -> PickleValue {
        node.kind == .persistent || node.header < 0 ? .absent : items[Int(node.header) + 2]
    }

    /// The id of a persistent reference.
    func identifier(_ node: PickleNode) -> PickleValue {
        node.kind == .persistent ? items[Int(node.header)] : .absent
    }

    /// The ids of all persistent references, in the order of the pickle.
    var persistentIdentifiers: some Sequence<PickleValue> {
        (0..<nodes.count).lazy.filter { self.nodes[$0].kind == .persistent }.map { self.identifier(self.nodes[$0]) }
    }

    /// One item by position; absent when there are not so many.
    func item(_ node: PickleNode, _ position: Int) -> PickleValue {
        guard position >= 0 else { return .absent }
        if position < Int(node.count) { return items[Int(node.first) + position] }
        var rest = position - Int(node.count), next = node.chunk
        while next >= 0 {
            let chunk = chunks[Int(next)]
            if rest < Int(chunk.count) { return items[Int(chunk.first) + rest] }
            rest -= Int(chunk.count)
            next = chunk.next
        }
        return .absent
    }

    /// How many items; a dictionary counts keys and values.
    func itemCount(_ node: PickleNode) -> Int {
        var total = Int(node.count), next = node.chunk
        while next >= 0 {
            total += Int(chunks[Int(next)].count)
            next = chunks[Int(next)].next
        }
        return total
    }

    /// The items in order.
    func items(of node: PickleNode) -> PickleItems { PickleItems(graph: self, node: node) }

    @inline(__always) fileprivate func run(_ chunk: Int32) -> PickleChunk { chunks[Int(chunk)] }
    @inline(__always) fileprivate func rawItem(_ index: Int) -> PickleValue { items[index] }
}

/// The items of a node, in order.
package struct PickleItems: Sequence, IteratorProtocol {
    private let graph: PickleGraph
    private var position: Int
    private var end: Int
    private var following: Int32

    fileprivate init(graph: PickleGraph, node: PickleNode) {
        self.graph = graph
        position = Int(node.first)
        end = position + Int(node.count)
        following = node.chunk
    }

    package mutating func next() -> PickleValue? {
        while position == end {
            guard following >= 0 else { return nil }
            let chunk = graph.run(following)
            position = Int(chunk.first)
            end = position + Int(chunk.count)
            following = chunk.next
        }
        defer { position += 1 }
        return graph.rawItem(position)
    }
}
