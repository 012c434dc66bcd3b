import ZooBase

/// What a pickle describes: nodes, items and names, addressed by index, over the pickle's own bytes.
///
/// Built by `PickleMachine`. A node may be reached by many paths and may contain itself; whoever walks the graph keeps
/// to a depth and a number of steps.
package final class PickleGraph: @unchecked Sendable {
    // Sendable by rule: only the machine that builds it writes, and it hands the graph out after its last write.

    /// The pickle; texts and bytes are slices of it.
    let bytes: Bytes
    /// The value that STOP left.
    package private(set) var root = PickleValue.absent
    /// How many bytes the pickle takes, its STOP included.
    package private(set) var byteCount = 0
    /// Every global named, in order.
    private(set) var globals: [PickleGlobal] = []
    private var nodes: PickleArena<PickleNode>
    private var items: PickleArena<PickleValue>
    private var chunks: PickleArena<PickleChunk>

    init(bytes: Bytes) {
        self.bytes = bytes
        nodes = PickleArena(capacity: min(bytes.count / 12, 4096))
        items = PickleArena(capacity: min(bytes.count / 5, 8192))
        chunks = PickleArena(capacity: 8)
    }

    /// How many containers and calls.
    package var nodeCount: Int { nodes.count }

    /// How many items all of them hold: a measure for the work of walking the graph once.
    var itemCount: Int { items.count }

    // MARK: Building, for the machine only

    func finish(root: PickleValue, byteCount: Int) {
        self.root = root
        self.byteCount = byteCount
    }

    @inline(__always) func addNode(_ kind: PickleNode.Kind, _ content: PickleNode.Content) -> PickleValue {
        nodes.append(PickleNode(kind: kind, content: content, first: Int32(items.count), count: 0))
        return .node(nodes.count - 1)
    }

    @inline(__always) func addNode(
        _ kind: PickleNode.Kind, _ content: PickleNode.Content, from source: UnsafePointer<PickleValue>, count: Int
    ) -> PickleValue {
        nodes.append(PickleNode(kind: kind, content: content, first: Int32(items.count), count: Int32(count)))
        items.append(from: source, count: count)
        return .node(nodes.count - 1)
    }

    func addPair(_ first: PickleValue, _ second: PickleValue) -> PickleValue {
        nodes.append(PickleNode(kind: .tuple, content: .elements, first: Int32(items.count), count: 2))
        items.append(first)
        items.append(second)
        return .node(nodes.count - 1)
    }

    @inline(__always) func addCall(
        _ kind: PickleNode.Kind, _ callable: PickleValue, _ arguments: PickleValue
    ) -> PickleValue {
        let header = items.count
        items.append(callable)
        items.append(arguments)
        items.append(.absent)
        nodes.append(
            PickleNode(kind: kind, content: .nothing, first: Int32(items.count), count: 0, header: Int32(header)))
        return .node(nodes.count - 1)
    }

    @inline(__always) func addPersistent(_ identifier: PickleValue) -> PickleValue {
        nodes.append(
            PickleNode(
                kind: .persistent, content: .nothing, first: Int32(items.count), count: 0, header: Int32(items.count)))
        items.append(identifier)
        return .node(nodes.count - 1)
    }

    func addGlobal(_ global: PickleGlobal) -> PickleValue {
        globals.append(global)
        return PickleValue(kind: .global, payload: Int64(globals.count - 1))
    }

    /// Adds items to a container; false when it cannot hold such.
    func append(
        _ content: PickleNode.Content, to index: Int, _ source: UnsafePointer<PickleValue>, _ count: Int
    ) -> Bool {
        var node = nodes[index]
        switch node.kind {
        case .tuple, .persistent: return false
        case .list, .set, .dict: guard node.content == content else { return false }
        case .reduce, .object: guard node.content == .nothing || node.content == content else { return false }
        }
        guard count > 0 else { return true }
        node.content = content
        let start = Int32(items.count)
        items.append(from: source, count: count)
        if node.lastChunk >= 0 {
            var last = chunks[Int(node.lastChunk)]
            if last.first + last.count == start {
                last.count += Int32(count)
                chunks[Int(node.lastChunk)] = last
            } else {
                last.next = addChunk(start, count)
                chunks[Int(node.lastChunk)] = last
                node.lastChunk = last.next
            }
        } else if node.count == 0 {
            node.first = start
            node.count = Int32(count)
        } else if node.first + node.count == start {
            node.count += Int32(count)
        } else {
            node.chunk = addChunk(start, count)
            node.lastChunk = node.chunk
        }
        nodes[index] = node
        return true
    }

    private func addChunk(_ first: Int32, _ count: Int) -> Int32 {
        chunks.append(PickleChunk(first: first, count: Int32(count), next: -1))
        return Int32(chunks.count - 1)
    }

    /// Records the state of a BUILD; the last one counts. False when the node takes none.
    func setState(_ state: PickleValue, of index: Int) -> Bool {
        var node = nodes[index]
        switch node.kind {
        case .tuple, .list, .set, .persistent: return false
        case .dict, .reduce, .object: break
        }
        if node.header < 0 {
            node.header = Int32(items.count)
            items.append(.absent)
            items.append(.absent)
            items.append(state)
            nodes[index] = node
        } else {
            items[Int(node.header) + 2] = state
        }
        return true
    }

    // MARK: Reading

    /// The node of a value; nil for plain values.
    @inline(__always) func node(_ value: PickleValue) -> PickleNode? {
        value.kind == .node ? nodes[Int(value.payload)] : nil
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

    fileprivate func run(_ chunk: Int32) -> PickleChunk { chunks[Int(chunk)] }
    fileprivate func rawItem(_ index: Int) -> PickleValue { items[index] }
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
