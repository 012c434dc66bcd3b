import ZooBase
import ZooTensor

/// Reads the parameters and buffers of a TorchScript archive (`torch.jit.save`); its code is never run.
///
/// `P/data.pkl` holds the module tree as objects of `__torch__` classes with attribute dictionaries. Which attributes
/// are parameters and which buffers only the code says: each class of `P/code/…` declares `__parameters__ = […]` and
/// `__buffers__ = […]`, and those two lines are all that is read of it. Names and order are those of the loaded module's
/// `state_dict()`, so tied tensors appear under each of their names, with equal offsets. Tensors that are plain
/// attributes, and constants of the code, are `skipped` with that reason; a frozen module has constants only, and they
/// are listed as `constants.0`, `constants.1`, ….
public struct TorchScriptReader: CheckpointReader {
    /// `torchscript`.
    public static let format = "torchscript"

    /// The tensors, in the order of `state_dict()`.
    public let entries: [TensorEntry]
    /// `kind` (`torchscript`), `class` of the root module, and `frozen` when the tensors are constants of the code.
    public let metadata: JSONObject
    /// Plain attributes and constants, with reasons.
    public let skipped: [(name: String, reason: String)]

    private let bytes: Bytes
    private let name: String
    private let options: ReaderOptions
    private let storages: TorchZipStorages
    private let tensors: [TorchTensor]
    private let positions: [String: Int]

    /// Whether the bytes are a zip with the entries of a TorchScript archive.
    public static func accepts(_ bytes: Bytes) -> Bool { TorchZipProbe.kind(bytes) == .script }

    /// Parses the directory, the module tree and the declarations of its classes.
    public init(_ bytes: Bytes, name: String, options: ReaderOptions = ReaderOptions()) throws {
        let zip = try TorchZip(bytes, name: name)
        guard zip.isScript else { throw ZooError(.corrupt, "\(name): expected an entry 'constants.pkl', found none") }
        let graph = try zip.objectGraph()
        let storages = try zip.storages(in: "data")
        var walk = ScriptWalk(graph: graph, storages: storages, classes: ScriptClasses(zip: zip))
        let constants = try zip.graph(named: "constants.pkl")
        let constantStorages = try zip.storages(in: "constants")
        try ZooError.locate(name) {
            try walk.run()
            if let constants { try walk.addConstants(constants, constantStorages) }
        }
        var metadata = JSONObject([("kind", "torchscript"), ("container", "zip")])
        if let module = graph.call(graph.root) { metadata["class"] = graph.className(module).map { .string($0) } }
        if walk.isFrozen { metadata["frozen"] = true }
        self.bytes = bytes
        self.name = name
        self.options = options
        self.storages = storages
        self.metadata = metadata
        tensors = walk.tensors
        positions = walk.positions
        skipped = walk.skipped
        entries = walk.tensors.map { TensorEntry(info: $0.info, offset: $0.offset(in: bytes)) }
    }

    /// One tensor: a slice of the file, or a copy when it is a strided or packed view.
    public func tensor(named name: String) throws -> Tensor {
        guard let position = positions[name] else {
            throw ZooError(.notFound, "\(self.name): no tensor '\(name)'")
        }
        return try ZooError.locate("\(self.name): tensor '\(name)'") {
            try tensors[position].read(bytes, storages, limit: options.materialisationLimit)
        }
    }
}

/// Walks the module tree.
private struct ScriptWalk {
    let graph: PickleGraph
    let resolver: TorchResolver
    var classes: ScriptClasses
    var tensors: [TorchTensor] = []
    var positions: [String: Int] = [:]
    var skipped: [(name: String, reason: String)] = []
    var isFrozen = false
    private var steps: Int
    private var nameBytes: Int

    init(graph: PickleGraph, storages: TorchZipStorages, classes: ScriptClasses) {
        self.graph = graph
        self.classes = classes
        resolver = TorchResolver(graph: graph, storages: storages)
        steps = 16 * graph.itemCount + 10_000
        nameBytes = 4 << 20 + 2 * graph.byteCount
    }

    mutating func run() throws {
        guard graph.call(graph.root) != nil else {
            throw ZooError(.corrupt, "expected a module in data.pkl, found something else")
        }
        try visit(graph.root, path: "", depth: 0)
    }

    /// Parameters, buffers, then submodules: the order of `state_dict()`.
    private mutating func visit(_ value: PickleValue, path: String, depth: Int) throws {
        guard depth <= PickleLimits.depth else {
            throw ZooError(.limit, "modules nest more than \(PickleLimits.depth) deep")
        }
        guard let call = graph.call(value), case let type = graph.callable(call.node), type.kind == .global,
            let declaration = try classes.declaration(graph, Int(type.payload))
        else { return }
        let state = graph.state(call.node)
        guard let attributes = graph.pairs(state), let node = graph.node(state) else { return }
        steps -= 1 + 2 * graph.itemCount(node)
        guard steps >= 0 else {
            throw ZooError(.limit, "the file shares modules so often that listing them would not end")
        }
        for group in [declaration.parameters, declaration.buffers] where !group.isEmpty {
            for (key, content) in attributes where resolver.isTensor(content) {
                let name = try attributeName(key)
                if group.contains(name) { try add(content, try joined(path, name)) }
            }
        }
        for (key, content) in attributes where graph.node(content) != nil {
            let name = try attributeName(key)
            if resolver.isTensor(content) {
                if !declaration.parameters.contains(name), !declaration.buffers.contains(name) {
                    try skip(try joined(path, name), "an attribute, neither parameter nor buffer")
                }
            } else {
                try visit(content, path: try joined(path, name), depth: depth + 1)
            }
        }
    }

    private func attributeName(_ key: PickleValue) throws -> String {
        guard key.length <= UInt32(PickleLimits.nameByteCount), let name = graph.text(key) else {
            throw ZooError(.corrupt, "an attribute without a proper name")
        }
        return name
    }

    private func joined(_ path: String, _ name: String) throws -> String {
        let joined = path.isEmpty ? name : "\(path).\(name)"
        guard joined.utf8.count <= PickleLimits.nameByteCount else {
            throw ZooError(.limit, "a tensor name of more than \(PickleLimits.nameByteCount) bytes")
        }
        return joined
    }

    private mutating func spendName(_ name: String) throws {
        nameBytes -= name.utf8.count + 64
        guard nameBytes >= 0 else {
            throw ZooError(.limit, "the file names far more tensors than its size accounts for")
        }
    }

    private mutating func skip(_ name: String, _ reason: String) throws {
        try spendName(name)
        skipped.append((name, reason))
    }

    private mutating func add(_ value: PickleValue, _ name: String) throws {
        try place(try ZooError.locate("tensor '\(name)'") { try resolver.resolve(value) }, name)
    }

    private mutating func place(_ resolution: TorchResolver.Resolution, _ name: String) throws {
        try spendName(name)
        switch resolution {
        case .notTensor: return
        case .unreadable(let reason): skipped.append((name, reason))
        case .tensor(var tensor):
            tensor.info.name = name
            if let position = positions.updateValue(tensors.count, forKey: name) {
                positions[name] = position
                tensors[position] = tensor
            } else {
                tensors.append(tensor)
            }
        }
    }

    /// The constants of the code: the weights of a frozen module, otherwise mentioned only.
    mutating func addConstants(_ constants: PickleGraph, _ storages: TorchZipStorages) throws {
        guard let items = constants.elements(constants.root) else { return }
        isFrozen = tensors.isEmpty
        let resolver = TorchResolver(graph: constants, storages: storages)
        for (index, item) in items.enumerated() where resolver.isTensor(item) {
            let name = "constants.\(index)"
            if isFrozen {
                try place(try ZooError.locate("tensor '\(name)'") { try resolver.resolve(item) }, name)
            } else {
                try skip(name, "a constant of the code, neither parameter nor buffer")
            }
        }
        isFrozen = !tensors.isEmpty && isFrozen
    }
}

/// What the classes of an archive declare, read from `P/code/` when first asked for.
private struct ScriptClasses {
    struct Declaration {
        var parameters: Set<String> = []
        var buffers: Set<String> = []
    }

    private let zip: TorchZip
    private let members: [String: Int]
    private var byGlobal: [Int: Declaration?] = [:]
    private var byFile: [String: [String: Declaration]] = [:]
    /// Bytes of code that may still be unpacked.
    private var budget = 64 << 20

    init(zip: TorchZip) {
        self.zip = zip
        var members: [String: Int] = [:]
        for (position, entry) in zip.directory.entries.enumerated() where entry.name.hasSuffix(".py") {
            members[entry.name] = position
        }
        self.members = members
    }

    /// The declaration of a class; nil for classes that are not modules.
    ///
    /// - Throws: `corrupt` when the code of a `__torch__` class is missing.
    mutating func declaration(_ graph: PickleGraph, _ index: Int) throws -> Declaration? {
        if let known = byGlobal[index] { return known }
        let global = graph.globals[index]
        guard global.module.length <= 1024, global.name.length <= 1024, let module = graph.text(global.module),
            let name = graph.text(global.name), module.hasPrefix("__torch__")
        else {
            byGlobal[index] = .some(nil)
            return nil
        }
        let path = zip.folder + "code/" + module.split(separator: ".").joined(separator: "/") + ".py"
        let declaration = try classes(path)[name]
        byGlobal[index] = .some(declaration)
        return declaration
    }

    private mutating func classes(_ path: String) throws -> [String: Declaration] {
        if let known = byFile[path] { return known }
        guard let position = members[path] else {
            throw ZooError(
                .corrupt, "expected '\(path)', which says what the parameters are, found no such entry")
        }
        let entry = zip.directory.entries[position]
        budget -= entry.byteCount
        guard budget >= 0 else { throw ZooError(.limit, "more than \(64 << 20) bytes of code") }
        let code = try zip.directory.bytes(of: entry).withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
        let classes = Self.parse(code)
        byFile[path] = classes
        return classes
    }

    /// Finds `class NAME(Module):` and below it the lists of `__parameters__` and `__buffers__`.
    static func parse(_ code: String) -> [String: Declaration] {
        var classes: [String: Declaration] = [:]
        var current: String?
        for line in code.split(separator: "\n") {
            if line.hasPrefix("class ") {
                let head = line.dropFirst("class ".count)
                let isModule = head.hasSuffix("(Module):")
                current = isModule ? head.prefix { $0 != "(" }.description : nil
                if let current { classes[current] = Declaration() }
            } else if let current, line.hasPrefix("  __parameters__ = [") {
                classes[current]?.parameters = names(line)
            } else if let current, line.hasPrefix("  __buffers__ = [") {
                classes[current]?.buffers = names(line)
            }
        }
        return classes
    }

    /// The quoted names of a list on one line.
    private static func names(_ line: Substring) -> Set<String> {
        Set(
            line.split(separator: "\"", omittingEmptySubsequences: false).enumerated().compactMap { index, part in
                index % 2 == 1 ? String(part) : nil
            })
    }
}
