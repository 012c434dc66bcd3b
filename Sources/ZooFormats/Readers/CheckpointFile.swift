import ZooBase
import ZooTensor

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Opens the checkpoint a path means: a file, a member (`zoo.zip!/trial/checkpoints`), a Hugging Face folder.
public struct CheckpointFile: Sendable {
    /// The path as it was given.
    public let path: String
    /// The tensors.
    public let source: any TensorSource
    /// The format: `safetensors`, `pytorch`, … with `-sharded` for several files.
    public let format: String
    /// What the file says besides tensors.
    public let metadata: JSONObject
    /// Tensors that are there and not read, with reasons.
    public let skipped: [(name: String, reason: String)]
    /// The reader of a single file; nil for shards.
    public let reader: (any CheckpointReader)?

    /// File names looked for in a folder, the preferred ones first.
    static let folderNames = [
        "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json",
        "adapter_model.safetensors", "adapter_model.bin", "model.weights.h5", "tf_model.h5",
    ]

    /// Opens a checkpoint.
    ///
    /// - Throws: `notFound` with what was looked for; what the reader throws, with the path in front.
    public static func open(_ path: String, options: ReaderOptions = ReaderOptions()) throws -> CheckpointFile {
        if path.contains("!/") { return try CheckpointFile(path, bytes: Archives.resolve(path).bytes, options) }
        let file = try isFolder(path) ? checkpoint(inFolder: path) : path
        guard file.hasSuffix(".index.json") else {
            return try CheckpointFile(path, bytes: Bytes(mapping: file), options)
        }
        let sharded = try ShardedCheckpoint(indexFile: file, options: options)
        return CheckpointFile(path, sharded: sharded)
    }

    private init(_ path: String, bytes: Bytes, _ options: ReaderOptions) throws {
        let reader = try CheckpointReaders.open(bytes, name: path, options: options)
        self.path = path
        self.reader = reader
        source = reader
        format = type(of: reader).format
        metadata = reader.metadata
        skipped = reader.skipped
    }

    private init(_ path: String, sharded: ShardedCheckpoint) {
        self.path = path
        source = sharded
        format = sharded.format
        metadata = sharded.metadata
        skipped = sharded.skipped
        reader = nil
    }

    private static func checkpoint(inFolder path: String) throws -> String {
        guard let name = folderNames.first(where: { access("\(path)/\($0)", R_OK) == 0 }) else {
            throw ZooError(
                .notFound,
                "\(path): the folder holds no checkpoint (looked for \(folderNames.joined(separator: ", ")))",
                hint: "name the file itself, or catalog the folder with 'zoo index'")
        }
        return "\(path)/\(name)"
    }

    private static func isFolder(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }
}
