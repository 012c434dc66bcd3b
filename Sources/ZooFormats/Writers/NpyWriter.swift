import ZooBase
import ZooTensor

/// Writes one tensor as an `.npy` array of version 1.0 (2.0 when the header is too long for it).
///
/// NumPy has no bfloat16 and no 8-bit floats; such tensors are written as float32, which holds their values exactly.
public enum NpyWriter: CheckpointWriter {
    /// `npy`.
    public static let format = "npy"
    /// `.npy`.
    public static let fileExtensions = ["npy"]

    /// Writes the only tensor of a source. The format has no place for its name and for metadata.
    public static func write(_ source: any TensorSource, to path: String, metadata: [String: String] = [:]) throws {
        let infos = source.tensorInfos
        guard infos.count == 1 else {
            throw ZooError(
                .unsupported, "\(path): an npy file holds one tensor, the source has \(infos.count)",
                hint: "write npz instead")
        }
        let tensor = storable(try source.announced(infos[0]))
        let file = try AtomicFile(path)
        try file.write(header(tensor.dtype, tensor.shape))
        try file.write(tensor.bytes)
        try file.commit()
    }

    /// The tensor in a type that NumPy knows, with the same values.
    static func storable(_ tensor: Tensor) -> Tensor { tensor.converted(to: storedType(tensor.dtype)) }

    static func storedType(_ type: DType) -> DType {
        switch type {
        case .bfloat16, .float8E4M3, .float8E5M2: .float32
        default: type
        }
    }

    /// Everything before the elements: a multiple of 64 bytes, as NumPy aligns it.
    static func header(_ type: DType, _ shape: Shape) -> [UInt8] {
        let extents = shape.dimensions.map(String.init).joined(separator: ", ") + (shape.rank == 1 ? "," : "")
        let text = "{'descr': '\(descriptor(type))', 'fortran_order': False, 'shape': (\(extents)), }"
        let prefix = text.utf8.count + 64 < 1 << 16 ? 10 : 12
        let total = (prefix + text.utf8.count + 1 + 63) / 64 * 64
        let length = total - prefix
        var header = NpyHeader.magic + (prefix == 10 ? [1, 0] : [2, 0])
        for byte in 0..<(prefix - 8) { header.append(UInt8(truncatingIfNeeded: length >> (8 * byte))) }
        header += text.utf8
        header += repeatElement(UInt8(ascii: " "), count: total - header.count - 1)
        return header + [UInt8(ascii: "\n")]
    }

    private static func descriptor(_ type: DType) -> String {
        switch type {
        case .bool: "|b1"
        case .uint8: "|u1"
        case .int8: "|i1"
        case .uint16: "<u2"
        case .int16: "<i2"
        case .uint32: "<u4"
        case .int32: "<i4"
        case .uint64: "<u8"
        case .int64: "<i8"
        case .float16: "<f2"
        case .float32, .bfloat16, .float8E4M3, .float8E5M2: "<f4"
        case .float64: "<f8"
        case .complex64: "<c8"
        case .complex128: "<c16"
        }
    }
}
