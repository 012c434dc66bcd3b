import ZooBase
import ZooTensor

/// One tensor of a checkpoint file: what it is and, where its bytes lie row-major in the file, at which offset.
public struct TensorEntry: Sendable, Hashable {
    /// Name, element type and shape.
    public var info: TensorInfo
    /// Byte offset of the first element from the beginning of the checkpoint's bytes, when the tensor lies there
    /// contiguous, row-major, little-endian and uncompressed; nil when reading it takes more than a slice.
    public var offset: Int?

    /// Creates an entry.
    public init(info: TensorInfo, offset: Int?) {
        self.info = info
        self.offset = offset
    }
}

/// What a reader is asked to do beyond listing parameters.
public struct ReaderOptions: Sendable {
    /// List the tensors of optimiser states too (`optimizer.state.0.exp_avg`).
    public var includesOptimizer = false
    /// The most bytes one tensor may take when it must be materialised (strided views, dequantisation).
    public var materialisationLimit = 1 << 36

    /// The defaults.
    public init() {}
}

/// A reader of one checkpoint format over untrusted bytes.
///
/// Opening parses the table of contents only; tensors are sliced out of the bytes, in place where the format allows.
/// Nothing is allocated that the bytes do not vouch for, and no code of the file runs.
public protocol CheckpointReader: TensorSource {
    /// The format's name in the catalog and in messages (`safetensors`, `pytorch`, `hdf5`, `npz`, `gguf`).
    static var format: String { get }

    /// Whether the bytes look like this format; reads a few of them and never throws.
    static func accepts(_ bytes: Bytes) -> Bool

    /// Parses the table of contents.
    ///
    /// - Parameter name: the file or member, for messages.
    /// - Throws: `corrupt`, `unsupported` or `limit`, saying what was expected and found at which offset.
    init(_ bytes: Bytes, name: String, options: ReaderOptions) throws

    /// The tensors, in the order of the file.
    var entries: [TensorEntry] { get }

    /// What the file says besides tensors: safetensors' `__metadata__`, scalars beside a state dict, GGUF keys.
    var metadata: JSONObject { get }

    /// Tensors that are there but not read, with the reason (quantised, sparse, without data).
    var skipped: [(name: String, reason: String)] { get }
}

extension CheckpointReader {
    /// The tensors without their data.
    public var tensorInfos: [TensorInfo] { entries.map(\.info) }

    /// Nothing skipped.
    public var skipped: [(name: String, reason: String)] { [] }
}
