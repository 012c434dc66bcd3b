import ZooBase
import ZooFormats
import ZooNN
import ZooTensor

/// Reads the Python versions of CIFAR-10 (`data_batch_1` … `test_batch`, `batches.meta`) and CIFAR-100 (`train`, `test`,
/// `meta`): pickles of a dictionary with `data` (uint8, `[N, 3072]`, planes of red, green and blue) and a list `labels`
/// or `fine_labels`. The pickles are followed, never run.
public enum CIFARPythonReader: DatasetReader {
    /// `cifar-python`.
    public static let format = "cifar-python"

    /// Whether a file is such a pickle, or a folder has one among its batches.
    public static func accepts(_ place: DataPlace) -> Bool {
        switch place {
        case .file(let file): return isBatch(file)
        case .folder(let folder):
            return batches(folder).contains { (try? folder.file($0)).map(isBatch) ?? false }
        }
    }

    private static func isBatch(_ file: DataFile) -> Bool {
        guard file.bytes.count > 4, file.bytes[0] == 0x80, PickledData.accepts(file.bytes),
            let root = try? PickledData.open(file.bytes, name: ""), let data = root["data"]
        else { return false }
        return data.isArray && (root["labels"] ?? root["fine_labels"]) != nil
    }

    private static func batches(_ folder: DataFolder) -> [String] {
        folder.paths { split($0) != nil && !$0.contains(".") }
    }

    private static func split(_ name: String) -> String? {
        switch name {
        case "test_batch", "test": "test"
        case "train": "train"
        default: name.hasPrefix("data_batch_") ? "train" : nil
        }
    }

    /// Training batches joined in the order of their names, and the test batch.
    public static func splits(_ place: DataPlace, _ options: DataOptions) throws -> [StoredSplit] {
        switch place {
        case .file(let file): return [try stored([file], name: split(DataFolder.last(file.name)) ?? "all", names: [])]
        case .folder(let folder):
            let paths = batches(folder)
            let metadata = folder.paths { $0 == "batches.meta" || $0 == "meta" }.first
            let names = try metadata.flatMap { path -> [String]? in
                let root = try PickledData.open(folder.file(path).bytes, name: path)
                return (root["fine_label_names"] ?? root["label_names"])?.elements?.prefix(1 << 16).compactMap(\.text)
            }
            return try ["train", "test"].compactMap { name in
                let files = try paths.filter { split(DataFolder.last($0)) == name }.map { try folder.file($0) }
                return files.isEmpty ? nil : try stored(files, name: name, names: names ?? [])
            }
        }
    }

    private struct Batch {
        var data: PickledData
        var labels: [Int]
        var info: TensorInfo
    }

    private static func batch(_ file: DataFile) throws -> Batch {
        let root = try PickledData.open(file.bytes, name: file.name)
        return try ZooError.locate(file.name) {
            guard let data = root["data"], let info = try data.arrayInfo() else {
                throw ZooError(.corrupt, "no array 'data'")
            }
            guard let labels = (root["fine_labels"] ?? root["labels"])?.integers else {
                throw ZooError(.corrupt, "no list 'labels' or 'fine_labels' of whole numbers")
            }
            guard info.dtype == .uint8, info.shape.rank == 2, info.shape[1] == 3072 else {
                throw ZooError(
                    .corrupt, "expected data of shape [N, 3072] of uint8, found \(info.shape) of \(info.dtype.rawValue)"
                )
            }
            guard labels.count == info.shape[0] else {
                throw ZooError(.mismatch, "\(labels.count) labels for \(info.shape[0]) pictures")
            }
            return Batch(data: data, labels: labels, info: info)
        }
    }

    private static func stored(_ files: [DataFile], name: String, names: [String]) throws -> StoredSplit {
        let batches = try files.map(batch)
        let count = batches.reduce(0) { $0 + $1.labels.count }
        let split = DatasetSplit(name: name, count: count, inputShape: [3, 32, 32], classNames: names)
        return StoredSplit(split, dtype: .uint8) {
            let parts = try zip(files, batches).map { file, batch -> Tensor in
                guard let tensor = try ZooError.locate(file.name, { try batch.data.tensor() }) else {
                    throw ZooError(.corrupt, "\(file.name): no array 'data'")
                }
                return tensor
            }
            return StoredSamples(
                inputs: try Tensor.joined(parts).reshaped([count, 3, 32, 32]),
                labels: .labels(batches.flatMap(\.labels)))
        }
    }
}
