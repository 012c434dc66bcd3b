import CZooKernels
import ZooBase
import ZooTensor

/// Reads GGUF, versions 2 and 3.
///
/// Plain numbers (F32, F16, BF16, F64, integers) are read in place. The block-quantised types Q4_0, Q4_1, Q5_0, Q5_1,
/// Q8_0 and Q2_K to Q6_K are listed as float32 and decoded when read; others are in `skipped` under their names.
/// Extents are reversed from the file's order (fastest first) to row-major order.
public struct GGUFReader: CheckpointReader {
    /// `gguf`.
    public static let format = "gguf"
    /// The most axes a tensor has in this format.
    public static let maximumRank = 4

    /// The tensors in the order of the file.
    public var entries: [TensorEntry] { table.entries }
    /// The keys of the file; arrays of more than 1000 elements are summarised.
    public private(set) var metadata = JSONObject()
    /// Tensors of types that are not decoded.
    public private(set) var skipped: [(name: String, reason: String)] = []

    private struct Placement {
        var type: GGUFType
        var offset: Int
        var byteCount: Int
    }

    private struct Item {
        var name: String
        var extents: [Int]
        var type: GGUFType
        var offset: UInt64
    }

    private let bytes: Bytes
    private let name: String
    private let options: ReaderOptions
    private var table = TensorTable()
    private var placements: [Placement] = []

    /// Whether the bytes begin with `GGUF`.
    public static func accepts(_ bytes: Bytes) -> Bool { bytes.starts(with: Array("GGUF".utf8)) }

    /// Reads keys and tensor descriptions.
    ///
    /// - Throws: `corrupt`, `unsupported` (version 1, big-endian files), saying what was found at which offset.
    public init(_ bytes: Bytes, name: String, options: ReaderOptions = ReaderOptions()) throws {
        self.bytes = bytes
        self.name = name
        self.options = options
        do { try readHeader() } catch let error as ZooError { throw error.at(name) }
    }

    /// One tensor: a slice, or decoded to float32.
    public func tensor(named tensor: String) throws -> Tensor {
        let position = try table.position(of: tensor, in: name)
        let (entry, placement) = (entries[position], placements[position])
        return try ZooError.locate("\(name): tensor '\(tensor)'") {
            let stored = try bytes.slice(placement.offset, placement.byteCount)
            guard placement.type.plain == nil else {
                return try Tensor(shape: entry.info.shape, dtype: entry.info.dtype, bytes: stored)
            }
            let decoded = try decode(stored, placement.type, byteCount: entry.info.byteCount)
            return try Tensor(shape: entry.info.shape, dtype: .float32, bytes: decoded)
        }
    }

    private func decode(_ stored: Bytes, _ type: GGUFType, byteCount: Int) throws -> Bytes {
        guard let block = type.block else { throw ZooError(.unsupported, "type \(type.name) is not decoded") }
        guard byteCount <= options.materialisationLimit else {
            throw ZooError(
                .limit, "takes \(byteCount) bytes in memory; at most \(options.materialisationLimit) are used")
        }
        return try Bytes(byteCount: byteCount) { output in
            let isDecoded = stored.withUnsafeBytes { input in
                guard let source = input.baseAddress, let target = output.baseAddress else { return true }
                let floats = target.assumingMemoryBound(to: Float.self)
                return zoo_dequantise(Int32(type.code), source, input.count / block.byteCount, floats)
            }
            guard isDecoded else { throw ZooError(.unsupported, "type \(type.name) is not decoded") }
            return byteCount
        }
    }

    private mutating func readHeader() throws {
        guard Self.accepts(bytes) else { throw ZooError(.corrupt, "a GGUF file begins with 'GGUF'") }
        var cursor = GGUFCursor(bytes)
        _ = try cursor.number(UInt32.self)
        let version: UInt32 = try cursor.number()
        guard version == 2 || version == 3 else {
            let isSwapped = version.byteSwapped == 2 || version.byteSwapped == 3
            let found = isSwapped ? "a big-endian file" : "version \(version)"
            throw ZooError(.unsupported, "GGUF versions 2 and 3, little-endian, are read; found \(found)")
        }
        // A tensor description takes a name, a rank, a type and an offset; a key a name, a type and a value.
        let tensorCount = try cursor.count(of: "tensors", takingAtLeast: 24)
        let keyCount = try cursor.count(of: "keys", takingAtLeast: 13)
        for _ in 0..<keyCount {
            let key = try cursor.string()
            guard !metadata.contains(key) else { throw ZooError(.corrupt, "key '\(key)' is there twice") }
            metadata[key] = try cursor.value(try cursor.number())
        }
        var items: [Item] = []
        for _ in 0..<tensorCount { items.append(try Self.item(&cursor)) }
        try place(items, dataStart: try dataStart(cursor.position))
    }

    private static func item(_ cursor: inout GGUFCursor) throws -> Item {
        let name = try cursor.string()
        let rank: UInt32 = try cursor.number()
        guard rank <= maximumRank else {
            throw ZooError(.corrupt, "tensor '\(name)' has at most \(maximumRank) axes, found \(rank)")
        }
        var extents: [Int] = []
        for _ in 0..<rank {
            let extent: UInt64 = try cursor.number()
            guard let fits = Int(exactly: extent) else {
                throw ZooError(.corrupt, "tensor '\(name)' has an extent of \(extent)")
            }
            extents.insert(fits, at: 0)
        }
        let type = GGUFType(code: try cursor.number())
        return Item(name: name, extents: extents, type: type, offset: try cursor.number())
    }

    private func alignment() throws -> Int {
        guard let value = metadata["general.alignment"] else { return 32 }
        guard let number = value.int, number > 0, number <= 1 << 20, number & (number - 1) == 0 else {
            throw ZooError(.corrupt, "general.alignment is a power of two, found \(value.text())")
        }
        return number
    }

    private func dataStart(_ headerEnd: Int) throws -> Int {
        let unit = try alignment()
        return (headerEnd + unit - 1) / unit * unit
    }

    private mutating func place(_ items: [Item], dataStart: Int) throws {
        let unit = try alignment()
        table.reserve(items.count)
        for item in items {
            let shape = try ZooError.locate("tensor '\(item.name)'") { try Shape(validating: item.extents) }
            guard let block = item.type.block else {
                skipped.append((item.name, "type \(item.type.name) is not decoded"))
                continue
            }
            guard (shape.dimensions.last ?? 1) % block.elements == 0 else {
                throw ZooError(
                    .corrupt,
                    "tensor '\(item.name)' of \(item.type.name) has rows of \(shape.dimensions.last ?? 1), "
                        + "expected a multiple of \(block.elements)"
                )
            }
            let byteCount = shape.elementCount / block.elements * block.byteCount
            guard item.offset % UInt64(unit) == 0 else {
                throw ZooError(
                    .corrupt, "tensor '\(item.name)' at offset \(item.offset), expected a multiple of \(unit)")
            }
            let available = max(0, bytes.count - dataStart)
            guard byteCount <= available, item.offset <= UInt64(available - byteCount) else {
                throw ZooError(
                    .corrupt,
                    "truncated: tensor '\(item.name)' takes \(byteCount) bytes at offset \(item.offset) of the data, "
                        + "found \(available)", hint: "fetch the file again")
            }
            let offset = dataStart + Int(item.offset)
            let info = TensorInfo(name: item.name, dtype: item.type.plain ?? .float32, shape: shape)
            try table.append(TensorEntry(info: info, offset: item.type.plain == nil ? nil : offset))
            placements.append(Placement(type: item.type, offset: offset, byteCount: byteCount))
        }
        try checkOverlaps()
    }

    private func checkOverlaps() throws {
        let order = placements.indices.sorted {
            (placements[$0].offset, placements[$0].byteCount) < (placements[$1].offset, placements[$1].byteCount)
        }
        for (earlier, later) in zip(order, order.dropFirst()) {
            let end = placements[earlier].offset + placements[earlier].byteCount
            guard placements[later].offset >= end else {
                throw ZooError(
                    .corrupt,
                    "tensors '\(entries[earlier].info.name)' and '\(entries[later].info.name)' overlap "
                        + "at byte \(placements[later].offset)"
                )
            }
        }
    }
}
