import ZooBase
import ZooTensor

/// Reads what `torch.save` writes since PyTorch 1.6: a zip of one pickle and raw storages.
///
/// The pickle is followed symbolically (`PickleMachine`), nothing in it runs; storages are read in place. Tied weights
/// have equal offsets in `entries`. Names are exactly those of the file; see `commonPrefixStripped` for the `module.`
/// that data-parallel training puts in front.
///
/// `metadata` holds the scalars saved beside the state dict under their own keys (`epoch`, `best_acc`), and:
/// `kind` (`stateDict`, `optimizer` or `other`), `container`, `wrapper` (the key that the state dict was found under),
/// `class` (of a pickled module), `unexecuted` (globals that the file names and we do not know: noted, never run),
/// `optimizer` (its `param_groups`) and `_metadata` (module versions).
public struct PyTorchZipReader: CheckpointReader {
    /// `pytorch`.
    public static let format = "pytorch"

    private let checkpoint: TorchCheckpoint

    /// Whether the bytes are a zip with the entries of a PyTorch checkpoint, TorchScript archives excepted.
    public static func accepts(_ bytes: Bytes) -> Bool { TorchZipProbe.kind(bytes) == .checkpoint }

    /// Parses the directory and the pickle.
    public init(_ bytes: Bytes, name: String, options: ReaderOptions = ReaderOptions()) throws {
        let zip = try TorchZip(bytes, name: name)
        guard !zip.isScript else {
            throw ZooError(.unsupported, "\(name): a TorchScript archive, not a checkpoint of torch.save")
        }
        let graph = try zip.objectGraph()
        let storages = try zip.storages(in: "data")
        checkpoint = try ZooError.locate(name) {
            try TorchCheckpoint(
                bytes, name: name, options: options, graph: graph, storages: storages, container: "zip")
        }
    }

    /// The tensors, in the order of the file.
    public var entries: [TensorEntry] { checkpoint.entries }

    /// What the file says besides tensors; built anew at each call.
    public var metadata: JSONObject { checkpoint.metadata }

    /// Tensors that are not read, with reasons.
    public var skipped: [(name: String, reason: String)] { checkpoint.skipped }

    /// One tensor: a slice of the file, or a copy when it is a strided, byte-swapped, conjugated or packed view.
    public func tensor(named name: String) throws -> Tensor { try checkpoint.tensor(named: name) }
}
