import ZooBase
import ZooFormats
import ZooNN
import ZooTensor

/// Reads files of named tensors that the checkpoint readers know: safetensors, npz, HDF5 and more. `SplitPairing` says
/// which names make a split; HDF5 groups count as prefixes.
///
/// A MATLAB file of version 7.3 is HDF5 too: its axes are the wrong way round, pictures `[H, W, C, N]` lie there as
/// `[N, C, W, H]`.
public enum TensorFileReader: DatasetReader {
    /// `tensors`.
    public static let format = "tensors"

    /// Whether a checkpoint reader takes the bytes.
    public static func accepts(_ place: DataPlace) -> Bool {
        guard case .file(let file) = place, file.bytes.count > 0 else { return false }
        return CheckpointReaders.reader(for: file.bytes) != nil
            || CheckpointReaders.registration(forName: file.name) != nil
    }

    /// The splits by the tensors' names.
    public static func splits(_ place: DataPlace, _ options: DataOptions) throws -> [StoredSplit] {
        guard case .file(let file) = place else {
            throw ZooError(.unsupported, "\(place.name): a folder is no file of tensors")
        }
        let source = try CheckpointReaders.open(file.bytes, name: file.name)
        let isMATLAB = file.bytes.starts(with: Array("MATLAB 7.3".utf8))
        let arrays = source.tensorInfos.map { info -> NamedArray in
            var shown = info
            shown.name = info.name.replacing("/", with: ".")
            if isMATLAB { shown.shape = MATLABReader.rowMajorShape(info.shape) }
            return NamedArray(info: shown) {
                let tensor = try source.tensor(named: info.name)
                return isMATLAB ? try MATLABReader.rowMajor(tensor) : tensor
            }
        }
        return try ZooError.locate(file.name) {
            let splits = try SplitPairing.splits(arrays, labels: options.labels, onlySplit: file.splitName ?? "all")
            return isMATLAB ? splits.map(MATLABReader.withDigitZero) : splits
        }
    }
}
