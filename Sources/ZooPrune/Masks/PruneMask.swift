import ZooBase
import ZooFormats
import ZooTensor

/// Which weights of a network are pruned: one bit per candidate weight.
///
/// The file `mask.bin`, little-endian: `ZOOMASK1`; the number of tensors (u32); for each the length of its name (u16),
/// the name, its rank (u8), its extents (u64 each); then for each its bits, first weight in the lowest bit, 1 for kept,
/// filled up to whole bytes; at the end the CRC-32 of all before (u32).
public struct PruneMask: Sendable, Hashable {
    /// One tensor.
    public struct Entry: Sendable, Hashable {
        /// Its name.
        public let name: String
        /// Its extents.
        public let shape: Shape
        /// The bits of the kept weights, eight to a byte.
        public fileprivate(set) var kept: [UInt8]

        /// Weights.
        public var count: Int { shape.elementCount }
        /// Weights that are gone.
        public var zeroCount: Int { count - kept.reduce(0) { $0 + $1.nonzeroBitCount } }

        /// A mask of one tensor.
        public init(name: String, shape: Shape, pruned: [Bool]) {
            precondition(pruned.count == shape.elementCount)
            self.name = name
            self.shape = shape
            var kept = [UInt8](repeating: 0, count: (pruned.count + 7) / 8)
            for (place, goes) in pruned.enumerated() where !goes { kept[place >> 3] |= 1 << UInt8(place & 7) }
            self.kept = kept
        }

        fileprivate init(name: String, shape: Shape, kept: [UInt8]) {
            self.name = name
            self.shape = shape
            self.kept = kept
        }

        /// Whether a weight stays.
        @inline(__always)
        public func keeps(_ place: Int) -> Bool { kept[place >> 3] >> UInt8(place & 7) & 1 == 1 }
    }

    /// The tensors.
    public let entries: [Entry]

    /// A mask of tensors.
    public init(_ entries: [Entry]) { self.entries = entries }

    /// The mask of a selection.
    public init(_ matrices: [CandidateMatrix], pruned: [String: [Bool]]) {
        entries = matrices.compactMap { matrix in
            pruned[matrix.name].map { Entry(name: matrix.name, shape: matrix.shape, pruned: $0) }
        }
    }

    /// The zeros of a network's matrices.
    ///
    /// - Throws: what reading throws.
    public init(zerosOf source: any TensorSource, matrices: [CandidateMatrix]) throws {
        entries = try matrices.map { matrix in
            let values = try source.tensor(named: matrix.name).floats()
            return Entry(name: matrix.name, shape: matrix.shape, pruned: values.map { $0 == 0 })
        }
    }

    /// The mask of a tensor.
    public subscript(name: String) -> Entry? { entries.first { $0.name == name } }

    /// Candidate weights.
    public var count: Int { entries.reduce(0) { $0 + $1.count } }
    /// Weights that are gone.
    public var zeroCount: Int { entries.reduce(0) { $0 + $1.zeroCount } }

    /// |A ∩ B| / |A ∪ B| of the pruned weights; 1 when both prune nothing.
    public func jaccard(_ other: PruneMask) -> Double {
        var common = 0, either = 0
        for entry in entries {
            guard let twin = other[entry.name], twin.shape == entry.shape else { continue }
            for (a, b) in zip(entry.kept, twin.kept) {
                common += (~a & ~b).nonzeroBitCount
                either += (~a | ~b).nonzeroBitCount
            }
            // What fills up the last byte is zero in both and no weight.
            let padding = entry.kept.count * 8 - entry.count
            common -= padding
            either -= padding
        }
        return either == 0 ? 1 : Double(common) / Double(either)
    }

    // MARK: The file

    private static let magic = Array("ZOOMASK1".utf8)

    /// The bytes of the file.
    public var bytes: [UInt8] {
        var out = Self.magic
        func put(_ number: some FixedWidthInteger) {
            withUnsafeBytes(of: number.littleEndian) { out.append(contentsOf: $0) }
        }
        put(UInt32(entries.count))
        for entry in entries {
            let name = Array(entry.name.utf8)
            put(UInt16(name.count))
            out += name
            put(UInt8(entry.shape.rank))
            for extent in entry.shape.dimensions { put(UInt64(extent)) }
        }
        for entry in entries { out += entry.kept }
        put(Inflate.crc32(of: Bytes(out)))
        return out
    }

    /// Reads a file.
    ///
    /// - Throws: `corrupt` saying what does not fit.
    public init(reading path: String) throws { try self.init(Bytes(mapping: path), name: path) }

    /// Reads the bytes of a file.
    ///
    /// - Throws: `corrupt` saying what does not fit.
    public init(_ bytes: Bytes, name: String) throws {
        entries = try ZooError.locate(name) { try Self.parse(bytes) }
    }

    private static func parse(_ bytes: Bytes) throws -> [Entry] {
        guard bytes.count >= magic.count + 8, bytes.starts(with: magic) else {
            throw ZooError(.corrupt, "a mask begins with 'ZOOMASK1' and has at least \(magic.count + 8) bytes")
        }
        let end = bytes.count - 4
        try Inflate.verify(bytes.slice(0, end), crc32: bytes.littleEndian(at: end))
        var place = magic.count
        func take<T: FixedWidthInteger>(_ type: T.Type) throws -> Int {
            guard place + MemoryLayout<T>.size <= end else { throw ZooError(.corrupt, "the tensor table is cut short") }
            let number = try bytes.littleEndian(T.self, at: place)
            place += MemoryLayout<T>.size
            guard let value = Int(exactly: number) else { throw ZooError(.corrupt, "an extent of \(number)") }
            return value
        }
        var table: [(String, Shape)] = []
        for _ in 0..<(try take(UInt32.self)) {
            let length = try take(UInt16.self)
            guard place + length <= end else { throw ZooError(.corrupt, "the tensor table is cut short") }
            let name = String(decoding: try bytes.slice(place, length).array, as: UTF8.self)
            place += length
            let rank = try take(UInt8.self)
            let extents = try (0..<rank).map { _ in try take(UInt64.self) }
            table.append((name, try Shape(validating: extents)))
        }
        var entries: [Entry] = []
        for (name, shape) in table {
            let length = (shape.elementCount + 7) / 8
            guard length <= end - place else {
                throw ZooError(.corrupt, "'\(name)' needs \(length) bytes of mask, found \(end - place)")
            }
            let kept = try bytes.slice(place, length).array
            let padding = length * 8 - shape.elementCount
            guard padding == 0 || (kept.last ?? 0) >> UInt8(8 - padding) == 0 else {
                throw ZooError(.corrupt, "bits beyond the last weight of '\(name)' are set")
            }
            entries.append(Entry(name: name, shape: shape, kept: kept))
            place += length
        }
        guard place == end else { throw ZooError(.corrupt, "\(end - place) bytes follow the last mask") }
        return entries
    }
}

/// A network with pruned weights set to zero when they are read; everything else as it is.
public struct MaskedSource: TensorSource {
    private let base: any TensorSource
    private let masks: [String: PruneMask.Entry]

    /// The tensors of the network.
    public var tensorInfos: [TensorInfo] { base.tensorInfos }

    /// Puts a mask over a network.
    ///
    /// - Throws: `mismatch` for a tensor that is missing or has another shape.
    public init(_ base: any TensorSource, mask: PruneMask) throws {
        let infos = Dictionary(base.tensorInfos.map { ($0.name, $0.shape) }, uniquingKeysWith: { first, _ in first })
        for entry in mask.entries where infos[entry.name] != entry.shape {
            let found = infos[entry.name].map { "has shape \($0)" } ?? "is not there"
            throw ZooError(.mismatch, "the mask is of '\(entry.name)' \(entry.shape), which \(found)")
        }
        self.base = base
        masks = Dictionary(mask.entries.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// One tensor in its own element type; kept weights keep their bits.
    public func tensor(named name: String) throws -> Tensor {
        let tensor = try base.tensor(named: name)
        guard let mask = masks[name] else { return tensor }
        let size = tensor.dtype.byteCount
        var bytes = tensor.bytes.array
        for place in 0..<mask.count where !mask.keeps(place) {
            for byte in place * size..<(place + 1) * size { bytes[byte] = 0 }
        }
        return try Tensor(shape: tensor.shape, dtype: tensor.dtype, bytes: Bytes(bytes))
    }
}
