import ZooBase
import ZooTensor

/// A value of a pickle as plain data: numbers, texts, lists, mappings, NumPy and PyTorch arrays, and objects of which
/// only the class' name and the state are read. Nothing is imported, called or built.
///
/// Values are looked at when they are asked for, so containers that hold themselves cost nothing until somebody follows
/// them; who walks deep keeps a depth of their own.
public struct PickledData: Sendable {
    /// Texts and lists of numbers longer than this are not data of a header.
    private static let elementLimit = 100_000_000

    private let file: PickledFile
    private let value: PickleValue

    private init(_ file: PickledFile, _ value: PickleValue) {
        self.file = file
        self.value = value
    }

    /// Whether bytes may be opened: a zip or legacy file of `torch.save`, or a pickle of protocol 2 to 5.
    public static func accepts(_ bytes: Bytes) -> Bool {
        PyTorchZipReader.accepts(bytes) || PyTorchLegacyReader.accepts(bytes)
            || (bytes.count > 4 && bytes[0] == 0x80 && (2...5).contains(bytes[1]))
    }

    /// Opens a pickle, or what `torch.save` wrote.
    ///
    /// - Throws: `corrupt`, `unsupported` or `limit`, with the name in front.
    public static func open(_ bytes: Bytes, name: String) throws -> PickledData {
        if PyTorchZipReader.accepts(bytes) {
            let zip = try TorchZip(bytes, name: name)
            let graph = try zip.objectGraph()
            let file = PickledFile(bytes: bytes, graph: graph, storages: try zip.storages(in: "data"))
            return PickledData(file, graph.root)
        }
        return try ZooError.locate(name) {
            if PyTorchLegacyReader.accepts(bytes) {
                let (graph, storages) = try PyTorchLegacyReader.contents(bytes)
                return PickledData(PickledFile(bytes: bytes, graph: graph, storages: storages), graph.root)
            }
            let graph = try PickleMachine.parse(bytes, byteLimit: PickleLimits.dataByteCount)
            return PickledData(PickledFile(bytes: bytes, graph: graph, storages: NoStorages()), graph.root)
        }
    }

    private func with(_ value: PickleValue) -> PickledData { PickledData(file, value) }

    /// The integer.
    public var int: Int? { value.int }

    /// A text; also bytes that are UTF-8, as Python 3 reads the texts of Python 2.
    public var text: String? {
        if let text = file.graph.text(value) { return text }
        return file.graph.byteString(value, most: 1 << 20).flatMap { bytes in
            bytes.withUnsafeBytes { String(validating: $0, as: UTF8.self) }
        }
    }

    /// The elements of a list, tuple or set.
    public var elements: [PickledData]? { file.graph.elements(value).map { $0.map(with) } }

    /// All elements of a list as integers; nil when it is no list or one of them is none.
    public var integers: [Int]? {
        guard let items = file.graph.elements(value) else { return nil }
        var numbers: [Int] = []
        for item in items {
            guard let number = item.int, numbers.count < Self.elementLimit else { return nil }
            numbers.append(number)
        }
        return numbers
    }

    /// The members of a mapping whose keys are texts; nil for anything else.
    public var members: [(key: String, value: PickledData)]? {
        guard let pairs = file.graph.pairs(value) else { return nil }
        var members: [(key: String, value: PickledData)] = []
        for (key, content) in pairs {
            guard let name = with(key).text else { continue }
            members.append((name, with(content)))
        }
        return members
    }

    /// A member of a mapping.
    public subscript(key: String) -> PickledData? { members?.last { $0.key == key }?.value }

    /// `module.Class` of an object that is neither a container nor an array.
    public var className: String? { file.graph.call(value).flatMap(file.graph.className) }

    /// What the object would be restored from: the members of its state.
    public var state: PickledData? {
        guard let call = file.graph.call(value) else { return nil }
        let state = file.graph.state(call.node)
        if file.graph.pairs(state) != nil { return with(state) }
        // Objects with slots have (members, slots).
        guard let node = file.graph.node(state), node.kind == .tuple else { return nil }
        return with(file.graph.item(node, 0))
    }

    /// Whether the value is an array, read or not.
    public var isArray: Bool { file.resolver.isTensor(value) }

    /// The array without its elements; nil for anything else.
    ///
    /// - Throws: `corrupt` when it contradicts itself; `unsupported` for one that is not read.
    public func arrayInfo() throws -> TensorInfo? { try resolved()?.info }

    /// The array; nil for anything else.
    ///
    /// - Throws: `corrupt` when it contradicts itself; `unsupported` for one that is not read (objects, sparse).
    public func tensor() throws -> Tensor? {
        try resolved()?.read(file.bytes, file.storages, limit: 1 << 36)
    }

    private func resolved() throws -> TorchTensor? {
        switch try file.resolver.resolve(value) {
        case .tensor(let tensor): return tensor
        case .unreadable(let reason): throw ZooError(.unsupported, reason)
        case .notTensor: return nil
        }
    }
}

/// What the values of one file share.
private struct PickledFile: Sendable {
    let bytes: Bytes
    let graph: PickleGraph
    let storages: any TorchStorages

    var resolver: TorchResolver { TorchResolver(graph: graph, storages: storages) }
}

/// A pickle without storages beside it.
private struct NoStorages: TorchStorages {
    var isBigEndian: Bool { false }

    func storage(key: String) -> TorchStorage? { nil }

    func unpack(index: Int) throws -> Bytes { throw ZooError(.internal, "a plain pickle has no storages") }
}
