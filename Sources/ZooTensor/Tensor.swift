import ZooBase

/// A row-major array of numbers: shape, element type and bytes, which may lie in a mapped file.
///
/// Values are immutable and shared; making one never copies data. Arithmetic happens in `Float` or `Double`, the
/// small types are for storage.
public struct Tensor: Sendable {
    /// The extents.
    public let shape: Shape
    /// The element type.
    public let dtype: DType
    /// `shape.elementCount * dtype.byteCount` bytes, row-major, little-endian, at any alignment.
    public let bytes: Bytes

    /// A tensor over existing bytes.
    ///
    /// - Throws: `corrupt` when the byte count does not fit shape and type.
    public init(shape: Shape, dtype: DType, bytes: Bytes) throws {
        guard bytes.count == shape.elementCount * dtype.byteCount else {
            throw ZooError(
                .corrupt,
                "shape \(shape) of \(dtype.rawValue) needs \(shape.elementCount * dtype.byteCount) bytes, "
                    + "found \(bytes.count)")
        }
        self.shape = shape
        self.dtype = dtype
        self.bytes = bytes
    }

    private init(unchecked shape: Shape, _ dtype: DType, _ bytes: Bytes) {
        self.shape = shape
        self.dtype = dtype
        self.bytes = bytes
    }

    /// A float32 tensor of the given values. Precondition: their count fits the shape.
    public init(_ values: [Float], shape: Shape) {
        precondition(values.count == shape.elementCount)
        self.init(unchecked: shape, .float32, values.withUnsafeBytes { Bytes(copying: $0) })
    }

    /// A float64 tensor of the given values. Precondition: their count fits the shape.
    public init(_ values: [Double], shape: Shape) {
        precondition(values.count == shape.elementCount)
        self.init(unchecked: shape, .float64, values.withUnsafeBytes { Bytes(copying: $0) })
    }

    /// An int64 tensor of the given values. Precondition: their count fits the shape.
    public init(_ values: [Int64], shape: Shape) {
        precondition(values.count == shape.elementCount)
        self.init(unchecked: shape, .int64, values.withUnsafeBytes { Bytes(copying: $0) })
    }

    /// How many elements.
    public var elementCount: Int { shape.elementCount }

    /// The same data under another shape. Precondition: equal element counts.
    public func reshaped(_ shape: Shape) -> Tensor {
        precondition(shape.elementCount == elementCount)
        return Tensor(unchecked: shape, dtype, bytes)
    }

    /// The elements as doubles; complex elements give their real parts, and truth values 0 and 1.
    public func doubles() -> [Double] {
        [Double](unsafeUninitializedCapacity: elementCount) { output, count in
            bytes.withUnsafeBytes { Conversion.toDouble($0, dtype, output) }
            count = elementCount
        }
    }

    /// The elements as floats, rounded to nearest where the type is wider.
    public func floats() -> [Float] {
        [Float](unsafeUninitializedCapacity: elementCount) { output, count in
            bytes.withUnsafeBytes { Conversion.toFloat($0, dtype, output) }
            count = elementCount
        }
    }

    /// Lends the elements as floats: in place when they are aligned float32, else through a copy.
    public func withFloats<R>(_ body: (UnsafeBufferPointer<Float>) throws -> R) rethrows -> R {
        if dtype == .float32 {
            let direct: R? = try bytes.withUnsafeBytes { raw in
                guard Int(bitPattern: raw.baseAddress) % MemoryLayout<Float>.alignment == 0 else { return nil }
                return try body(raw.bindMemory(to: Float.self))
            }
            if let direct { return direct }
        }
        return try floats().withUnsafeBufferPointer(body)
    }

    /// The same values in another type, rounded to nearest even; integers saturate, NaN becomes integer 0.
    public func converted(to target: DType) -> Tensor {
        if target == dtype { return self }
        let result = Bytes(byteCount: elementCount * target.byteCount) { output in
            bytes.withUnsafeBytes { Conversion.convert($0, dtype, to: output, target) }
            return output.count
        }
        return Tensor(unchecked: shape, target, result)
    }

    /// Same type, shape and bits.
    public func isIdentical(to other: Tensor) -> Bool {
        guard shape == other.shape, dtype == other.dtype else { return false }
        return bytes.withUnsafeBytes { mine in
            other.bytes.withUnsafeBytes { theirs in mine.elementsEqual(theirs) }
        }
    }
}
