import ZooBase
import ZooTensor

/// Reads pruned networks in compact storage and expands them: safetensors in which a tensor NAME with many zeros is
/// kept as `NAME.zoo_mask` (uint8, first element in the lowest bit, 1 where a value is stored) and `NAME.zoo_values`
/// (the values in order).
///
/// `__metadata__` has `zoo_compact`: a JSON object from the names of such tensors to their extents. `zoo prune export
/// --compact` writes them.
public struct CompactReader: CheckpointReader {
    /// `safetensors-compact`.
    public static let format = "safetensors-compact"
    /// The key of the metadata.
    public static let key = "zoo_compact"
    /// The endings of the two tensors that a packed one is kept as.
    public static let maskSuffix = ".zoo_mask", valuesSuffix = ".zoo_values"
    /// Where the key is looked for: the metadata come first in the header.
    private static let searched = 4096

    /// The tensors; packed ones have no offset.
    public let entries: [TensorEntry]
    /// The metadata without the table of packed tensors.
    public let metadata: JSONObject
    /// What the file has of types that are not read.
    public var skipped: [(name: String, reason: String)] { file.skipped }

    private let file: SafetensorsReader
    private let packed: Set<String>
    private let name: String

    /// Whether the bytes are safetensors whose metadata name packed tensors.
    public static func accepts(_ bytes: Bytes) -> Bool {
        guard SafetensorsReader.accepts(bytes) else { return false }
        let wanted = Array("\"\(key)\"".utf8), start = bytes.prefix(searched).array
        guard start.count > wanted.count else { return false }
        return (0...start.count - wanted.count).contains { start[$0] == wanted[0] && start[$0...].starts(with: wanted) }
    }

    /// Reads the header.
    ///
    /// - Throws: `corrupt` when a packed tensor's parts do not fit its extents; what reading safetensors throws.
    public init(_ bytes: Bytes, name: String, options: ReaderOptions) throws {
        file = try SafetensorsReader(bytes, name: name, options: options)
        self.name = name
        (entries, packed) = try ZooError.locate(name) { [file] in try Self.table(file, options) }
        var rest = file.metadata
        rest[Self.key] = nil
        metadata = rest
    }

    private static func table(
        _ file: SafetensorsReader, _ options: ReaderOptions
    ) throws -> ([TensorEntry], Set<String>) {
        guard let text = file.metadata[key]?.string, let shapes = try JSONParser.parse(text).object else {
            throw ZooError(.corrupt, "the metadata '\(key)' is no JSON object of tensor names and extents")
        }
        let stored = Dictionary(file.entries.map { ($0.info.name, $0.info) }, uniquingKeysWith: { first, _ in first })
        var entries: [TensorEntry] = []
        var packed = Set<String>()
        for entry in file.entries {
            if entry.info.name.hasSuffix(maskSuffix),
                shapes.contains(String(entry.info.name.dropLast(maskSuffix.count)))
            {
                continue
            }
            guard entry.info.name.hasSuffix(valuesSuffix) else {
                entries.append(entry)
                continue
            }
            let name = String(entry.info.name.dropLast(valuesSuffix.count))
            guard let extents = shapes[name]?.array else {
                entries.append(entry)
                continue
            }
            let shape = try Shape(validating: extents.map { $0.int ?? -1 })
            let bytes = (shape.elementCount + 7) / 8
            guard let mask = stored[name + maskSuffix], mask.dtype == .uint8, mask.shape.elementCount == bytes,
                entry.info.shape.elementCount <= shape.elementCount, stored[name] == nil
            else {
                throw ZooError(
                    .corrupt,
                    "packed tensor '\(name)' \(shape) needs a mask of \(bytes) bytes and at most "
                        + "\(shape.elementCount) values")
            }
            let info = TensorInfo(name: name, dtype: entry.info.dtype, shape: shape)
            guard info.byteCount <= options.materialisationLimit else {
                throw ZooError(.limit, "tensor '\(name)' takes \(info.byteCount) bytes unpacked")
            }
            packed.insert(name)
            entries.append(TensorEntry(info: info, offset: nil))
        }
        guard packed.count == shapes.count else {
            let missing = shapes.first { !packed.contains($0.key) }?.key ?? ""
            throw ZooError(.corrupt, "packed tensor '\(missing)' has no values")
        }
        return (entries, packed)
    }

    /// One tensor, expanded when it is packed.
    public func tensor(named name: String) throws -> Tensor {
        guard packed.contains(name), let entry = entries.first(where: { $0.info.name == name }) else {
            return try file.tensor(named: name)
        }
        let mask = try file.tensor(named: name + Self.maskSuffix).bytes.array
        let values = try file.tensor(named: name + Self.valuesSuffix)
        let count = entry.info.shape.elementCount, size = entry.info.dtype.byteCount
        let stored = mask.reduce(0) { $0 + $1.nonzeroBitCount }
        guard stored == values.elementCount else {
            throw ZooError(
                .corrupt,
                "\(self.name): tensor '\(name)': the mask keeps \(stored) values, found \(values.elementCount)")
        }
        var place = 0
        let packed = values.bytes
        let bytes = Bytes(byteCount: count * size) { output in
            packed.withUnsafeBytes { source in
                guard let target = output.baseAddress else { return }
                for index in 0..<count {
                    if mask[index >> 3] >> UInt8(index & 7) & 1 == 1 {
                        // A bit beyond the last element could have been counted in place of one before it.
                        guard place < stored, let base = source.baseAddress else { break }
                        (target + index * size).copyMemory(from: base + place * size, byteCount: size)
                        place += 1
                    } else {
                        (target + index * size).initializeMemory(as: UInt8.self, repeating: 0, count: size)
                    }
                }
            }
            return output.count
        }
        guard place == stored else {
            throw ZooError(.corrupt, "\(self.name): tensor '\(name)': the mask keeps elements beyond the last")
        }
        return try Tensor(shape: entry.info.shape, dtype: entry.info.dtype, bytes: bytes)
    }
}
