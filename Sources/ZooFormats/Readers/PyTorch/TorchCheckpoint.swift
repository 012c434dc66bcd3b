import ZooBase
import ZooTensor

/// The listed contents of a PyTorch file, whichever container they came from: what all readers of the family share.
struct TorchCheckpoint: Sendable {
    let bytes: Bytes
    let name: String
    let options: ReaderOptions
    let graph: PickleGraph
    let storages: any TorchStorages
    let entries: [TensorEntry]
    let skipped: [(name: String, reason: String)]

    private let tensors: [TorchTensor]
    private let positions: [String: Int]
    private let facts: [(path: String, value: PickleValue)]
    private let optimizers: [PickleValue]
    private let wrapper: [String]
    private let stateDict: PickleValue
    private let kind: String
    private let container: String

    /// Lists what a pickle describes.
    ///
    /// - Parameter container: `zip` or `legacy`, for the metadata.
    init(
        _ bytes: Bytes, name: String, options: ReaderOptions, graph: PickleGraph, storages: any TorchStorages,
        container: String
    ) throws {
        var walk = TorchWalk(graph: graph, storages: storages, options: options)
        try walk.run()
        self.init(
            bytes, name: name, options: options, graph: graph, storages: storages, container: container, walk: walk)
    }

    private init(
        _ bytes: Bytes, name: String, options: ReaderOptions, graph: PickleGraph, storages: any TorchStorages,
        container: String, walk: TorchWalk
    ) {
        self.bytes = bytes
        self.name = name
        self.options = options
        self.graph = graph
        self.storages = storages
        self.container = container
        tensors = walk.tensors
        positions = walk.positions
        skipped = walk.skipped
        facts = walk.facts
        optimizers = walk.optimizers
        wrapper = walk.wrapper
        stateDict = walk.stateDict
        kind = walk.kind
        entries = walk.tensors.map { TensorEntry(info: $0.info, offset: $0.offset(in: bytes)) }
    }

    func tensor(named name: String) throws -> Tensor {
        guard let position = positions[name] else {
            throw ZooError(.notFound, "\(self.name): no tensor '\(name)'")
        }
        return try ZooError.locate("\(self.name): tensor '\(name)'") {
            try tensors[position].read(bytes, storages, limit: options.materialisationLimit)
        }
    }

    // MARK: Metadata

    /// Keys under which the reader itself speaks; a value of the file under one of them is shown as `file.KEY`.
    private static let ownKeys: Set<String> = [
        "kind", "container", "wrapper", "class", "unexecuted", "optimizer", "_metadata", "byteorder",
    ]

    /// Scalars beside the tensors under their own names, then what the reader found out.
    var metadata: JSONObject {
        let resolver = TorchResolver(graph: graph, storages: storages)
        var writer = TorchFacts(graph: graph, resolver: resolver) { [bytes, storages] tensor in
            try? tensor.read(bytes, storages, limit: 1 << 20)
        }
        var object = JSONObject()
        for (path, value) in facts {
            object[Self.ownKeys.contains(path) ? "file." + path : path] = writer.json(value)
        }
        object["kind"] = .string(kind)
        object["container"] = .string(container)
        if !wrapper.isEmpty { object["wrapper"] = .string(wrapper.joined(separator: ".")) }
        if storages.isBigEndian { object["byteorder"] = "big" }
        for (index, groups) in optimizers.enumerated() {
            object[index == 0 ? "optimizer" : "optimizer.\(index)"] = .object(
                JSONObject([("param_groups", writer.json(groups))]))
        }
        if let module = graph.call(stateDict), graph.known(graph.callable(module.node)) == nil {
            object["class"] = graph.className(module).map { .string($0) }
        }
        let unknown = graph.unknownGlobals
        if !unknown.isEmpty { object["unexecuted"] = .array(unknown.map { .string($0) }) }
        if let versions = moduleVersions { object["_metadata"] = writer.json(versions) }
        return object
    }

    /// `{module prefix: {"version": n}}` that PyTorch attaches to a state dict.
    private var moduleVersions: PickleValue? {
        guard let node = graph.node(stateDict) else { return nil }
        let versions = graph.value("_metadata", in: graph.state(node), most: 64)
        return graph.pairs(versions) == nil ? nil : versions
    }
}
