import ZooBase
import ZooTensor

/// The header of one `.npy` array: `\x93NUMPY`, version, length, then a Python dictionary as text.
///
/// Source: NumPy Enhancement Proposal 1 and its versions 1.0 (16-bit length), 2.0 (32-bit) and 3.0 (UTF-8). The text
/// is read by a parser of exactly the literals that NumPy writes; nothing is evaluated.
struct NpyHeader {
    /// The element type as NumPy spells it, `<f4`.
    var descriptor: String
    /// The element type; nil when `refusal` says why there is none.
    var dtype: DType?
    /// Whether elements are stored most significant byte first.
    var isBigEndian: Bool
    /// Whether the first axis varies fastest.
    var isFortran: Bool
    /// The extents.
    var shape: Shape
    /// Where the elements begin.
    var dataOffset: Int

    static let magic: [UInt8] = [0x93] + Array("NUMPY".utf8)
    /// NumPy itself warns past 10,000.
    static let maximumTextBytes = 1 << 20

    /// Parses the header at the beginning of `bytes`, which may be a prefix of the array.
    ///
    /// - Throws: `corrupt` for anything that NumPy would not write; `unsupported` for an unknown version.
    init(_ bytes: Bytes) throws {
        guard bytes.starts(with: Self.magic) else {
            throw ZooError(.corrupt, "expected an array that begins with \\x93NUMPY")
        }
        let (length, start) = try Self.textRange(bytes)
        guard length <= Self.maximumTextBytes else {
            throw ZooError(.limit, "an array header of \(length) bytes; at most \(Self.maximumTextBytes) are read")
        }
        let text = try ZooError.locate("array header") { try bytes.slice(start, length) }
        var parser = PythonLiteral(text.array)
        let members = try ZooError.locate("array header") { try parser.dictionary() }
        guard Set(members.map(\.key)) == ["descr", "fortran_order", "shape"], members.count == 3 else {
            throw ZooError(
                .corrupt, "array header: expected the keys descr, fortran_order, shape, found \(members.map(\.key))")
        }
        var extents: [Int]?
        var order: Bool?
        var code: String?
        for member in members {
            switch (member.key, member.value) {
            case ("descr", .string(let value)): code = value
            case ("descr", .list): code = "structured"
            case ("fortran_order", .bool(let value)): order = value
            case ("shape", .integers(let value)): extents = value
            default: throw ZooError(.corrupt, "array header: '\(member.key)' has a value of the wrong kind")
            }
        }
        guard let extents, let order, let code else { throw ZooError(.corrupt, "array header: incomplete") }
        shape = try ZooError.locate("array header") { try Shape(validating: extents) }
        isFortran = order
        descriptor = code
        (dtype, isBigEndian) = Self.type(code)
        dataOffset = start + length
    }

    private static func textRange(_ bytes: Bytes) throws -> (length: Int, start: Int) {
        guard bytes.count >= 8 else { throw ZooError(.corrupt, "truncated: the array header is cut") }
        switch bytes[6] {
        case 1: return (Int(try bytes.littleEndian(UInt16.self, at: 8)), 10)
        case 2, 3: return (Int(try bytes.littleEndian(UInt32.self, at: 8)), 12)
        default: throw ZooError(.unsupported, "npy version \(bytes[6]).\(bytes[7]); 1.0 to 3.0 are read")
        }
    }

    private static func type(_ code: String) -> (DType?, Bool) {
        guard let order = code.first, "<>|=".contains(order) else { return (nil, false) }
        let type: DType? =
            switch code.dropFirst() {
            case "b1", "?": .bool
            case "u1": .uint8
            case "i1": .int8
            case "u2": .uint16
            case "i2": .int16
            case "u4": .uint32
            case "i4": .int32
            case "u8": .uint64
            case "i8": .int64
            case "f2": .float16
            case "f4": .float32
            case "f8": .float64
            case "c8": .complex64
            case "c16": .complex128
            default: nil
            }
        return (type, order == ">")
    }

    /// Why the array is not read; nil when it is.
    var refusal: String? {
        if dtype != nil { return nil }
        switch descriptor.drop(while: { "<>|=".contains($0) }).first {
        case "O": return "object arrays hold pickles, which are not read"
        case "S", "U": return "text arrays are not tensors (dtype '\(descriptor)')"
        case "V": return "raw bytes without an element type (dtype '\(descriptor)')"
        case "M", "m": return "times are not tensors (dtype '\(descriptor)')"
        default: return "element type '\(descriptor)' is not read"
        }
    }

    /// Bytes per swap: the parts of complex numbers are swapped one by one.
    var swapWidth: Int {
        guard let dtype else { return 1 }
        return dtype == .complex64 || dtype == .complex128 ? dtype.byteCount / 2 : dtype.byteCount
    }

    /// Whether the stored bytes are those of a row-major little-endian tensor.
    var isInPlace: Bool {
        let isRowMajor = !isFortran || shape.rank < 2 || shape.dimensions.filter { $0 != 1 }.count < 2
        return isRowMajor && (!isBigEndian || swapWidth == 1)
    }

    /// The tensor, in place when `isInPlace`.
    ///
    /// - Parameter data: the stored elements, without the header.
    func tensor(_ data: Bytes, materialisationLimit: Int) throws -> Tensor {
        guard let dtype else { throw ZooError(.unsupported, refusal ?? "unknown element type") }
        if isInPlace { return try Tensor(shape: shape, dtype: dtype, bytes: data) }
        guard data.count <= materialisationLimit else {
            throw ZooError(.limit, "takes \(data.count) bytes in memory; at most \(materialisationLimit) are used")
        }
        let swapped = isBigEndian ? data.byteSwapped(width: swapWidth) : data
        guard isFortran else { return try Tensor(shape: shape, dtype: dtype, bytes: swapped) }
        return try Tensor(shape: shape, dtype: dtype, bytes: rowMajor(swapped, width: dtype.byteCount))
    }

    /// Copies elements stored with the first axis fastest into row-major order.
    private func rowMajor(_ data: Bytes, width: Int) -> Bytes {
        let extents = shape.dimensions
        var strides = [Int](repeating: 1, count: extents.count)
        for axis in extents.indices.dropFirst() { strides[axis] = strides[axis - 1] * extents[axis - 1] }
        return Bytes(byteCount: data.count) { output in
            guard !data.withUnsafeBytes({ $0.isEmpty }) else { return 0 }
            return data.withUnsafeBytes { input in
                var index = [Int](repeating: 0, count: extents.count)
                let last = extents.count - 1
                var target = 0
                while true {
                    var from = zip(index, strides).reduce(0) { $0 + $1.0 * $1.1 }
                    for _ in 0..<extents[last] {
                        for byte in 0..<width { output[target + byte] = input[from * width + byte] }
                        target += width
                        from += strides[last]
                    }
                    var axis = last - 1
                    while axis >= 0 {
                        index[axis] += 1
                        if index[axis] < extents[axis] { break }
                        index[axis] = 0
                        axis -= 1
                    }
                    if axis < 0 { return target }
                }
            }
        }
    }
}
