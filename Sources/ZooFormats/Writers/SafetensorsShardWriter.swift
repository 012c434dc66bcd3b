import Foundation
import ZooBase
import ZooTensor

extension SafetensorsWriter {
    /// Writes a checkpoint in shards named as Hugging Face names them: `model-00001-of-00003.safetensors` and so on,
    /// with `model.safetensors.index.json`; or the one file `model.safetensors` when all fits into one shard.
    ///
    /// A shard is closed when the next tensor, in the order of the source, would carry it past the maximum; a tensor
    /// larger than that has a shard to itself. All shards are complete under temporary names before the first takes
    /// its own name, and the index is the last file to appear, so a folder with an index is a finished checkpoint.
    ///
    /// - Parameters:
    ///   - folder: where to write; made when missing.
    ///   - maximumShardBytes: the most tensor bytes in one file.
    ///   - replacing: removes weights of an earlier model from the folder. Without it a folder that holds other
    ///     weight files is refused: programs would load a mixture.
    ///   - jobs: threads; the bytes do not depend on them.
    ///   - indexMetadata: entries of the index's `metadata` besides `total_size`.
    ///   - progress: told the bytes of each piece written.
    /// - Returns: the file names written, the index last.
    /// - Throws: as `write`; `usage` for a folder with other weights or a maximum below one.
    @discardableResult
    public static func writeSharded(
        _ source: any TensorSource, toFolder folder: String, maximumShardBytes: Int = 5_000_000_000,
        metadata: [String: String] = defaultMetadata, order: Order = .reference, replacing: Bool = false,
        jobs: Int = 1, indexMetadata: [String: String] = [:], stem: String = "model",
        progress: (@Sendable (Int) -> Void)? = nil
    ) throws -> [String] {
        guard maximumShardBytes > 0 else { throw ZooError(.usage, "a shard needs room for at least one byte") }
        let shards = shardPlan(try source.distinctInfos(), maximumShardBytes: maximumShardBytes)
        let names = shardNames(shards.count, stem)
        let isSharded = shards.count > 1
        let planned = Set(names + (isSharded ? [ShardedCheckpoint.safetensorsIndexName] : []))
        let stale = try otherWeights(in: folder, besides: planned)
        guard stale.isEmpty || replacing else {
            throw ZooError(
                .usage, "\(folder) already holds weights: \(stale[0])", hint: "choose an empty folder, or replace them")
        }
        var files: [AtomicFile] = []
        for (infos, name) in zip(shards, names) {
            let path = folder + "/" + name
            files.append(
                try staged(
                    source, infos, to: path, metadata: metadata, order: order, jobs: jobs, progress: progress))
        }
        // From here on the old checkpoint is gone: first what makes it look whole, then its files.
        for name in [ShardedCheckpoint.safetensorsIndexName] + stale {
            try removeIfThere(folder + "/" + name)
        }
        for file in files { try file.commit() }
        guard isSharded else { return names }
        let index = indexText(shards, names, indexMetadata)
        try AtomicFile.write(folder + "/" + ShardedCheckpoint.safetensorsIndexName, Array(index.utf8))
        return names + [ShardedCheckpoint.safetensorsIndexName]
    }

    /// How many shards `writeSharded` cuts tensors into.
    public static func shardCount(_ infos: [TensorInfo], maximumShardBytes: Int) -> Int {
        shardPlan(infos, maximumShardBytes: maximumShardBytes).count
    }

    /// Tensors per shard, in the order of the source.
    static func shardPlan(_ infos: [TensorInfo], maximumShardBytes: Int) -> [[TensorInfo]] {
        var shards: [[TensorInfo]] = [[]]
        var filled = 0
        for info in infos {
            if filled > 0, info.byteCount > maximumShardBytes - filled {
                shards.append([])
                filled = 0
            }
            shards[shards.count - 1].append(info)
            filled += min(info.byteCount, maximumShardBytes)
        }
        return shards
    }

    private static func shardNames(_ count: Int, _ stem: String) -> [String] {
        if count == 1 { return ["\(stem).safetensors"] }
        func padded(_ number: Int) -> String {
            String(repeating: "0", count: max(0, 5 - String(number).count)) + String(number)
        }
        return (1...count).map { "\(stem)-\(padded($0))-of-\(padded(count)).safetensors" }
    }

    private static func indexText(
        _ shards: [[TensorInfo]], _ names: [String], _ metadata: [String: String]
    ) -> String {
        var map = JSONObject()
        for (infos, name) in zip(shards, names) {
            for info in infos { map[info.name] = .string(name) }
        }
        let total = shards.joined().reduce(0) { $0 + $1.byteCount }
        var header = JSONObject([("total_size", .int(Int64(total)))])
        for (key, value) in metadata { header[key] = .string(value) }
        let index: JSONValue = ["metadata": .object(header), "weight_map": .object(map)]
        return index.text(indent: 2, sortedKeys: true) + "\n"
    }

    /// Weight files in the folder that the new checkpoint would not overwrite.
    private static func otherWeights(in folder: String, besides planned: Set<String>) throws -> [String] {
        guard FileManager.default.fileExists(atPath: folder) else { return [] }
        let names: [String]
        do {
            names = try FileManager.default.contentsOfDirectory(atPath: folder)
        } catch {
            throw ZooError(.io, "cannot list folder \(folder)", cause: error)
        }
        let weights = names.filter { name in
            name == "model.safetensors" || name == ShardedCheckpoint.safetensorsIndexName
                || (name.hasPrefix("model-") && name.hasSuffix(".safetensors") && name.contains("-of-"))
        }
        return weights.filter { !planned.contains($0) }.sorted()
    }

    private static func removeIfThere(_ path: String) throws {
        guard FileManager.default.fileExists(atPath: path) else { return }
        do {
            try FileManager.default.removeItem(atPath: path)
        } catch {
            throw ZooError(.io, "cannot remove \(path)", cause: error)
        }
    }
}
