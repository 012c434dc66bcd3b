import ZooBase
import ZooTensor

/// Reads what `torch.save` wrote before PyTorch 1.6, and still does with its old serialisation flag.
///
/// Pickles one after another: a magic number, protocol 1001, a dictionary about the machine, the object graph, the list
/// of storage keys; then for each key an element count (i64, little-endian) and the raw elements. There is no index:
/// storages are found by hopping from one to the next, with element sizes from the graph. The tar of versions before
/// 0.1.10 is recognised and refused. Metadata are as in `PyTorchZipReader`, `container` is `legacy`.
public struct PyTorchLegacyReader: CheckpointReader {
    /// `pytorch`.
    public static let format = "pytorch"

    private let checkpoint: TorchCheckpoint

    /// 0x1950A86A20F9469CFC6C as LONG1, little-endian.
    private static let magic: [UInt8] = [0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, 0x2E]

    /// Whether the bytes begin with the magic number's pickle, or with the tar of the first versions.
    public static func accepts(_ bytes: Bytes) -> Bool { magicEnd(bytes) != nil || isTar(bytes) }

    /// Where the first pickle ends: a protocol (and from protocol 4 on a frame), then the magic number.
    private static func magicEnd(_ bytes: Bytes) -> Int? {
        guard bytes.count > 2, bytes[0] == 0x80, (2...5).contains(bytes[1]) else { return nil }
        let start = bytes[2] == 0x95 ? 11 : 2
        return bytes.suffix(from: start).starts(with: magic) ? start + magic.count : nil
    }

    private static func isTar(_ bytes: Bytes) -> Bool {
        guard bytes.suffix(from: 257).starts(with: Array("ustar".utf8)) else { return false }
        return ["sys_info", "pickle", "storages", "tensors"].contains { bytes.starts(with: Array($0.utf8) + [0]) }
    }

    /// Parses the pickles and locates the storages.
    public init(_ bytes: Bytes, name: String, options: ReaderOptions = ReaderOptions()) throws {
        checkpoint = try ZooError.locate(name) {
            let (graph, storages) = try Self.contents(bytes)
            return try TorchCheckpoint(
                bytes, name: name, options: options, graph: graph, storages: storages, container: "legacy")
        }
    }

    /// The object graph and the storages of a legacy file, for whoever wants more than a state dict.
    static func contents(_ bytes: Bytes) throws -> (graph: PickleGraph, storages: any TorchStorages) {
        guard let start = magicEnd(bytes) else { throw refusal(bytes) }
        var reader = LegacyPickles(bytes: bytes, position: start)
        let graph = try reader.objectGraph()
        return (graph, try reader.storages(of: graph))
    }

    private static func refusal(_ bytes: Bytes) -> ZooError {
        guard isTar(bytes) else {
            return ZooError(.corrupt, "expected the magic number of a PyTorch file, found something else")
        }
        return ZooError(
            .unsupported, "the tar format of PyTorch before 0.1.10 is not read",
            hint: "load and save it again with any PyTorch from 0.1.10 to 1.13")
    }

    /// The tensors, in the order of the file.
    public var entries: [TensorEntry] { checkpoint.entries }

    /// What the file says besides tensors; built anew at each call.
    public var metadata: JSONObject { checkpoint.metadata }

    /// Tensors that are not read, with reasons.
    public var skipped: [(name: String, reason: String)] { checkpoint.skipped }

    /// One tensor: a slice of the file, or a copy when it is a strided or conjugated view.
    public func tensor(named name: String) throws -> Tensor { try checkpoint.tensor(named: name) }
}

/// The pickles and storages of a legacy file, in turn.
private struct LegacyPickles {
    let bytes: Bytes
    var position: Int

    private mutating func next(_ what: String) throws -> PickleGraph {
        let graph = try ZooError.locate("\(what) at offset \(position)") {
            try PickleMachine.parse(bytes.suffix(from: position))
        }
        position += graph.byteCount
        return graph
    }

    /// Checks the version, steps over the machine's facts and parses the object.
    mutating func objectGraph() throws -> PickleGraph {
        let version = try next("protocol number")
        guard version.root.int == 1001 else {
            let found = version.root.int.map { String($0) } ?? "something else"
            throw ZooError(.unsupported, "expected protocol number 1001, found \(found)")
        }
        _ = try next("system information")
        return try next("object")
    }

    /// Hops over the storages in the order of the key list.
    mutating func storages(of graph: PickleGraph) throws -> LegacyStorages {
        let list = try next("list of storage keys")
        guard let keys = list.elements(list.root) else { throw ZooError(.corrupt, "expected a list of storage keys") }
        let widths = try elementWidths(graph)
        var places: [String: TorchStorage] = [:]
        for item in keys {
            guard let key = list.text(item), let width = widths[key] else {
                throw ZooError(.corrupt, "storage key \(list.text(item) ?? "?") belongs to no tensor")
            }
            let count = Int(try bytes.littleEndian(Int64.self, at: position))
            let (size, overflow) = count.multipliedReportingOverflow(by: width)
            position += 8
            guard count >= 0, !overflow, size <= bytes.count - position else {
                throw ZooError(
                    .corrupt,
                    "storage '\(key)' at offset \(position) should hold \(count) elements of \(width) bytes, "
                        + "but only \(bytes.count - position) bytes are left")
            }
            let storage = TorchStorage(place: .inPlace(offset: position), byteCount: size)
            guard places.updateValue(storage, forKey: key) == nil else {
                throw ZooError(.corrupt, "storage '\(key)' is listed twice")
            }
            position += size
        }
        return LegacyStorages(places: places)
    }

    /// Bytes per element of each storage, by the class that its references name.
    private func elementWidths(_ graph: PickleGraph) throws -> [String: Int] {
        var widths: [String: Int] = [:]
        for identifier in graph.persistentIdentifiers {
            guard let node = graph.node(identifier), graph.isText(graph.item(node, 0), "storage") else { continue }
            guard let key = graph.text(graph.item(node, 2)), let width = elementWidth(graph, graph.item(node, 1))
            else { throw ZooError(.corrupt, "a storage without key or known class") }
            guard widths.updateValue(width, forKey: key) ?? width == width else {
                throw ZooError(.corrupt, "storage '\(key)' has two element sizes")
            }
        }
        return widths
    }

    private func elementWidth(_ graph: PickleGraph, _ type: PickleValue) -> Int? {
        switch graph.known(type) {
        case .storage(let dtype?): dtype.byteCount
        case .storage(nil): graph.globalName(type) == "torch.QInt32Storage" ? 4 : 1
        case .untypedStorage: 1
        default: nil
        }
    }
}

/// Storages of a legacy file: always little-endian, whatever machine wrote it.
private struct LegacyStorages: TorchStorages {
    let places: [String: TorchStorage]
    var isBigEndian: Bool { false }

    func storage(key: String) -> TorchStorage? { places[key] }

    func unpack(index: Int) throws -> Bytes {
        throw ZooError(.internal, "a legacy file has no packed storages")
    }
}
