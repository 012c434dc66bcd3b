import ZooBase
import ZooNN
import ZooTensor

/// A split as a reader finds it: described from headers, read when asked for, not yet scaled or normalised.
public struct StoredSplit: Sendable {
    /// Name, count and shapes of what `read` gives.
    public var split: DatasetSplit
    /// The element type of the inputs; `uint8` are pictures' bytes from 0 to 255.
    public var dtype: DType
    /// Whether there are labels, as far as headers tell.
    public var isLabelled: Bool
    /// Reads everything.
    public var read: @Sendable () throws -> StoredSamples

    /// Creates a split.
    public init(
        _ split: DatasetSplit, dtype: DType, isLabelled: Bool = true,
        read: @escaping @Sendable () throws -> StoredSamples
    ) {
        self.split = split
        self.dtype = dtype
        self.isLabelled = isLabelled
        self.read = read
    }
}

/// Inputs and labels as they are stored.
public struct StoredSamples: Sendable {
    /// `[N, …]`.
    public var inputs: Tensor
    /// N integers.
    public var labels: Tensor?

    /// Creates samples.
    public init(inputs: Tensor, labels: Tensor?) {
        self.inputs = inputs
        self.labels = labels
    }
}

/// What readers are told beyond the place.
public struct DataOptions: Sendable, Hashable {
    /// The tensor or column of the labels, when it is not the usual one.
    public var labels: String?
    /// Height and width that pictures are resampled to.
    public var resize: [Int]?
    /// Colours that pictures are converted to: 1 grey, 3 red, green, blue.
    public var channels: Int?

    /// The defaults.
    public init(labels: String? = nil, resize: [Int]? = nil, channels: Int? = nil) {
        self.labels = labels
        self.resize = resize
        self.channels = channels
    }
}

/// A reader of one format of data sets over untrusted bytes: nothing is allocated that the bytes do not vouch for.
public protocol DatasetReader: Sendable {
    /// The name in manifests and messages.
    static var format: String { get }

    /// Whether the place looks like this format, by content first; never throws.
    static func accepts(_ place: DataPlace) -> Bool

    /// The splits.
    ///
    /// - Throws: `corrupt`, `unsupported`, `limit`, `mismatch` or `notFound`, naming the file.
    static func splits(_ place: DataPlace, _ options: DataOptions) throws -> [StoredSplit]
}

/// All readers of data sets. To add a format, write its reader and add one line to `all`.
public enum DatasetReaders {
    /// The readers in the order in which they are asked.
    public static let all: [any DatasetReader.Type] = [
        IDXReader.self,
        MATLABReader.self,
        CIFARBinaryReader.self,
        CIFARPythonReader.self,
        PickledDatasetReader.self,
        TensorFileReader.self,
        ImageFolderReader.self,
        CSVReader.self,
    ]

    /// Finds the reader of a place.
    ///
    /// - Parameter format: the reader's name; nil to find it in the bytes.
    /// - Throws: `usage` for an unknown name; `unsupported` when no reader takes the place.
    public static func reader(for place: DataPlace, format: String? = nil) throws -> any DatasetReader.Type {
        let names = all.map { $0.format }
        if let format {
            guard let reader = all.first(where: { $0.format == format }) else {
                throw ZooError(
                    .usage, "there is no data format '\(format)'",
                    hint: NearestName.hint(format, in: names, kind: "formats"))
            }
            return reader
        }
        if let reader = all.first(where: { $0.accepts(place) }) { return reader }
        if case .file(let file) = place, file.bytes.count == 0 {
            throw ZooError(.corrupt, "\(file.name): the file is empty")
        }
        throw ZooError(
            .unsupported, "\(place.name): not a recognised data set",
            hint: "formats read are \(names.joined(separator: ", "))")
    }
}

extension Tensor {
    /// Tensors of one type, one after the other along the first axis.
    ///
    /// - Throws: `mismatch` when types or the other extents differ.
    static func joined(_ parts: [Tensor]) throws -> Tensor {
        guard let first = parts.first, parts.count > 1 else {
            guard let only = parts.first else { throw ZooError(.notFound, "there are no samples") }
            return only
        }
        var count = 0
        for part in parts {
            guard part.dtype == first.dtype, part.shape.rank == first.shape.rank, part.shape.rank > 0,
                part.shape.dimensions.dropFirst() == first.shape.dimensions.dropFirst()
            else {
                throw ZooError(
                    .mismatch,
                    "parts of one split differ: \(first.shape) of \(first.dtype.rawValue), \(part.shape) of "
                        + part.dtype.rawValue)
            }
            count += part.shape[0]
        }
        let byteCount = parts.reduce(0) { $0 + $1.bytes.count }
        let bytes = Bytes(byteCount: byteCount) { output in
            var position = 0
            for part in parts {
                part.bytes.withUnsafeBytes { source in
                    UnsafeMutableRawBufferPointer(rebasing: output[position...]).copyMemory(from: source)
                    position += source.count
                }
            }
            return position
        }
        return try Tensor(
            shape: Shape(validating: [count] + first.shape.dimensions.dropFirst()), dtype: first.dtype, bytes: bytes)
    }

    /// Integer labels.
    static func labels(_ values: [Int]) -> Tensor { Tensor(values.map(Int64.init), shape: [values.count]) }

    /// The axes in another order: axis `k` of the result is axis `order[k]` of this one.
    ///
    /// - Precondition: `order` is a permutation of the axes.
    func permuted(_ order: [Int]) throws -> Tensor {
        precondition(order.sorted() == Array(0..<shape.rank))
        let target = Shape(order.map { shape[$0] })
        let strides = order.map { shape.rowMajorStrides[$0] }
        let width = dtype.byteCount
        let copied = Bytes(byteCount: bytes.count) { output in
            bytes.withUnsafeBytes { source in
                guard elementCount > 0, let from = source.baseAddress, let to = output.baseAddress else { return }
                Self.gather(from, to, target.dimensions, strides, width)
            }
            return bytes.count
        }
        return try Tensor(shape: target, dtype: dtype, bytes: copied)
    }

    private static func gather(
        _ source: UnsafeRawPointer, _ target: UnsafeMutableRawPointer, _ extents: [Int], _ strides: [Int], _ width: Int
    ) {
        let inner = extents.last ?? 1
        let step = strides.last ?? 0
        var index = [Int](repeating: 0, count: max(0, extents.count - 1))
        var output = 0
        while true {
            var start = 0
            for axis in index.indices { start += index[axis] * strides[axis] }
            for position in 0..<inner {
                let from = source + (start + position * step) * width
                if width == 1 {
                    target.storeBytes(of: from.load(as: UInt8.self), toByteOffset: output, as: UInt8.self)
                } else {
                    (target + output).copyMemory(from: from, byteCount: width)
                }
                output += width
            }
            var axis = index.count - 1
            while axis >= 0 {
                index[axis] += 1
                if index[axis] < extents[axis] { break }
                index[axis] = 0
                axis -= 1
            }
            if axis < 0 { return }
        }
    }
}
