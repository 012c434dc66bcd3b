import ZooBase
import ZooTensor

/// Finds the state dict in whatever was saved, and gives every tensor its dotted name.
///
/// A dictionary that wraps the state dict (`{"epoch": 3, "state_dict": {…}}`) is unwrapped; a pickled module gives the
/// names its `state_dict()` would have; other nested containers give dotted paths. Optimiser states are recognised by
/// their shape (`state` and `param_groups`). Containers may be shared and may contain themselves: the walk keeps to a
/// depth, a number of steps and a number of bytes of names, all relative to the size of the pickle.
struct TorchWalk {
    /// Keys under which training scripts keep the state dict, in order of preference.
    static let wrapperKeys: [StaticString] = ["state_dict", "model_state_dict", "model", "net", "params_ema"]

    let graph: PickleGraph
    let resolver: TorchResolver
    let options: ReaderOptions

    /// The tensors in the order of the file.
    private(set) var tensors: [TorchTensor] = []
    /// The position of each name in `tensors`.
    private(set) var positions: [String: Int] = [:]
    private(set) var skipped: [(name: String, reason: String)] = []
    /// Values beside the tensors, by dotted path.
    private(set) var facts: [(path: String, value: PickleValue)] = []
    /// The `param_groups` of optimisers.
    private(set) var optimizers: [PickleValue] = []
    /// The keys that led to the state dict, `state_dict` for most wrappers; empty when it lies open.
    private(set) var wrapper: [String] = []
    /// The value that the names start from.
    private(set) var stateDict = PickleValue.absent
    /// Whether tensors were found where no state dict has them: in lists, or in objects that are not modules.
    private(set) var hasForeignTensors = false

    private var marks: [UInt8] = []
    private var steps: Int
    private var nameBytes: Int
    private var tensorBudget: Int
    private var copiedBytes: Int
    /// Containers in which each tensor was found, to tell a repeated key from two tensors of one name.
    private var owners: [Int64] = []

    init(graph: PickleGraph, storages: any TorchStorages, options: ReaderOptions) {
        self.graph = graph
        self.options = options
        resolver = TorchResolver(graph: graph, storages: storages)
        // A file may mention one container from many places, but not so often that walking it costs far more than
        // reading it did.
        steps = 16 * graph.itemCount + 10_000
        nameBytes = 4 << 20 + 2 * graph.byteCount
        tensorBudget = 20_000 + graph.byteCount / 16
        copiedBytes = 1 << 20 + graph.byteCount
    }

    /// `stateDict`, `optimizer` or `other`.
    var kind: String {
        if !optimizers.isEmpty, wrapper.isEmpty, isOptimizer(graph.root) { return "optimizer" }
        return tensors.isEmpty || hasForeignTensors ? "other" : "stateDict"
    }

    mutating func run() throws {
        var value = graph.root
        while wrapper.count < 4, let (key, inner) = try findWrapper(value) {
            try visitSiblings(of: value, except: key)
            wrapper.append(key)
            value = inner
        }
        stateDict = value
        try visit(value, path: "", owner: -1, depth: 0)
    }

    // MARK: Wrappers

    private mutating func findWrapper(_ value: PickleValue) throws -> (key: String, inner: PickleValue)? {
        guard graph.pairs(value) != nil, !isOptimizer(value) else { return nil }
        for key in Self.wrapperKeys {
            let inner = graph.value(key, in: value)
            if graph.pairs(inner) != nil || isModule(inner), try holdsTensors(inner, depth: 0) {
                return (key.description, inner)
            }
        }
        return nil
    }

    /// What lies beside the state dict: scalars are facts, optimisers are noted, other tensors are told about.
    private mutating func visitSiblings(of value: PickleValue, except key: String) throws {
        guard let pairs = graph.pairs(value) else { return }
        for (candidate, content) in pairs {
            let name = try keyText(candidate, position: 0)
            if name != key {
                try visitSibling(content, (wrapper + [name]).joined(separator: "."), depth: 0, beside: key)
            }
        }
    }

    private mutating func visitSibling(_ value: PickleValue, _ path: String, depth: Int, beside key: String) throws {
        try spend(depth, on: value)
        if isOptimizer(value) { return try visitOptimizer(value, depth) }
        guard try holdsTensors(value, depth: depth) else { return try addFact(path, value) }
        if case .tensor(let tensor) = try resolve(value, path), tensor.info.shape.rank == 0 {
            return try addFact(path, value)
        }
        if let items = graph.elements(value) {
            for (index, item) in items.enumerated() where isOptimizer(item) {
                try visitSibling(item, "\(path).\(index)", depth: depth + 1, beside: key)
            }
            if items.allSatisfy({ isOptimizer($0) }) { return }
        }
        skipped.append((path, "tensors beside the state dict '\(key)'"))
    }

    // MARK: The walk

    private mutating func visit(_ value: PickleValue, path: String, owner: Int64, depth: Int) throws {
        try spend(depth, on: value)
        if resolver.isTensor(value) {
            hasForeignTensors = hasForeignTensors || path.isEmpty
            return try add(value, path.isEmpty ? "tensor" : path, owner)
        }
        guard try enter(value) else { return }
        defer { leave(value) }
        if isOptimizer(value) { return try visitOptimizer(value, depth) }
        if isModule(value) { return try visitModule(value, path, depth) }
        if let pairs = graph.pairs(value) {
            if depth == 0, let node = graph.node(value) { reserve(Int(node.count) / 2) }
            try visitPairs(pairs, path, value.payload, depth)
            return
        }
        if let items = graph.elements(value) {
            try visitElements(items, path, value.payload, depth)
        } else if let call = graph.call(value), let state = graph.pairs(graph.state(call.node)) {
            hasForeignTensors = true
            try visitPairs(state, path, value.payload, depth)
        } else if path.isEmpty {
            try addFact("value", value)
        }
    }

    private mutating func reserve(_ most: Int) {
        // Most keys may be anything but tensors, so this is no more than a good start.
        let count = min(most, 256)
        tensors.reserveCapacity(count)
        owners.reserveCapacity(count)
        positions.reserveCapacity(count)
    }

    private mutating func visitPairs(_ pairs: PicklePairs, _ path: String, _ owner: Int64, _ depth: Int) throws {
        for (position, pair) in pairs.enumerated() {
            let name = try joined(path, keyText(pair.key, position: position))
            if resolver.isTensor(pair.value) {
                try add(pair.value, name, owner)
            } else if try holdsTensors(pair.value, depth: depth) || isOptimizer(pair.value) {
                try visit(pair.value, path: name, owner: owner, depth: depth + 1)
            } else {
                try addFact(name, pair.value)
            }
        }
    }

    private mutating func visitElements(_ items: PickleItems, _ path: String, _ owner: Int64, _ depth: Int) throws {
        hasForeignTensors = true
        for (position, item) in items.enumerated() {
            if resolver.isTensor(item) {
                try add(item, try joined(path, "\(position)"), owner)
            } else if try holdsTensors(item, depth: depth) {
                try visit(item, path: try joined(path, "\(position)"), owner: owner, depth: depth + 1)
            } else if graph.node(item) != nil {
                try addFact(try joined(path, "\(position)"), item)
            }
        }
    }

    private mutating func add(_ value: PickleValue, _ name: String, _ owner: Int64) throws {
        tensorBudget -= 1
        nameBytes -= name.utf8.count
        guard tensorBudget >= 0, nameBytes >= 0 else {
            throw ZooError(.limit, "the file names far more tensors than its size accounts for")
        }
        switch try resolve(value, name) {
        case .notTensor: return
        case .unreadable(let reason): skipped.append((name, reason))
        case .tensor(var tensor):
            tensor.info.name = name
            place(tensor, name, owner)
        }
    }

    /// Keeps names unique: a repeated key keeps its last value, as in Python; the same name by another path is told.
    private mutating func place(_ tensor: TorchTensor, _ name: String, _ owner: Int64) {
        guard let position = positions[name] else {
            positions[name] = tensors.count
            owners.append(owner)
            tensors.append(tensor)
            return
        }
        if owners[position] == owner {
            tensors[position] = tensor
        } else {
            skipped.append((name, "another tensor has the same name"))
        }
    }

    /// Resolves a tensor. Decoded copies (protocol 2 spells bytes as text) must not grow with the number of mentions.
    private mutating func resolve(_ value: PickleValue, _ name: String) throws -> TorchResolver.Resolution {
        copiedBytes -= NumpyPickle(graph: graph).decodingCost(value)
        guard copiedBytes >= 0 else {
            throw ZooError(.limit, "arrays inside the pickle take more bytes than the pickle")
        }
        return try ZooError.locate("tensor '\(name)'") { try resolver.resolve(value) }
    }

    private mutating func addFact(_ path: String, _ value: PickleValue) throws {
        nameBytes -= path.utf8.count + 64
        guard nameBytes >= 0 else {
            throw ZooError(.limit, "the file names far more values than its size accounts for")
        }
        facts.append((path, value))
    }

    // MARK: Modules and optimisers

    /// Whether a value is a pickled `torch.nn.Module`: an object whose attributes say so.
    func isModule(_ value: PickleValue) -> Bool {
        guard let call = graph.call(value) else { return false }
        let state = graph.state(call.node)
        guard graph.pairs(state) != nil else { return false }
        return graph.pairs(graph.value("_parameters", in: state)) != nil
            && graph.pairs(graph.value("_modules", in: state)) != nil
    }

    /// Parameters, then persistent buffers, then children: the order of `state_dict()`.
    private mutating func visitModule(_ value: PickleValue, _ path: String, _ depth: Int) throws {
        guard let call = graph.call(value) else { return }
        let state = graph.state(call.node)
        let transient = try names(graph.value("_non_persistent_buffers_set", in: state))
        for group: StaticString in ["_parameters", "_buffers"] {
            guard let pairs = graph.pairs(graph.value(group, in: state)) else { continue }
            for (position, pair) in pairs.enumerated() where resolver.isTensor(pair.value) {
                let key = try keyText(pair.key, position: position)
                if group.utf8CodeUnitCount == 8, transient.contains(key) { continue }
                try add(pair.value, try joined(path, key), value.payload)
            }
        }
        guard let children = graph.pairs(graph.value("_modules", in: state)) else { return }
        for (position, child) in children.enumerated() where graph.node(child.value) != nil {
            let name = try joined(path, keyText(child.key, position: position))
            try visit(child.value, path: name, owner: value.payload, depth: depth + 1)
        }
    }

    private func names(_ value: PickleValue) throws -> Set<String> {
        guard let items = graph.elements(value) else { return [] }
        return Set(items.compactMap { graph.text($0) })
    }

    func isOptimizer(_ value: PickleValue) -> Bool {
        // Real ones have two to four keys.
        graph.elements(graph.value("param_groups", in: value, most: 64)) != nil
            && graph.pairs(graph.value("state", in: value, most: 64)) != nil
    }

    private mutating func visitOptimizer(_ value: PickleValue, _ depth: Int) throws {
        let path = optimizers.isEmpty ? "optimizer" : "optimizer.\(optimizers.count)"
        optimizers.append(graph.value("param_groups", in: value))
        guard options.includesOptimizer, let pairs = graph.pairs(value) else { return }
        let foreign = hasForeignTensors
        for (position, pair) in pairs.enumerated() where try holdsTensors(pair.value, depth: depth) {
            let name = try joined(path, keyText(pair.key, position: position))
            try visit(pair.value, path: name, owner: value.payload, depth: depth + 1)
        }
        hasForeignTensors = foreign
    }

    // MARK: Names

    private func joined(_ path: String, _ key: String) throws -> String {
        let name = path.isEmpty ? key : "\(path).\(key)"
        guard name.utf8.count <= PickleLimits.nameByteCount else {
            throw ZooError(.limit, "a tensor name of more than \(PickleLimits.nameByteCount) bytes")
        }
        return name
    }

    private func keyText(_ key: PickleValue, position: Int) throws -> String {
        switch key.kind {
        case .int: return String(key.payload)
        case .true: return "True"
        case .false: return "False"
        case .none: return "None"
        case .text, .legacyString, .escapedText, .escapedString:
            guard key.length <= UInt32(PickleLimits.nameByteCount) else {
                throw ZooError(.limit, "a key of \(key.length) bytes; \(PickleLimits.nameByteCount) are allowed")
            }
            guard let text = graph.text(key) else { throw ZooError(.corrupt, "a key that is not valid text") }
            return text
        default: return "key\(position)"
        }
    }

    // MARK: Keeping within bounds

    /// Accounts for going through a value's items and attributes once.
    private mutating func spend(_ depth: Int, on value: PickleValue) throws {
        steps -= 1
        if let node = graph.node(value) {
            steps -= graph.itemCount(node)
            if let state = graph.node(graph.state(node)) { steps -= graph.itemCount(state) }
        }
        guard steps >= 0 else {
            throw ZooError(.limit, "the file shares containers so often that listing it would not end")
        }
        guard depth <= PickleLimits.depth else {
            throw ZooError(.limit, "containers nest more than \(PickleLimits.depth) deep")
        }
    }

    /// Per node: whether tensors were found below it (bits 0 and 1), and whether the walk is inside of it (bit 7).
    private enum Mark {
        static let unknown: UInt8 = 0, searching: UInt8 = 1, no: UInt8 = 2, yes: UInt8 = 3, search: UInt8 = 3
        static let inside: UInt8 = 0x80
    }

    /// Begins the walk of a container; false when the walk is inside of it already.
    private mutating func enter(_ value: PickleValue) throws -> Bool {
        guard value.kind == .node else { return true }
        if marks.isEmpty { marks = [UInt8](repeating: 0, count: graph.nodeCount) }
        guard marks[Int(value.payload)] & Mark.inside == 0 else { return false }
        marks[Int(value.payload)] |= Mark.inside
        return true
    }

    private mutating func leave(_ value: PickleValue) {
        if value.kind == .node { marks[Int(value.payload)] &= ~Mark.inside }
    }

    /// Whether a tensor is somewhere below; each node is searched once.
    private mutating func holdsTensors(_ value: PickleValue, depth: Int) throws -> Bool {
        guard value.kind == .node else { return false }
        if resolver.isTensor(value) { return true }
        if marks.isEmpty { marks = [UInt8](repeating: 0, count: graph.nodeCount) }
        let index = Int(value.payload)
        switch marks[index] & Mark.search {
        case Mark.yes: return true
        case Mark.no, Mark.searching: return false
        default: break
        }
        guard depth <= PickleLimits.depth else {
            throw ZooError(.limit, "containers nest more than \(PickleLimits.depth) deep")
        }
        marks[index] |= Mark.searching
        let found = try searchBelow(value, depth + 1)
        marks[index] = marks[index] & ~Mark.search | (found ? Mark.yes : Mark.no)
        return found
    }

    private mutating func searchBelow(_ value: PickleValue, _ depth: Int) throws -> Bool {
        if let pairs = graph.pairs(value) {
            for (_, content) in pairs where try holdsTensors(content, depth: depth) { return true }
        }
        if let items = graph.elements(value) {
            for item in items where try holdsTensors(item, depth: depth) { return true }
        }
        guard let call = graph.call(value) else { return false }
        let state = graph.state(call.node)
        guard state.kind == .node, call.known != .orderedDict else { return false }
        return try holdsTensors(state, depth: depth)
    }
}
