import ZooBase
import ZooTensor

/// Writes an `.npz` archive: one stored (uncompressed) `.npy` member per tensor, in the order of the source.
///
/// Elements begin at multiples of 64 bytes in the file, so a reader can map them in place. bfloat16 and 8-bit floats
/// become float32, exactly. The same source gives the same bytes.
public enum NpzWriter: CheckpointWriter {
    /// `npz`.
    public static let format = "npz"
    /// `.npz`.
    public static let fileExtensions = ["npz"]

    /// Writes all tensors. The format has no place for metadata.
    public static func write(_ source: any TensorSource, to path: String, metadata: [String: String] = [:]) throws {
        let infos = try source.distinctInfos()
        let zip = try StoredZipWriter(path)
        for info in infos {
            try Cancellation.check()
            guard !info.name.isEmpty, !info.name.contains("\0") else {
                throw ZooError(.unsupported, "\(path): '\(info.name)' cannot be the name of an archive member")
            }
            let tensor = try source.announced(info)
            let stored = NpyWriter.storable(tensor)
            try zip.add(info.name + ".npy", header: NpyWriter.header(stored.dtype, stored.shape), body: stored.bytes)
            tensor.bytes.releasePages()
        }
        try zip.commit()
    }
}
