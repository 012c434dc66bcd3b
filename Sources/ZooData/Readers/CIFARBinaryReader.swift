import ZooBase
import ZooNN
import ZooTensor

/// Reads the binary versions of CIFAR-10 (`data_batch_1.bin` … `test_batch.bin`) and CIFAR-100 (`train.bin`,
/// `test.bin`), one file or a folder; names of classes from `batches.meta.txt` or `fine_label_names.txt` beside them.
///
/// Layout: records of one label byte (CIFAR-100: coarse, then fine; the fine one counts) and 3072 bytes of picture, red,
/// green and blue planes of 32×32, so 3073 or 3074 bytes.
public enum CIFARBinaryReader: DatasetReader {
    /// `cifar-binary`.
    public static let format = "cifar-binary"
    private static let pictureByteCount = 3072

    /// Whether a file's size and its label bytes fit, or a folder has such `.bin` files.
    public static func accepts(_ place: DataPlace) -> Bool {
        switch place {
        case .file(let file): return file.baseName.hasSuffix(".bin") && labelByteCount(file.bytes) != nil
        case .folder(let folder):
            return binaries(folder).contains { path in
                (try? folder.file(path)).map { labelByteCount($0.bytes) != nil } ?? false
            }
        }
    }

    private static func binaries(_ folder: DataFolder) -> [String] {
        folder.paths { $0.hasSuffix(".bin") && split($0) != nil }
    }

    private static func split(_ name: String) -> String? {
        name.hasPrefix("data_batch") ? "train" : SplitName.of(name)
    }

    /// 1 for CIFAR-10, 2 for CIFAR-100; nil when size or labels fit neither.
    private static func labelByteCount(_ bytes: Bytes) -> Int? {
        for (width, classes) in [(1, 10), (2, 100)] {
            let record = pictureByteCount + width
            guard bytes.count > 0, bytes.count % record == 0 else { continue }
            let labels = stride(from: width - 1, to: bytes.count, by: record)
            if labels.prefix(64).allSatisfy({ bytes[$0] < classes }) { return width }
        }
        return nil
    }

    /// Training batches joined in the order of their names, and the test batch.
    public static func splits(_ place: DataPlace, _ options: DataOptions) throws -> [StoredSplit] {
        switch place {
        case .file(let file): return [try stored([file], name: split(file.baseName) ?? "all", names: [])]
        case .folder(let folder):
            var groups: [String: [DataFile]] = [:]
            for path in binaries(folder) {
                groups[split(DataFolder.last(path)) ?? "all", default: []].append(try folder.file(path))
            }
            let metadata = folder.paths { $0 == "batches.meta.txt" || $0 == "fine_label_names.txt" }.first
            let names = try metadata.map { path in
                let text = try folder.file(path).bytes.prefix(1 << 16)
                return text.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
                    .split(whereSeparator: \.isNewline).map(String.init)
            }
            return try ["train", "val", "test", "extra"].compactMap { name in
                try groups[name].map { try stored($0, name: name, names: names ?? []) }
            }
        }
    }

    private static func stored(_ files: [DataFile], name: String, names: [String]) throws -> StoredSplit {
        guard let first = files.first, let width = labelByteCount(first.bytes) else {
            throw ZooError(
                .corrupt, "\(files.first?.name ?? name): not records of 3073 or 3074 bytes with labels in range")
        }
        let record = pictureByteCount + width
        for file in files where file.bytes.count % record != 0 {
            throw ZooError(.corrupt, "\(file.name): \(file.bytes.count) bytes are not records of \(record)")
        }
        let count = files.reduce(0) { $0 + $1.bytes.count / record }
        let split = DatasetSplit(
            name: name, count: count, inputShape: [3, 32, 32], classCount: width == 1 ? 10 : 100, classNames: names)
        return StoredSplit(split, dtype: .uint8) { try read(files, width, count) }
    }

    private static func read(_ files: [DataFile], _ width: Int, _ count: Int) throws -> StoredSamples {
        let record = pictureByteCount + width
        var labels: [Int] = []
        let pixels = Bytes(byteCount: count * pictureByteCount) { output in
            var position = 0
            for file in files {
                file.bytes.withUnsafeBytes { source in
                    for start in stride(from: 0, to: source.count, by: record) {
                        labels.append(Int(source[start + width - 1]))
                        let picture = source[start + width..<start + record]
                        UnsafeMutableRawBufferPointer(rebasing: output[position...])
                            .copyMemory(from: UnsafeRawBufferPointer(rebasing: picture))
                        position += pictureByteCount
                    }
                }
            }
            return position
        }
        return StoredSamples(
            inputs: try Tensor(shape: [count, 3, 32, 32], dtype: .uint8, bytes: pixels), labels: .labels(labels))
    }
}
