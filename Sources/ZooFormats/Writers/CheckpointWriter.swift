import ZooBase
import ZooTensor

/// Writes one checkpoint format. Tensors are pulled from the source one at a time, so memory holds one of them; the
/// file appears under its name only when it is complete.
public protocol CheckpointWriter: SendableMetatype {
    /// The format's name, as the reader's.
    static var format: String { get }

    /// File name endings that mean this format, without the dot, in lower case.
    static var fileExtensions: [String] { get }

    /// Writes all tensors of a source.
    ///
    /// - Parameters:
    ///   - metadata: text to store beside the tensors where the format has a place for it.
    /// - Throws: `unsupported` when the format cannot hold a tensor, `mismatch` when the source hands out another
    ///   tensor than it announced, `io` when the system refuses.
    static func write(_ source: any TensorSource, to path: String, metadata: [String: String]) throws
}

extension TensorSource {
    /// One tensor, checked to be what `info` announces: offsets have been laid out from the announcement.
    func announced(_ info: TensorInfo) throws -> Tensor {
        let tensor = try tensor(named: info.name)
        guard tensor.dtype == info.dtype, tensor.shape == info.shape else {
            throw ZooError(
                .mismatch,
                "tensor '\(info.name)' was announced as \(info.dtype.rawValue) \(info.shape), "
                    + "found \(tensor.dtype.rawValue) \(tensor.shape)")
        }
        return tensor
    }

    /// The tensors' descriptions, checked to have different names.
    func distinctInfos() throws -> [TensorInfo] {
        let infos = tensorInfos
        var seen = Set<String>(minimumCapacity: infos.count)
        for info in infos where !seen.insert(info.name).inserted {
            throw ZooError(.mismatch, "the source has two tensors named '\(info.name)'")
        }
        return infos
    }
}
