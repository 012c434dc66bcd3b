import ZooBase
import ZooTensor

/// A storage: the flat block of elements that tensors are views of. Views of one storage share memory.
struct TorchStorage: Sendable {
    enum Place: Sendable {
        /// At this offset of the checkpoint's bytes.
        case inPlace(offset: Int)
        /// A member that must be unpacked, by the index its container gave it.
        case packed(index: Int)
        /// A block of its own, as the data of a NumPy array inside the pickle.
        case separate(Bytes)
    }

    var place: Place
    var byteCount: Int
}

/// Where storages are: in the members of a zip or behind the pickles of a legacy file.
protocol TorchStorages: Sendable {
    /// Whether elements are stored most significant byte first.
    var isBigEndian: Bool { get }

    /// The storage of a key; nil when there is none.
    ///
    /// - Throws: `corrupt` when its place in the file makes no sense.
    func storage(key: String) throws -> TorchStorage?

    /// The bytes of a packed storage.
    func unpack(index: Int) throws -> Bytes
}

/// A tensor as the file describes it: a strided view of a storage, checked to lie inside of it.
struct TorchTensor: Sendable {
    var info: TensorInfo
    var storage: TorchStorage
    /// Elements from the beginning of the storage.
    var elementOffset: Int
    /// Elements from one index to the next, nil when the view is row-major.
    var strides: [Int]?
    var isBigEndian = false
    /// The view shows complex conjugates of what is stored.
    var isConjugate = false
    /// The view shows the negated values of what is stored.
    var isNegative = false

    /// A view that repeats elements may be larger than its file, up to this many bytes.
    static let expansionLimit = 1 << 30

    /// Where the elements begin in the checkpoint's bytes, when reading is slicing.
    func offset(in checkpoint: Bytes) -> Int? {
        guard isPlain else { return nil }
        let start = elementOffset * info.dtype.byteCount
        switch storage.place {
        case .inPlace(let offset): return offset + start
        case .packed: return nil
        case .separate(let bytes): return checkpoint.offset(of: bytes).map { $0 + start }
        }
    }

    private var isPlain: Bool {
        strides == nil && !isConjugate && !isNegative && (!isBigEndian || info.dtype.byteCount == 1)
    }

    /// Reads the tensor: a slice where it lies as it is, else a copy.
    ///
    /// - Throws: `limit` when a copy would be larger than `limit`, or larger than its storage and `expansionLimit`.
    func read(_ checkpoint: Bytes, _ storages: any TorchStorages, limit: Int) throws -> Tensor {
        let data: Bytes
        switch storage.place {
        case .inPlace(let offset): data = try checkpoint.slice(offset, storage.byteCount)
        case .packed(let index): data = try storages.unpack(index: index).slice(0, storage.byteCount)
        case .separate(let bytes): data = bytes
        }
        let start = info.shape.elementCount == 0 ? 0 : elementOffset * info.dtype.byteCount
        if isPlain {
            let bytes = try data.slice(start, info.byteCount)
            return try Tensor(shape: info.shape, dtype: info.dtype, bytes: bytes)
        }
        let most = info.byteCount > storage.byteCount ? min(limit, Self.expansionLimit) : limit
        guard info.byteCount <= most else {
            throw ZooError(
                .limit,
                "shape \(info.shape) of \(info.dtype.rawValue) would take \(info.byteCount) bytes as a copy; "
                    + "\(most) are allowed")
        }
        return try Tensor(shape: info.shape, dtype: info.dtype, bytes: gathered(data, start))
    }

    private func gathered(_ data: Bytes, _ start: Int) -> Bytes {
        Bytes(byteCount: info.byteCount) { output in
            data.withUnsafeBytes { source in
                guard info.byteCount > 0, let target = output.baseAddress, let base = source.baseAddress else { return }
                StridedCopy.gather(
                    base + start, dimensions: info.shape.dimensions, strides: strides ?? info.shape.rowMajorStrides,
                    elementByteCount: info.dtype.byteCount, into: target)
            }
            let filled = UnsafeMutableRawBufferPointer(rebasing: output[..<info.byteCount])
            if isBigEndian { StridedCopy.swapBytes(filled, info.dtype) }
            if isConjugate { StridedCopy.negate(filled, info.dtype, onlyImaginary: true) }
            if isNegative { StridedCopy.negate(filled, info.dtype, onlyImaginary: false) }
            return info.byteCount
        }
    }
}
