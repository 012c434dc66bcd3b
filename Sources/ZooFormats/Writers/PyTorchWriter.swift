import ZooBase
import ZooTensor

/// Writes a state dict as `torch.save` does: a zip that `torch.load(weights_only=True)` reads and maps.
///
/// The pickle is an `OrderedDict` of tensors, as plain as those of `Module.state_dict()`. Bytes equal those of PyTorch
/// 2.13 for the same state dict, except that the folder inside is always `archive` and that the serialisation id is
/// computed differently; so the same source gives the same bytes. Tensors of a checkpoint that share their bytes
/// (tied weights) share a storage here too.
public enum PyTorchWriter: CheckpointWriter {
    /// `pytorch`.
    public static let format = "pytorch"
    /// `.pt`, `.pth`, `.bin`, `.ckpt`.
    public static let fileExtensions = ["pt", "pth", "bin", "ckpt"]

    /// Writes all tensors.
    ///
    /// - Parameter metadata: of its members only `_metadata`, as JSON text, has a place in a state dict.
    public static func write(_ source: any TensorSource, to path: String, metadata: [String: String] = [:]) throws {
        let versions = try metadata["_metadata"].map { text in
            try ZooError.locate("_metadata") { try JSONParser.parse(text) }
        }
        try write(source, to: path, moduleVersions: versions?.object)
    }

    /// Writes all tensors.
    ///
    /// - Parameter moduleVersions: `{module prefix: {"version": n}}`, which PyTorch keeps as the state dict's
    ///   `_metadata`; a reader of a PyTorch file has it in its `metadata`. Nil writes none.
    /// - Throws: `mismatch` when the source hands out another tensor than it announced, `io`.
    public static func write(_ source: any TensorSource, to path: String, moduleVersions: JSONObject?) throws {
        try write(source, to: path, moduleVersions: moduleVersions, wideLimit: 0xFFFF_FFFF)
    }

    /// - Parameter wideLimit: from how many bytes on zip64 fields are written; for tests.
    package static func write(
        _ source: any TensorSource, to path: String, moduleVersions: JSONObject?, wideLimit: Int
    ) throws {
        let infos = try source.distinctInfos()
        let keys = storageKeys(source, infos)
        let zip = try TorchZipWriter(path, folder: "archive", wideLimit: wideLimit)
        try zip.add("data.pkl", pickle(infos, keys, moduleVersions))
        try zip.add(".format_version", Array("1".utf8))
        try zip.add(".storage_alignment", Array("\(TorchZipWriter.alignment)".utf8))
        try zip.add("byteorder", Array("little".utf8))
        var written = 0
        for (info, key) in Swift.zip(infos, keys) where key == written {
            try Cancellation.check()
            let tensor = try source.announced(info)
            try zip.add("data/\(key)", tensor.bytes)
            tensor.bytes.releasePages()
            written += 1
        }
        try zip.add("version", Array("3\n".utf8))
        try zip.add(".data/serialization_id", Array(zip.contentIdentifier.utf8))
        try zip.commit()
    }

    /// The number of each tensor's storage, counted in order of first use.
    private static func storageKeys(_ source: any TensorSource, _ infos: [TensorInfo]) -> [Int] {
        struct Place: Hashable {
            var offset: Int
            var dtype: DType
            var byteCount: Int
        }
        let entries = (source as? any CheckpointReader)?.entries ?? []
        var known: [Place: Int] = [:]
        var next = 0
        return infos.enumerated().map { index, info in
            let entry = index < entries.count && entries[index].info == info ? entries[index] : nil
            let place = entry?.offset.map { Place(offset: $0, dtype: info.dtype, byteCount: info.byteCount) }
            if info.byteCount > 0, let place, let shared = known[place] { return shared }
            if let place, info.byteCount > 0 { known[place] = next }
            defer { next += 1 }
            return next
        }
    }

    // MARK: The pickle

    private static func pickle(_ infos: [TensorInfo], _ keys: [Int], _ moduleVersions: JSONObject?) -> [UInt8] {
        var writer = PickleWriter()
        writer.orderedDict()
        writer.pairs(infos.count) { writer, index in
            writer.text(infos[index].name)
            tensor(&writer, infos[index], key: keys[index])
        }
        if let moduleVersions {
            writer.opcode(.emptyDict)
            writer.memoize()
            writer.text("_metadata")
            writer.json(.object(moduleVersions), isOrdered: true)
            writer.opcode(.setItem)
            writer.opcode(.build)
        }
        writer.opcode(.stop)
        return writer.bytes
    }

    /// `_rebuild_tensor_v2(storage, 0, size, stride, False, OrderedDict())`, or v3 with the type at the end for types
    /// that have no storage class.
    static func tensor(_ writer: inout PickleWriter, _ info: TensorInfo, key: Int) {
        let storageClass = storageClass(info.dtype)
        writer.global("torch._utils", storageClass == nil ? "_rebuild_tensor_v3" : "_rebuild_tensor_v2")
        writer.opcode(.mark)
        writer.opcode(.mark)
        writer.text("storage", isShared: true)
        if let storageClass {
            writer.global("torch", storageClass)
        } else {
            writer.global("torch.storage", "UntypedStorage")
        }
        writer.text("\(key)")
        writer.text("cpu", isShared: true)
        writer.int(storageClass == nil ? info.byteCount : info.shape.elementCount)
        writer.opcode(.tuple)
        writer.memoize()
        writer.opcode(.persistent)
        writer.int(0)
        writer.tuple(info.shape.dimensions)
        writer.tuple(strides(info.shape))
        writer.bool(false)
        writer.orderedDict()
        if storageClass == nil { writer.global("torch", info.dtype.rawValue) }
        writer.opcode(.tuple)
        writer.memoize()
        writer.opcode(.reduce)
        writer.memoize()
    }

    /// Row-major strides as PyTorch counts them: an axis of extent zero counts as one.
    private static func strides(_ shape: Shape) -> [Int] {
        Shape(shape.dimensions.map { max($0, 1) }).rowMajorStrides
    }

    private static func storageClass(_ type: DType) -> String? {
        switch type {
        case .float32: "FloatStorage"
        case .float64: "DoubleStorage"
        case .float16: "HalfStorage"
        case .bfloat16: "BFloat16Storage"
        case .int8: "CharStorage"
        case .int16: "ShortStorage"
        case .int32: "IntStorage"
        case .int64: "LongStorage"
        case .uint8: "ByteStorage"
        case .bool: "BoolStorage"
        case .complex64: "ComplexFloatStorage"
        case .complex128: "ComplexDoubleStorage"
        case .uint16, .uint32, .uint64, .float8E4M3, .float8E5M2: nil
        }
    }
}
