import ZooBase
import ZooTensor

/// A checkpoint cut into several safetensors files by an index (`model.safetensors.index.json`), read as one.
///
/// The index maps each tensor to the file that holds it. Shards are opened once each and read in place.
public struct ShardedSafetensors: TensorSource {
    /// The usual name of the index.
    public static let indexName = "model.safetensors.index.json"

    /// One shard: its file name as the index gives it, and its reader.
    public struct Shard: Sendable {
        /// The file name, relative to the index.
        public let name: String
        /// The open file.
        public let reader: SafetensorsReader
    }

    /// The shards in order of their names.
    public let shards: [Shard]
    /// The tensors, shard by shard, in the order of each file.
    public let tensorInfos: [TensorInfo]
    /// The index's own `metadata` (`total_size`).
    public let metadata: JSONObject
    /// Tensors that are there but not read: unknown element types, and those that the index does not give to the
    /// shard they lie in.
    public let skipped: [(name: String, reason: String)]

    private let name: String
    private let homes: [String: Int]

    /// Opens the index and all shards of a folder.
    ///
    /// - Throws: `notFound` for a missing shard or tensor, `corrupt` for an index that names files outside the folder.
    public init(folder: String, indexName: String = Self.indexName, options: ReaderOptions = ReaderOptions()) throws {
        let path = folder + "/" + indexName
        try self.init(index: try Bytes(mapping: path), name: path, options: options) { shard in
            try Bytes(mapping: folder + "/" + shard)
        }
    }

    /// Opens an index whose shards lie anywhere: in an archive, in memory.
    ///
    /// - Parameters:
    ///   - index: the JSON text.
    ///   - name: the index file, for messages.
    ///   - open: gives the bytes of a shard by its file name, which has been checked to stay beside the index.
    public init(
        index: Bytes, name: String, options: ReaderOptions = ReaderOptions(), open: (String) throws -> Bytes
    ) throws {
        let (map, metadata) = try ZooError.locate(name) { try Self.weightMap(index) }
        let shardNames = Set(map.values).sorted()
        var shards: [Shard] = []
        for shard in shardNames { shards.append(try Self.openShard(shard, of: name, options: options, open: open)) }
        var infos: [TensorInfo] = []
        var homes: [String: Int] = [:]
        var skipped: [(name: String, reason: String)] = []
        for (number, shard) in shards.enumerated() {
            skipped += shard.reader.skipped
            for entry in shard.reader.entries {
                let tensor = entry.info.name
                guard map[tensor] == shard.name else {
                    let home = map[tensor].map { "the index takes it from \($0)" } ?? "the index does not list it"
                    skipped.append((tensor, "lies in \(shard.name), but \(home)"))
                    continue
                }
                homes[tensor] = number
                infos.append(entry.info)
            }
        }
        let read = Set(skipped.map(\.name)).union(homes.keys)
        if let missing = map.keys.filter({ !read.contains($0) }).min(), let shard = map[missing] {
            throw ZooError(.notFound, "\(name): tensor '\(missing)' should be in \(shard), but that file lacks it")
        }
        self.shards = shards
        self.tensorInfos = infos
        self.metadata = metadata
        self.skipped = skipped
        self.name = name
        self.homes = homes
    }

    /// One tensor, in place in its shard.
    public func tensor(named tensor: String) throws -> Tensor {
        guard let home = homes[tensor] else { throw ZooError(.notFound, "\(name): no tensor '\(tensor)'") }
        return try shards[home].reader.tensor(named: tensor)
    }

    private static func openShard(
        _ shard: String, of index: String, options: ReaderOptions, open: (String) throws -> Bytes
    ) throws -> Shard {
        do {
            return Shard(name: shard, reader: try SafetensorsReader(open(shard), name: shard, options: options))
        } catch let error as ZooError where error.code == .notFound {
            throw ZooError(
                .notFound, "\(index): shard '\(shard)' is missing", hint: "fetch all files that the index names",
                cause: error)
        } catch let error as ZooError {
            throw error.at(index)
        }
    }

    private static func weightMap(_ bytes: Bytes) throws -> (map: [String: String], metadata: JSONObject) {
        let json = try JSONParser.parse(bytes)
        guard let members = json["weight_map"]?.object else {
            throw ZooError(.corrupt, "expected an object 'weight_map' from tensors to files")
        }
        var map: [String: String] = [:]
        map.reserveCapacity(members.count)
        for (tensor, value) in members {
            guard let file = value.string else {
                throw ZooError(.corrupt, "weight_map gives tensor '\(tensor)' no file name")
            }
            let isPlain = !file.isEmpty && !file.contains("/") && !file.contains("\\") && !file.contains("\0")
            guard isPlain, file != ".", file != ".." else {
                throw ZooError(.corrupt, "weight_map sends tensor '\(tensor)' outside the folder, to '\(file)'")
            }
            map[tensor] = file
        }
        return (map, json["metadata"]?.object ?? JSONObject())
    }
}
