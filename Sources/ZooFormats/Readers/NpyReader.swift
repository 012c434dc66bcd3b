import ZooBase
import ZooTensor

/// Reads one `.npy` array as a checkpoint of one tensor, named after the file.
///
/// Row-major little-endian arrays are read in place; Fortran order and big-endian elements are rearranged when read.
public struct NpyReader: CheckpointReader {
    /// `npy`.
    public static let format = "npy"

    /// The array, unless it is in `skipped`.
    public let entries: [TensorEntry]
    /// Empty: the format has no place for more.
    public let metadata = JSONObject()
    /// The array, when its elements are objects, text or records.
    public let skipped: [(name: String, reason: String)]

    private let bytes: Bytes
    private let name: String
    private let header: NpyHeader
    private let options: ReaderOptions

    /// Whether the bytes begin with `\x93NUMPY`.
    public static func accepts(_ bytes: Bytes) -> Bool { bytes.starts(with: NpyHeader.magic) }

    /// Reads the header and checks that exactly its elements follow.
    public init(_ bytes: Bytes, name: String, options: ReaderOptions = ReaderOptions()) throws {
        self.bytes = bytes
        self.name = name
        self.options = options
        header = try ZooError.locate(name) { try NpyHeader(bytes) }
        let stem = fileStem(name)
        guard let dtype = header.dtype else {
            entries = []
            skipped = [(stem, header.refusal ?? "unknown element type")]
            return
        }
        let info = TensorInfo(name: stem, dtype: dtype, shape: header.shape)
        let found = bytes.count - header.dataOffset
        guard found == info.byteCount else {
            let what = found < info.byteCount ? "truncated: " : "more than one array: "
            throw ZooError(
                .corrupt,
                "\(name): \(what)\(header.shape) of \(dtype.rawValue) takes \(info.byteCount) bytes, found \(found)")
        }
        entries = [TensorEntry(info: info, offset: header.isInPlace ? header.dataOffset : nil)]
        skipped = []
    }

    /// The tensor.
    public func tensor(named tensor: String) throws -> Tensor {
        guard entries.first?.info.name == tensor else { throw ZooError(.notFound, "\(name): no tensor '\(tensor)'") }
        return try ZooError.locate(name) {
            try header.tensor(bytes.suffix(from: header.dataOffset), materialisationLimit: options.materialisationLimit)
        }
    }
}
