import ZooBase
import ZooTensor

/// Writes safetensors, in one file or in shards with an index.
///
/// The same source gives the same bytes. In the order `.reference` the bytes equal those of the reference library for
/// the same tensors and metadata.
public enum SafetensorsWriter: CheckpointWriter {
    /// `safetensors`.
    public static let format = "safetensors"
    /// `.safetensors`.
    public static let fileExtensions = ["safetensors"]
    /// What the metadata says when the caller says nothing; loaders of PyTorch models ask for it.
    public static let defaultMetadata = ["format": "pt"]

    /// The order of tensors in the file.
    public enum Order: Sendable {
        /// As the reference library sorts: element types from the widest alignment down, then names. Every tensor is
        /// then aligned to its element size.
        case reference
        /// As the source lists them.
        case source
    }

    /// Writes one file in the reference library's order; metadata without a `format` gets the default one.
    public static func write(_ source: any TensorSource, to path: String, metadata: [String: String] = [:]) throws {
        let complete = metadata.merging(defaultMetadata) { given, _ in given }
        try write(source, to: path, metadata: complete, order: .reference)
    }

    /// Writes one file with exactly this metadata.
    ///
    /// - Parameters:
    ///   - jobs: threads that compute and write pieces of tensors; the bytes do not depend on them.
    ///   - progress: told the bytes of each piece written.
    /// - Throws: `unsupported` for double complex tensors, which the format does not know; `mismatch`, `io`.
    public static func write(
        _ source: any TensorSource, to path: String, metadata: [String: String], order: Order, jobs: Int = 1,
        progress: (@Sendable (Int) -> Void)? = nil
    ) throws {
        let infos = try source.distinctInfos()
        let file = try staged(
            source, infos, to: path, metadata: metadata, order: order, jobs: jobs, progress: progress)
        try file.commit()
    }

    /// Writes one file as `write(_:to:metadata:)` does, the same bytes, but to its end even when a stop was asked for:
    /// for small states that are saved because of that.
    package static func writeUninterrupted(
        _ state: StateDict, to path: String, metadata: [String: String]
    ) throws {
        let complete = metadata.merging(defaultMetadata) { given, _ in given }
        let ordered = state.tensorInfos.sorted(by: precedes)
        let file = try AtomicFile(path)
        try file.write(try header(ordered, metadata: complete))
        for info in ordered { try file.write(state.tensor(named: info.name).bytes) }
        try file.commit()
    }

    /// A complete file that waits for its `commit()`.
    static func staged(
        _ source: any TensorSource, _ infos: [TensorInfo], to path: String, metadata: [String: String], order: Order,
        jobs: Int = 1, progress: (@Sendable (Int) -> Void)? = nil
    ) throws -> AtomicFile {
        let ordered = order == .source ? infos : infos.sorted(by: precedes)
        let file = try AtomicFile(path)
        try file.write(try header(ordered, metadata: metadata))
        let start = try file.reserve(ordered.reduce(0) { $0 + $1.byteCount })
        try ParallelFill(source, ordered, from: start).run(file.filler, jobs: jobs, progress: progress)
        return file
    }

    /// The header's length and text, padded with spaces so that the data begins at a multiple of eight.
    static func header(_ infos: [TensorInfo], metadata: [String: String]) throws -> [UInt8] {
        var text = "{"
        if !metadata.isEmpty {
            let members = metadata.sorted { $0.key < $1.key }.map { ($0.key, JSONValue.string($0.value)) }
            text += "\"__metadata__\":\(JSONValue.object(JSONObject(members)).text())"
        }
        var offset = 0
        for info in infos {
            guard let code = SafetensorsHeader.code(info.dtype) else {
                throw ZooError(
                    .unsupported, "safetensors has no element type \(info.dtype.rawValue) (tensor '\(info.name)')",
                    hint: "write npz or HDF5 instead")
            }
            guard info.name != "__metadata__" else {
                throw ZooError(.unsupported, "safetensors keeps the name '__metadata__' for itself")
            }
            let end = offset + info.byteCount
            let shape = info.shape.dimensions.map(String.init).joined(separator: ",")
            text += text.utf8.count > 1 ? "," : ""
            text += "\(JSONValue.string(info.name).text()):{\"dtype\":\"\(code)\",\"shape\":[\(shape)],"
            text += "\"data_offsets\":[\(offset),\(end)]}"
            offset = end
        }
        text += "}"
        let padding = (8 - text.utf8.count % 8) % 8
        text += String(repeating: " ", count: padding)
        guard text.utf8.count <= SafetensorsReader.maximumHeaderBytes else {
            throw ZooError(.limit, "the header would take \(text.utf8.count) bytes; readers accept 100000000")
        }
        return withUnsafeBytes(of: UInt64(text.utf8.count).littleEndian, Array.init) + Array(text.utf8)
    }

    private static func precedes(_ left: TensorInfo, _ right: TensorInfo) -> Bool {
        let (a, b) = (rank(left.dtype), rank(right.dtype))
        return a == b ? left.name.utf8.lexicographicallyPrecedes(right.name.utf8) : a > b
    }

    /// The position of an element type in the reference library's enumeration, which its sort compares.
    private static func rank(_ type: DType) -> Int {
        switch type {
        case .bool: 0
        case .uint8: 1
        case .int8: 2
        case .float8E5M2: 3
        case .float8E4M3: 4
        case .int16: 5
        case .uint16: 6
        case .float16: 7
        case .bfloat16: 8
        case .int32: 9
        case .uint32: 10
        case .float32: 11
        case .complex64: 12
        case .float64: 13
        case .int64: 14
        case .uint64: 15
        case .complex128: 16
        }
    }
}
