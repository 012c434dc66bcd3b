import ZooBase
import ZooTensor

/// Reads safetensors: eight bytes of header length, a JSON header, then the tensors without gaps.
///
/// Every tensor is a slice of the file. What the reference library refuses is refused here: a header past 100 MB,
/// ranges that overlap, leave a hole or do not end with the file, sizes that contradict shape and type, and a name
/// that occurs twice. Element types that have no `DType` (4- and 6-bit floats, scales) are listed in `skipped`.
public struct SafetensorsReader: CheckpointReader {
    /// `safetensors`.
    public static let format = "safetensors"
    /// The longest header that is read, as in the reference library.
    public static let maximumHeaderBytes = 100_000_000

    /// The tensors in the order of the header.
    public var entries: [TensorEntry] { table.entries }
    /// The `__metadata__` of the header.
    public let metadata: JSONObject
    /// Tensors of element types that are not read.
    public private(set) var skipped: [(name: String, reason: String)] = []

    private let bytes: Bytes
    private let name: String
    private var table = TensorTable()

    /// Whether byte 8 opens a JSON object and the eight before it hold a possible header length; a length past the
    /// end is accepted, so that a file cut short is reported as such.
    public static func accepts(_ bytes: Bytes) -> Bool {
        guard bytes.count > 8, bytes[8] == UInt8(ascii: "{"),
            let length = try? bytes.littleEndian(UInt64.self, at: 0)
        else { return false }
        return length >= 2 && length <= UInt64(maximumHeaderBytes)
    }

    /// Reads the header.
    ///
    /// - Throws: `corrupt` or `limit`, saying what was expected and found at which offset.
    public init(_ bytes: Bytes, name: String, options: ReaderOptions = ReaderOptions()) throws {
        self.bytes = bytes
        self.name = name
        do {
            let length = try Self.headerLength(bytes)
            let header = try bytes.slice(8, length).withUnsafeBytes { try SafetensorsHeader($0, offset: 8) }
            metadata = header.metadata
            try Self.checkCoverage(header.items, byteCount: bytes.count - 8 - length)
            table.reserve(header.items.count)
            for item in header.items { try add(item, dataStart: 8 + length) }
        } catch let error as ZooError {
            throw error.at(name)
        }
    }

    /// One tensor, in place.
    public func tensor(named name: String) throws -> Tensor {
        let entry = entries[try table.position(of: name, in: self.name)]
        return try ZooError.locate("\(self.name): tensor '\(name)'") {
            let range = try bytes.slice(entry.offset ?? 0, entry.info.byteCount)
            return try Tensor(shape: entry.info.shape, dtype: entry.info.dtype, bytes: range)
        }
    }

    private static func headerLength(_ bytes: Bytes) throws -> Int {
        guard bytes.count >= 8 else {
            throw ZooError(.corrupt, "a safetensors file begins with 8 bytes of header length, found \(bytes.count)")
        }
        let length: UInt64 = try bytes.littleEndian(at: 0)
        guard length <= UInt64(maximumHeaderBytes) else {
            throw ZooError(.limit, "header length is at most \(maximumHeaderBytes) bytes, found \(length)")
        }
        guard Int(length) <= bytes.count - 8 else {
            throw ZooError(
                .corrupt, "truncated: the header takes \(length) bytes after the first 8, found \(bytes.count - 8)",
                hint: "fetch the file again")
        }
        return Int(length)
    }

    /// Checks that the tensors' ranges follow each other from the first byte of data to the last.
    private static func checkCoverage(_ items: [SafetensorsHeader.Item], byteCount: Int) throws {
        let isOrdered = items.indices.dropFirst().allSatisfy { items[$0 - 1].end <= items[$0].begin }
        let ordered = isOrdered ? items : items.sorted { ($0.begin, $0.end) < ($1.begin, $1.end) }
        var reached = 0
        for item in ordered {
            guard item.begin == reached, item.end >= item.begin else {
                let fault =
                    item.end < item.begin
                    ? "ends before it begins" : item.begin < reached ? "overlaps another" : "leaves a hole"
                throw ZooError(
                    .corrupt,
                    "tensor '\(item.name)' \(fault): data_offsets [\(item.begin), \(item.end)], "
                        + "expected \(reached) first"
                )
            }
            guard item.end <= byteCount else {
                throw ZooError(
                    .corrupt,
                    "truncated: tensor '\(item.name)' ends at byte \(item.end) of the data, found \(byteCount) bytes",
                    hint: "fetch the file again")
            }
            reached = item.end
        }
        guard reached == byteCount else {
            throw ZooError(.corrupt, "the tensors end at byte \(reached) of the data, found \(byteCount) bytes")
        }
    }

    private mutating func add(_ item: SafetensorsHeader.Item, dataStart: Int) throws {
        guard let type = SafetensorsHeader.type(item.dtype) else {
            skipped.append((item.name, "element type '\(item.dtype)' is not read"))
            return
        }
        let shape: Shape
        do { shape = try Shape(validating: item.shape) } catch let error as ZooError {
            throw error.at("tensor '\(item.name)'")
        }
        let info = TensorInfo(name: item.name, dtype: type, shape: shape)
        guard info.byteCount == item.end - item.begin else {
            throw ZooError(
                .corrupt,
                "tensor '\(item.name)' of \(item.dtype) \(shape) needs \(info.byteCount) bytes, "
                    + "found data_offsets [\(item.begin), \(item.end)]")
        }
        try table.append(TensorEntry(info: info, offset: dataStart + item.begin))
    }
}
