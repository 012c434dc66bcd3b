import ZooBase
import ZooNN
import ZooTensor

/// Reads IDX, the format of MNIST and its relatives: one file, or `*-images*` and `*-labels*` in a folder, gzipped or
/// not. `train…` is the split `train`, `t10k…` and `test…` are `test`.
///
/// Layout: two zero bytes, a type (08 u8, 09 i8, 0B i16, 0C i32, 0D f32, 0E f64), the number of axes, that many extents
/// as big-endian u32, then the elements, big-endian. Pictures `[N, H, W]` become `[N, 1, H, W]`.
public enum IDXReader: DatasetReader {
    /// `idx`.
    public static let format = "idx"

    /// The header of a file.
    struct Header {
        var dtype: DType
        var shape: Shape
        var offset: Int
    }

    /// Whether the bytes begin like IDX, or a folder has such files with `images` in their names.
    public static func accepts(_ place: DataPlace) -> Bool {
        switch place {
        case .file(let file): return (try? header(file.bytes)) != nil
        case .folder(let folder):
            return imagePaths(folder).contains { path in
                (try? folder.file(path)).map { (try? header($0.bytes)) != nil } ?? false
            }
        }
    }

    private static func imagePaths(_ folder: DataFolder) -> [String] {
        folder.paths { $0.lowercased().contains("images") && ($0.contains("idx") || $0.contains("ubyte")) }
    }

    static func header(_ bytes: Bytes) throws -> Header {
        guard bytes.count >= 4, bytes[0] == 0, bytes[1] == 0, let dtype = types[bytes[2]], (1...8).contains(bytes[3])
        else { throw ZooError(.corrupt, "does not begin like IDX") }
        let extents = try (0..<Int(bytes[3])).map {
            Int(try bytes.littleEndian(UInt32.self, at: 4 + 4 * $0).byteSwapped)
        }
        let shape = try Shape(validating: extents)
        let offset = 4 + 4 * extents.count
        guard shape.elementCount * dtype.byteCount == bytes.count - offset else {
            throw ZooError(
                .corrupt,
                "\(shape) of \(dtype.rawValue) takes \(shape.elementCount * dtype.byteCount) bytes, "
                    + "found \(bytes.count - offset)")
        }
        return Header(dtype: dtype, shape: shape, offset: offset)
    }

    private static let types: [UInt8: DType] = [
        8: .uint8, 9: .int8, 0x0B: .int16, 0x0C: .int32, 0x0D: .float32, 0x0E: .float64,
    ]

    static func tensor(_ bytes: Bytes) throws -> Tensor {
        let header = try header(bytes)
        let data = try bytes.slice(header.offset, bytes.count - header.offset)
        let width = header.dtype.byteCount
        guard width > 1 else { return try Tensor(shape: header.shape, dtype: header.dtype, bytes: data) }
        let swapped = Bytes(byteCount: data.count) { output in
            data.withUnsafeBytes { source in
                for index in 0..<source.count {
                    output[index] = source[index / width * width + width - 1 - index % width]
                }
            }
            return data.count
        }
        return try Tensor(shape: header.shape, dtype: header.dtype, bytes: swapped)
    }

    /// One split of a file, or those of a folder.
    public static func splits(_ place: DataPlace, _ options: DataOptions) throws -> [StoredSplit] {
        switch place {
        case .file(let file): return [try split(file, labels: nil)]
        case .folder(let folder):
            return try imagePaths(folder).map { path in
                let name = DataFolder.last(path)
                let wanted = name.replacing("images", with: "labels").replacing("idx3", with: "idx1")
                let images = try folder.file(path)
                let labels = folder.paths { strip($0) == strip(wanted) }.first
                return try split(images, labels: labels.map { try folder.file($0) })
            }
        }
    }

    private static func strip(_ name: String) -> String { name.hasSuffix(".gz") ? String(name.dropLast(3)) : name }

    private static func split(_ images: DataFile, labels: DataFile?) throws -> StoredSplit {
        let header = try ZooError.locate(images.name) { try Self.header(images.bytes) }
        var extents = header.shape.dimensions
        if extents.count == 3 { extents.insert(1, at: 1) }
        let shape = Shape(extents)
        let count = extents[0]
        if let labels {
            let found = try ZooError.locate(labels.name) { try Self.header(labels.bytes) }
            guard found.shape.elementCount == count else {
                throw ZooError(
                    .mismatch,
                    "\(labels.name): \(found.shape.elementCount) labels for \(count) pictures of \(images.name)")
            }
        }
        let split = DatasetSplit(
            name: images.splitName ?? "all", count: count, inputShape: Array(extents.dropFirst()))
        return StoredSplit(split, dtype: header.dtype, isLabelled: labels != nil) {
            StoredSamples(
                inputs: try tensor(images.bytes).reshaped(shape),
                labels: try labels.map { try tensor($0.bytes).converted(to: .int64) })
        }
    }
}
