import ZooBase
import ZooTensor

/// Turns values of a pickle into JSON for people to read: scalars, settings, names of what was not executed.
struct TorchFacts {
    let graph: PickleGraph
    let resolver: TorchResolver
    /// Reads a tensor without axes.
    let read: (TorchTensor) -> Tensor?
    /// Values still to be written; what is past it is summed up in a line.
    private var budget: Int

    init(graph: PickleGraph, resolver: TorchResolver, read: @escaping (TorchTensor) -> Tensor?) {
        self.graph = graph
        self.resolver = resolver
        self.read = read
        budget = 1 << 20 + graph.byteCount
    }

    /// The deepest nesting that is written out.
    private static let depth = 32
    /// What one value costs besides its text.
    private static let valueCost = 64

    /// The JSON of a value.
    mutating func json(_ value: PickleValue, depth: Int = 0) -> JSONValue {
        budget -= Self.valueCost
        guard budget > 0, depth < Self.depth else { return .string("(too large to show)") }
        switch value.kind {
        case .absent, .none: return .null
        case .true: return .bool(true)
        case .false: return .bool(false)
        case .int: return .int(value.payload)
        case .double: return .double(Double(bitPattern: UInt64(bitPattern: value.payload)))
        case .long: return .string(hexadecimal(value))
        case .text, .escapedText, .legacyString, .escapedString: return text(value)
        case .bytes: return .string("(\(value.length) bytes)")
        case .global:
            let name = graph.globalName(value) ?? "?"
            budget -= name.utf8.count
            return .string(name)
        case .node: return container(value, depth)
        }
    }

    private mutating func text(_ value: PickleValue) -> JSONValue {
        budget -= Int(value.length)
        guard budget > 0 else { return .string("(a text of \(value.length) bytes)") }
        return .string(graph.text(value) ?? "(\(value.length) bytes that are not text)")
    }

    private func hexadecimal(_ value: PickleValue) -> String {
        graph.withSlice(value) { bytes in
            let digits = "0123456789abcdef".utf8.map { Character(Unicode.Scalar($0)) }
            return "0x" + String(bytes.reversed().flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
        }
    }

    private mutating func container(_ value: PickleValue, _ depth: Int) -> JSONValue {
        if resolver.isTensor(value) { return tensor(value) }
        if let scalar = NumpyPickle(graph: graph).scalar(value) { return Self.number(scalar) }
        if let pairs = graph.pairs(value) { return object(pairs, depth) }
        if let items = graph.elements(value) { return array(items, depth) }
        if let call = graph.call(value) { return self.call(call, depth) }
        return .string("(a storage)")
    }

    private mutating func object(_ pairs: PicklePairs, _ depth: Int) -> JSONValue {
        var object = JSONObject()
        for (position, pair) in pairs.enumerated() {
            guard budget > 0 else {
                object["…"] = "(too large to show)"
                break
            }
            object[name(pair.key, position)] = json(pair.value, depth: depth + 1)
        }
        return .object(object)
    }

    /// A key as text: scalars as they are, tuples of scalars as Python prints them, others by their position.
    private mutating func name(_ key: PickleValue, _ position: Int) -> String {
        guard key.kind == .node else { return key.isNone ? "None" : word(key) }
        guard let items = graph.elements(key) else { return "key\(position)" }
        return "(" + items.prefix(8).map { word($0) }.joined(separator: ", ") + ")"
    }

    /// A scalar as a word. What is inside containers is left out: quoting text inside text inside text doubles it at
    /// every level.
    private mutating func word(_ value: PickleValue, isQuoted: Bool = false) -> String {
        if let call = graph.call(value) { return (graph.className(call) ?? "?") + "(…)" }
        if value.kind == .node { return "…" }
        let shown = json(value)
        return isQuoted ? shown.text() : shown.string ?? shown.text()
    }

    private mutating func array(_ items: PickleItems, _ depth: Int) -> JSONValue {
        var elements: [JSONValue] = []
        for item in items {
            elements.append(json(item, depth: depth + 1))
            if budget <= 0 { break }
        }
        return .array(elements)
    }

    private mutating func tensor(_ value: PickleValue) -> JSONValue {
        budget -= NumpyPickle(graph: graph).decodingCost(value)
        guard budget > 0 else { return .string("(too large to show)") }
        guard case .tensor(let tensor) = try? resolver.resolve(value) else { return .string("(a tensor)") }
        if tensor.info.shape.rank == 0, let scalar = read(tensor) { return Self.number(scalar) }
        return .string("(a tensor \(tensor.info.shape) of \(tensor.info.dtype.rawValue))")
    }

    /// The number of a tensor without axes.
    static func number(_ tensor: Tensor) -> JSONValue {
        guard let value = tensor.doubles().first else { return .null }
        switch tensor.dtype {
        case .bool: return .bool(value != 0)
        case .int64: return .int((try? tensor.bytes.littleEndian(Int64.self, at: 0)) ?? 0)
        case let type where type.isInteger: return Int64(exactly: value).map { .int($0) } ?? .double(value)
        default: return .double(value)
        }
    }

    /// Objects of classes: paths and namespaces as what they are, others by name and attributes. Nothing is built.
    private mutating func call(_ call: PickleGraph.Call, _ depth: Int) -> JSONValue {
        let state = graph.state(call.node)
        switch call.known {
        case .path: return .string(path(call.arguments))
        case .namespace: if let pairs = graph.pairs(state) { return object(pairs, depth) }
        case .long: if let node = graph.node(call.arguments) { return json(graph.item(node, 0), depth: depth + 1) }
        default: break
        }
        let name = graph.className(call) ?? "?"
        budget -= name.utf8.count
        if let pairs = graph.pairs(state), case .object(var members) = object(pairs, depth) {
            members["(class)"] = .string(name)
            return .object(members)
        }
        guard let arguments = graph.elements(call.arguments) else { return .string(name) }
        let shown = arguments.prefix(8).map { word($0, isQuoted: true) }
        return .string("\(name)(\(shown.joined(separator: ", ")))")
    }

    private mutating func path(_ arguments: PickleValue) -> String {
        let parts = graph.elements(arguments).map { $0.prefix(256).compactMap { json($0, depth: 0).string } } ?? []
        guard parts.first == "/" else { return parts.joined(separator: "/") }
        return "/" + parts.dropFirst().joined(separator: "/")
    }
}
