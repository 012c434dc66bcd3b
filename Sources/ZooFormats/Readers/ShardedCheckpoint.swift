import ZooBase
import ZooTensor

/// A checkpoint cut into files of any format by a Hugging Face index (`model.safetensors.index.json`,
/// `pytorch_model.bin.index.json`), read as one.
public struct ShardedCheckpoint: TensorSource {
    /// The usual name of the index of a safetensors checkpoint.
    public static let safetensorsIndexName = "model.safetensors.index.json"

    /// The shards' format with `-sharded`.
    public let format: String
    /// The tensors, shard by shard.
    public let tensorInfos: [TensorInfo]
    /// The index's `metadata`.
    public let metadata: JSONObject
    /// Tensors that are there and not read, with reasons.
    public let skipped: [(name: String, reason: String)]
    /// The shards in order of their names.
    public let shards: [any TensorSource]
    private let homes: [String: Int]

    /// Opens an index file and the shards beside it.
    ///
    /// - Throws: `notFound` for missing shards and tensors, `corrupt` for an index that leads out of its folder.
    public init(indexFile path: String, options: ReaderOptions = ReaderOptions()) throws {
        let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
        try self.init(index: try Bytes(mapping: path), name: path, options: options) { try Bytes(mapping: folder + $0) }
    }

    /// Opens an index among the members of an archive, by its path there.
    public init(indexMember path: String, in archive: any Archive, options: ReaderOptions = ReaderOptions()) throws {
        let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
        func bytes(_ name: String) throws -> Bytes {
            guard let member = archive.members.first(where: { $0.path == name }) else {
                throw ZooError(.notFound, "\(name): no such member")
            }
            return try archive.bytes(of: member)
        }
        try self.init(index: try bytes(path), name: path, options: options) { try bytes(folder + $0) }
    }

    /// Opens an index whose shards lie anywhere.
    ///
    /// - Parameter open: gives the bytes of a shard by its file name, which has been checked to stay beside the index.
    public init(
        index: Bytes, name: String, options: ReaderOptions = ReaderOptions(), open: (String) throws -> Bytes
    ) throws {
        let (map, metadata) = try ZooError.locate(name) { try Self.weightMap(index) }
        let names = Set(map.values).sorted()
        var infos: [TensorInfo] = []
        var homes: [String: Int] = [:]
        var skipped: [(name: String, reason: String)] = []
        var formats = Set<String>()
        var shards: [any TensorSource] = []
        for shard in names {
            let bytes: Bytes
            do { bytes = try open(shard) } catch let error as ZooError where error.code == .notFound {
                throw ZooError(.notFound, "\(name): shard '\(shard)' is missing", hint: "download the model again")
            }
            let reader = try CheckpointReaders.open(bytes, name: "\(name) › \(shard)", options: options)
            formats.insert(type(of: reader).format)
            skipped += reader.skipped
            for info in reader.tensorInfos {
                guard map[info.name] == shard else {
                    let home = map[info.name].map { "the index takes it from \($0)" } ?? "the index does not list it"
                    skipped.append((info.name, "lies in \(shard), but \(home)"))
                    continue
                }
                homes[info.name] = shards.count
                infos.append(info)
            }
            shards.append(reader)
        }
        let accounted = Set(skipped.map(\.name)).union(homes.keys)
        if let missing = map.keys.filter({ !accounted.contains($0) }).min(), let shard = map[missing] {
            throw ZooError(.notFound, "\(name): tensor '\(missing)' should be in \(shard), but that file lacks it")
        }
        format = formats.sorted().joined(separator: "+") + "-sharded"
        tensorInfos = infos
        self.metadata = metadata
        self.skipped = skipped
        self.shards = shards
        self.homes = homes
    }

    /// One tensor, from its shard.
    public func tensor(named name: String) throws -> Tensor {
        guard let home = homes[name] else { throw ZooError(.notFound, "no tensor '\(name)'") }
        return try shards[home].tensor(named: name)
    }

    /// The paths of the shards that an index member names, in order.
    public static func shardPaths(indexMember path: String, in archive: any Archive) throws -> [String] {
        let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
        guard let member = archive.members.first(where: { $0.path == path }) else {
            throw ZooError(.notFound, "\(path): no such member")
        }
        return Set(try weightMap(archive.bytes(of: member)).map.values).sorted().map { folder + $0 }
    }

    /// The shard files by tensor.
    static func weightMap(_ index: Bytes) throws -> (map: [String: String], metadata: JSONObject) {
        let json = try JSONParser.parse(index)
        guard let members = json["weight_map"]?.object else {
            throw ZooError(.corrupt, "the index has no object 'weight_map'")
        }
        var map: [String: String] = [:]
        for (tensor, value) in members {
            guard let file = value.string, !file.isEmpty else {
                throw ZooError(.corrupt, "'weight_map' gives no file name for tensor '\(tensor)'")
            }
            let isPlain = !file.contains("/") && !file.contains("\\") && !file.contains("\0")
            guard isPlain, file != ".", file != ".." else {
                throw ZooError(
                    .corrupt, "tensor '\(tensor)': shard '\(file)' would lie outside the folder of the index")
            }
            map[tensor] = file
        }
        return (map, json["metadata"]?.object ?? JSONObject())
    }
}
