import CZooHDF5
import Foundation
import ZooBase
import ZooTensor

/// Writes HDF5: contiguous datasets at multiples of 64 bytes, so that readers can map them.
///
/// As a `CheckpointWriter` it stores one dataset per tensor under the tensor's own name (a `/` in a name makes groups)
/// and the metadata as attributes of the root. Made by hand it writes large matrices row block by row block. The file
/// appears under its name at `commit()`.
///
/// bfloat16 and 8-bit floats become float32, exactly: HDF5 has no standard types for them. Truth values are written
/// as h5py writes them, an enumeration; complex numbers as its pairs of `r` and `i`.
public final class HDF5Writer: CheckpointWriter {
    /// `hdf5`.
    public static let format = "hdf5"
    /// `.h5`, `.hdf5`.
    public static let fileExtensions = ["h5", "hdf5"]

    /// How tensor names become paths.
    public enum Naming: Sendable {
        /// As they are.
        case asIs
        /// Dots become slashes: `layer1.0.weight` is the dataset `weight` in the group `layer1/0`.
        case dotsAsGroups
    }

    /// A dataset of a file that is being written.
    public struct Dataset: Sendable {
        fileprivate let number: Int32
        /// What was announced, with the type that is stored.
        public let info: TensorInfo
    }

    private let path: String
    private let temporaryPath: String
    private var writer: OpaquePointer?

    /// Creates the temporary file; folders on the way are made.
    ///
    /// - Throws: `io` with the library's words.
    public init(_ path: String) throws {
        self.path = path
        let folder = (path as NSString).deletingLastPathComponent
        if !folder.isEmpty { try makeFolder(folder) }
        let name = ".\((path as NSString).lastPathComponent).\(ProcessInfo.processInfo.processIdentifier).partial"
        temporaryPath = folder.isEmpty ? name : folder == "/" ? "/" + name : folder + "/" + name
        var message = [CChar](repeating: 0, count: 256)
        writer = zoo_h5_create(temporaryPath, &message, message.count)
        guard writer != nil else { throw ZooError(.io, "cannot create \(path): \(Self.text(message))") }
    }

    deinit {
        guard let writer else { return }
        var message = [CChar](repeating: 0, count: 256)
        _ = zoo_h5_close(writer, &message, message.count)
        unlink(temporaryPath)
    }

    /// Writes all tensors of a source under their own names.
    public static func write(_ source: any TensorSource, to path: String, metadata: [String: String]) throws {
        try write(source, to: path, metadata: metadata, naming: .asIs)
    }

    /// Writes all tensors of a source, one at a time.
    ///
    /// - Throws: `mismatch` when a name is a dataset and a group at once; `io`.
    public static func write(
        _ source: any TensorSource, to path: String, metadata: [String: String] = [:], naming: Naming
    ) throws {
        let file = try HDF5Writer(path)
        for info in try source.distinctInfos() {
            try Cancellation.check()
            let tensor = try source.announced(info)
            let name = naming == .asIs ? info.name : info.name.replacing(".", with: "/")
            let dataset = try file.addDataset(name, dtype: info.dtype, shape: info.shape)
            try file.write(tensor, to: dataset)
            tensor.bytes.releasePages()
        }
        for (key, value) in metadata.sorted(by: { $0.key < $1.key }) { try file.setAttribute(key, .string(value)) }
        try file.commit()
    }

    /// Announces a dataset; its groups are made, its space is taken.
    public func addDataset(_ name: String, dtype: DType, shape: Shape) throws -> Dataset {
        let info = TensorInfo(name: name, dtype: NpyWriter.storedType(dtype), shape: shape)
        guard !name.isEmpty, !name.contains("\0") else {
            throw ZooError(.unsupported, "\(path): '\(name)' cannot be the name of a dataset")
        }
        let extents = shape.dimensions.map { UInt64($0) }
        let number = zoo_h5_add_dataset(writer, name, Self.type(info.dtype), Int32(extents.count), extents)
        guard number >= 0 else {
            throw ZooError(.mismatch, "\(path): cannot add dataset '\(name)': \(message)")
        }
        return Dataset(number: number, info: info)
    }

    /// Writes rows (indices of the first axis).
    ///
    /// - Parameters:
    ///   - rows: shape `[count, …]` with the dataset's other extents, in any type: converted to the dataset's.
    ///   - first: the index of the first of them.
    public func writeRows(_ rows: Tensor, to dataset: Dataset, at first: Int) throws {
        let extents = dataset.info.shape.dimensions
        let count = rows.shape.dimensions.first ?? 0
        guard !extents.isEmpty, rows.shape.dimensions.dropFirst() == extents.dropFirst(), first >= 0,
            count <= extents[0], first <= extents[0] - count
        else {
            throw ZooError(
                .mismatch,
                "\(path): rows \(rows.shape) from row \(first) do not fit dataset '\(dataset.info.name)' "
                    + "\(dataset.info.shape)"
            )
        }
        try put(rows, to: dataset, first: first, count: count)
    }

    /// Writes a whole dataset and closes it.
    public func write(_ tensor: Tensor, to dataset: Dataset) throws {
        guard tensor.shape == dataset.info.shape else {
            throw ZooError(
                .mismatch,
                "\(path): tensor \(tensor.shape) does not fit dataset '\(dataset.info.name)' \(dataset.info.shape)")
        }
        if tensor.elementCount > 0 {
            try put(tensor, to: dataset, first: 0, count: tensor.shape.dimensions.first ?? 1)
        }
        zoo_h5_finish_dataset(writer, dataset.number)
    }

    /// Sets an attribute of the root, a group (made when missing) or a dataset: a text, a list of texts, an integer, a
    /// number; any other value as JSON text.
    public func setAttribute(_ name: String, _ value: JSONValue, of object: String = "/") throws {
        let isDone: Bool
        switch value {
        case .string(let text): isDone = zoo_h5_set_text(writer, object, name, text)
        case .int(let number): isDone = zoo_h5_set_integer(writer, object, name, number)
        case .double(let number): isDone = zoo_h5_set_number(writer, object, name, number)
        case .array(let elements) where !elements.isEmpty && elements.allSatisfy({ $0.string != nil }):
            isDone = Self.withCStrings(elements.compactMap(\.string)) {
                zoo_h5_set_texts(writer, object, name, $0.baseAddress, $0.count)
            }
        default: isDone = zoo_h5_set_text(writer, object, name, value.text())
        }
        guard isDone else {
            throw ZooError(.io, "\(path): cannot set attribute '\(name)' of '\(object)': \(message)")
        }
    }

    /// Makes a group and those above it; an existing one is fine.
    public func addGroup(_ group: String) throws {
        guard zoo_h5_add_group(writer, group) else {
            throw ZooError(.mismatch, "\(path): cannot make group '\(group)': \(message)")
        }
    }

    /// Closes, syncs and renames into place.
    public func commit() throws {
        guard let open = writer else { throw ZooError(.internal, "\(path): committed twice") }
        writer = nil
        var message = [CChar](repeating: 0, count: 256)
        guard zoo_h5_close(open, &message, message.count) else {
            unlink(temporaryPath)
            throw ZooError(.io, "cannot write \(path): \(Self.text(message))")
        }
        try Self.sync(temporaryPath)
        guard rename(temporaryPath, path) == 0 else {
            let code = errno
            unlink(temporaryPath)
            throw ZooError.system("rename to \(path)", errno: code)
        }
        let folder = (path as NSString).deletingLastPathComponent
        try? Self.sync(folder.isEmpty ? "." : folder)
    }

    private func put(_ tensor: Tensor, to dataset: Dataset, first: Int, count: Int) throws {
        let stored = tensor.converted(to: dataset.info.dtype)
        let isDone = stored.bytes.withUnsafeBytes {
            zoo_h5_write_rows(writer, dataset.number, UInt64(first), UInt64(count), $0.baseAddress)
        }
        guard isDone else {
            throw ZooError(.io, "\(path): cannot write dataset '\(dataset.info.name)': \(message)")
        }
    }

    private var message: String { writer.map { String(cString: zoo_h5_message($0)) } ?? "the file is closed" }

    private static func text(_ message: [CChar]) -> String {
        String(decoding: message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private static func sync(_ path: String) throws {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw ZooError.system("open \(path)", errno: errno) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw ZooError.system("sync \(path)", errno: errno) }
    }

    private static func withCStrings<R>(_ texts: [String], _ body: (UnsafeBufferPointer<UnsafePointer<CChar>?>) -> R)
        -> R
    {
        let copies = texts.map { strdup($0) }
        defer { copies.forEach { free($0) } }
        return copies.map { UnsafePointer($0) }.withUnsafeBufferPointer(body)
    }

    private static func type(_ type: DType) -> zoo_h5_type {
        switch type {
        case .bool: zoo_h5_bool
        case .uint8: zoo_h5_uint8
        case .int8: zoo_h5_int8
        case .uint16: zoo_h5_uint16
        case .int16: zoo_h5_int16
        case .uint32: zoo_h5_uint32
        case .int32: zoo_h5_int32
        case .uint64: zoo_h5_uint64
        case .int64: zoo_h5_int64
        case .float16: zoo_h5_float16
        case .float32, .bfloat16, .float8E4M3, .float8E5M2: zoo_h5_float32
        case .float64: zoo_h5_float64
        case .complex64: zoo_h5_complex64
        case .complex128: zoo_h5_complex128
        }
    }
}
