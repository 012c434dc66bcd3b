import ZooBase
import ZooTensor

/// Reads HDF5: Keras 2 models (`.h5`), Keras 3 weights (`.weights.h5`) and files of any other origin.
///
/// The HDF5 library runs in a confined child process, because some hostile files crash it. Contiguous datasets are
/// read in place from our own mapping after checking their range; packed ones come through the child.
///
/// Names: a Keras 2 model gives its `weight_names` in layer order (`dense/kernel:0`, with the layer in front where two
/// layers use one name); all others give the path without its leading slash (`layers/dense/vars/0`).
public struct HDF5Reader: CheckpointReader {
    /// `hdf5`.
    public static let format = "hdf5"

    /// The tensors: in layer order for Keras 2, else in the order of the walk through the groups.
    public var entries: [TensorEntry] { table.entries }
    /// The root's attributes (Keras 2: also those of `model_weights`); texts that hold JSON are parsed.
    public let metadata: JSONObject
    /// Objects that are not tensors, links, and tensors packed with filters that are not installed.
    public let skipped: [(name: String, reason: String)]

    /// A packed dataset may claim this many bytes without storing any: small tensors filled with one value.
    static let freeBytes = 64 << 20
    /// No packing of the library does better than this, except on constants.
    static let largestRatio = 1100

    private let bytes: Bytes
    private let name: String
    private let options: ReaderOptions
    private let table: TensorTable
    private let datasets: [HDF5Listing.Dataset]

    /// Whether the signature of HDF5 is at byte 0, or at 512, 1024, 2048 and so on, after a user block.
    public static func accepts(_ bytes: Bytes) -> Bool {
        var offset = 0
        while offset + HDF5Library.signature.count <= bytes.count {
            if bytes.suffix(from: offset).starts(with: HDF5Library.signature) { return true }
            offset = offset == 0 ? 512 : offset * 2
        }
        return false
    }

    /// Lists the file.
    ///
    /// - Throws: `corrupt`, also when the library crashes on the file; `limit`.
    public init(_ bytes: Bytes, name: String, options: ReaderOptions = ReaderOptions()) throws {
        self.bytes = bytes
        self.name = name
        self.options = options
        do {
            guard Self.accepts(bytes) else { throw ZooError(.corrupt, "expected the signature of HDF5") }
            let listing = try HDF5Library.list(bytes)
            let names = HDF5Names(listing, includesOptimizer: options.includesOptimizer)
            var table = TensorTable()
            var datasets: [HDF5Listing.Dataset] = []
            for (name, dataset) in names.tensors {
                let info = TensorInfo(name: name, dtype: dataset.dtype, shape: dataset.shape)
                let offset = try Self.inPlaceOffset(dataset, info, byteCount: bytes.count)
                try table.append(TensorEntry(info: info, offset: dataset.swapWidth == 1 ? offset : nil))
                datasets.append(dataset)
            }
            self.table = table
            self.datasets = datasets
            metadata = names.metadata
            skipped = names.skipped
        } catch let error as ZooError {
            throw error.at(name)
        }
    }

    /// One tensor: a slice of the file where it lies contiguous, else unpacked by the library in a child process.
    public func tensor(named tensor: String) throws -> Tensor {
        let position = try table.position(of: tensor, in: name)
        let (info, dataset) = (entries[position].info, datasets[position])
        return try ZooError.locate("\(name): tensor '\(tensor)'") {
            let stored = try stored(dataset, byteCount: info.byteCount)
            return try Tensor(shape: info.shape, dtype: info.dtype, bytes: stored.byteSwapped(width: dataset.swapWidth))
        }
    }

    private func stored(_ dataset: HDF5Listing.Dataset, byteCount: Int) throws -> Bytes {
        if byteCount == 0 { return .empty }
        if let offset = dataset.offset { return try bytes.slice(offset, byteCount) }
        let vouched = min(dataset.storedBytes, bytes.count)
        guard byteCount <= max(Self.freeBytes, multiplied(vouched, Self.largestRatio) ?? .max) else {
            throw ZooError(.limit, "claims \(byteCount) bytes, but only \(vouched) are stored")
        }
        guard byteCount <= options.materialisationLimit else {
            throw ZooError(
                .limit, "takes \(byteCount) bytes in memory; at most \(options.materialisationLimit) are used")
        }
        return try HDF5Library.read(dataset.path, of: bytes, byteCount: byteCount)
    }

    /// The offset of a contiguous dataset, checked to lie in the file with all its bytes.
    private static func inPlaceOffset(
        _ dataset: HDF5Listing.Dataset, _ info: TensorInfo, byteCount: Int
    ) throws -> Int? {
        guard let offset = dataset.offset else { return nil }
        guard info.byteCount <= byteCount, offset <= byteCount - info.byteCount else {
            throw ZooError(
                .corrupt,
                "tensor '\(info.name)' takes \(info.byteCount) bytes at offset \(offset), found \(byteCount) bytes")
        }
        return offset
    }
}
