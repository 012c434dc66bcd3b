/// Gathers the nodes of a graph while the machine runs.
struct PickleBuilder: ~Copyable {
    private(set) var globals: [PickleGlobal] = []
    private(set) var nodes: PickleArena<PickleNode>
    private(set) var items: PickleArena<PickleValue>
    private(set) var chunks: PickleArena<PickleChunk>

    /// - Parameter byteCount: of the pickle, to guess how much room it will take.
    init(byteCount: Int) {
        nodes = PickleArena(capacity: min(byteCount / 12, 4096))
        items = PickleArena(capacity: min(byteCount / 4, 8192))
        chunks = PickleArena(capacity: 8)
    }

    /// Hands the three blocks over.
    consuming func take() -> (
        nodes: UnsafeMutablePointer<PickleNode>, items: UnsafeMutablePointer<PickleValue>,
        chunks: UnsafeMutablePointer<PickleChunk>
    ) {
        (nodes.take(), items.take(), chunks.take())
    }

    /// Whether a value is a tuple.
    func isTuple(_ value: PickleValue) -> Bool {
        value.kind == .node && nodes[Int(value.payload)].kind == .tuple
    }

    /// Whether a value is a container without items.
    func isEmpty(_ value: PickleValue) -> Bool {
        value.kind != .node || nodes[Int(value.payload)].count == 0
    }

    @inline(__always) mutating func addNode(_ kind: PickleNode.Kind, _ content: PickleNode.Content) -> PickleValue {
        nodes.append(PickleNode(kind: kind, content: content, first: Int32(items.count), count: 0))
        return .node(nodes.count - 1)
    }

    @inline(__always) mutating func addNode(
        _ kind: PickleNode.Kind, _ content: PickleNode.Content, from source: UnsafePointer<PickleValue>, count: Int
    ) -> PickleValue {
        nodes.append(PickleNode(kind: kind, content: content, first: Int32(items.count), count: Int32(count)))
        items.append(from: source, count: count)
        return .node(nodes.count - 1)
    }

    mutating func addPair(_ first: PickleValue, _ second: PickleValue) -> PickleValue {
        nodes.append(PickleNode(kind: .tuple, content: .elements, first: Int32(items.count), count: 2))
        items.append(first)
        items.append(second)
        return .node(nodes.count - 1)
    }

    @inline(__always) mutating func addCall(
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

    @inline(__always) mutating func addPersistent(_ identifier: PickleValue) -> PickleValue {
        nodes.append(
            PickleNode(
                kind: .persistent, content: .nothing, first: Int32(items.count), count: 0, header: Int32(items.count)))
        items.append(identifier)
        return .node(nodes.count - 1)
    }

    mutating func addGlobal(_ global: PickleGlobal) -> PickleValue {
        globals.append(global)
        return PickleValue(kind: .global, payload: Int64(globals.count - 1))
    }

    /// Adds items to a container; false when it cannot hold such.
    mutating func append(
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

    private mutating func addChunk(_ first: Int32, _ count: Int) -> Int32 {
        chunks.append(PickleChunk(first: first, count: Int32(count), next: -1))
        return Int32(chunks.count - 1)
    }

    /// Records the state of a BUILD; the last one counts. False when the node takes none.
    mutating func setState(_ state: PickleValue, of index: Int) -> Bool {
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
}
