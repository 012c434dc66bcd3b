import ZooBase
import ZooTensor

/// Reads `.npz`: a zip of `.npy` members, stored (`numpy.savez`) or deflated (`numpy.savez_compressed`).
///
/// A stored row-major little-endian member is read in place, without checking its CRC; a deflated one is unpacked when
/// it is read, and its header alone when the file is opened.
public struct NpzReader: CheckpointReader {
    /// `npz`.
    public static let format = "npz"

    /// The arrays, in the order of the archive, named as their members without `.npy`.
    public var entries: [TensorEntry] { table.entries }
    /// Empty: the format has no place for more.
    public let metadata = JSONObject()
    /// Arrays of objects, text and records, and members that are no arrays.
    public private(set) var skipped: [(name: String, reason: String)] = []

    private let zip: ZipDirectory
    private let options: ReaderOptions
    private var table = TensorTable()
    private var members: [(entry: ZipEntry, header: NpyHeader)] = []

    /// Whether the bytes begin with a zip member whose name ends in `.npy`.
    public static func accepts(_ bytes: Bytes) -> Bool {
        guard bytes.starts(with: [0x50, 0x4B, 3, 4]), let length = try? bytes.littleEndian(UInt16.self, at: 26),
            let name = try? bytes.slice(30, Int(length))
        else { return false }
        return name.count >= 4 && name.suffix(from: name.count - 4).starts(with: Array(".npy".utf8))
    }

    /// Reads the directory and the arrays' headers.
    ///
    /// - Throws: `corrupt` or `limit`, naming the member.
    public init(_ bytes: Bytes, name: String, options: ReaderOptions = ReaderOptions()) throws {
        self.options = options
        zip = try ZipDirectory(bytes, name: name)
        table.reserve(zip.entries.count)
        for entry in zip.entries where !entry.isFolder {
            guard entry.name.hasSuffix(".npy") else {
                skipped.append((entry.name, "not an .npy array"))
                continue
            }
            try add(entry)
        }
    }

    /// One tensor: in place, or unpacked and rearranged.
    public func tensor(named tensor: String) throws -> Tensor {
        let (entry, header) = members[try table.position(of: tensor, in: zip.name)]
        return try ZooError.locate("\(zip.name)!/\(entry.name)") {
            guard entry.method == 0 || entry.byteCount <= options.materialisationLimit else {
                throw ZooError(
                    .limit, "takes \(entry.byteCount) bytes in memory; at most \(options.materialisationLimit) are used"
                )
            }
            let data = try zip.bytes(of: entry).suffix(from: header.dataOffset)
            return try header.tensor(data, materialisationLimit: options.materialisationLimit)
        }
    }

    private mutating func add(_ entry: ZipEntry) throws {
        let range = try zip.dataRange(of: entry)
        let place = "\(zip.name)!/\(entry.name)"
        let header: NpyHeader = try ZooError.locate(place) {
            let packed = try zip.bytes.slice(range.lowerBound, range.count)
            return try NpyHeader(entry.method == 0 ? packed : Self.unpackedPrefix(packed))
        }
        let name = String(entry.name.dropLast(4))
        guard let dtype = header.dtype else {
            skipped.append((name, header.refusal ?? "unknown element type"))
            return
        }
        let info = TensorInfo(name: name, dtype: dtype, shape: header.shape)
        guard entry.byteCount - header.dataOffset == info.byteCount else {
            throw ZooError(
                .corrupt,
                "\(place): \(header.shape) of \(dtype.rawValue) takes \(info.byteCount) bytes, "
                    + "found \(entry.byteCount - header.dataOffset)")
        }
        let isInPlace = entry.method == 0 && header.isInPlace
        try table.append(TensorEntry(info: info, offset: isInPlace ? range.lowerBound + header.dataOffset : nil))
        members.append((entry, header))
    }

    /// The beginning of a deflate stream, long enough for any header that NumPy writes.
    private static func unpackedPrefix(_ packed: Bytes) throws -> Bytes {
        let inflater = try Inflater()
        return try Bytes(byteCount: 1 << 16) { output in
            try packed.withUnsafeBytes { input in
                var (consumed, produced) = (0, 0)
                while produced < output.count {
                    let status = inflater.step(
                        UnsafeRawBufferPointer(rebasing: input[consumed...]),
                        UnsafeMutableRawBufferPointer(rebasing: output[produced...]), &consumed, &produced)
                    // Z_OK is 0 and Z_STREAM_END is 1; without progress zlib answers with an error.
                    if status == 1 { break }
                    guard status == 0 else { throw inflater.failure(status) }
                }
                return produced
            }
        }
    }
}
