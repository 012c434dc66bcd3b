import ZooBase
import ZooFormats
import ZooNN
import ZooTensor

/// Reads data sets in PyTorch files and pickles without running them: dictionaries of tensors (`x_train`, `data` and
/// `targets`), and dictionaries of pickled data sets (`{"trainset": TensorDataset(…), "testset": …}`, as Ray Tune zoos
/// keep them in `dataset.pt`).
///
/// Of an object only its state is read: `tensors` of a `TensorDataset`; `data` and `targets` or `labels` of a data set
/// of torchvision; `dataset` and `indices` of a `Subset`.
public enum PickledDatasetReader: DatasetReader {
    /// `torch`.
    public static let format = "torch"
    /// Data sets inside data sets (`Subset(Subset(…))`).
    private static let depthLimit = 8

    /// Whether the bytes are a file of `torch.save` or a pickle.
    public static func accepts(_ place: DataPlace) -> Bool {
        guard case .file(let file) = place else { return false }
        return PickledData.accepts(file.bytes)
    }

    /// The splits by keys.
    public static func splits(_ place: DataPlace, _ options: DataOptions) throws -> [StoredSplit] {
        guard case .file(let file) = place else {
            throw ZooError(.unsupported, "\(place.name): a folder is no PyTorch file")
        }
        let root = try PickledData.open(file.bytes, name: file.name)
        return try ZooError.locate(file.name) {
            var arrays: [NamedArray] = []
            try collect(root, path: "", depth: 0, into: &arrays)
            return try SplitPairing.splits(arrays, labels: options.labels, onlySplit: file.splitName ?? "all")
        }
    }

    private static func collect(
        _ value: PickledData, path: String, depth: Int, into arrays: inout [NamedArray]
    ) throws {
        guard depth < depthLimit else { throw ZooError(.limit, "nested more than \(depthLimit) deep") }
        if let array = try array(value, path) { return arrays.append(array) }
        if let members = value.members, value.className == nil || value.state == nil {
            for (key, inner) in members.prefix(1000) {
                let name = path.isEmpty ? key : "\(path).\(key)"
                if let array = try array(inner, name) {
                    arrays.append(array)
                } else if inner.members != nil || inner.state != nil {
                    try collect(
                        inner, path: path.isEmpty ? SplitName.of(key) ?? key : name, depth: depth + 1, into: &arrays)
                } else if let pair = inner.elements, pair.count == 2, pair.allSatisfy(\.isArray) {
                    // `{"train": (x, y)}`.
                    try collect(pair, path: path.isEmpty ? SplitName.of(key) ?? key : name, into: &arrays)
                }
            }
        } else if value.state != nil {
            arrays += try dataset(value, depth: depth).map { named($0, path) }
        } else if let pair = value.elements, pair.count == 2, pair.allSatisfy(\.isArray) {
            try collect(pair, path: path, into: &arrays)
        }
    }

    private static func collect(_ pair: [PickledData], path: String, into arrays: inout [NamedArray]) throws {
        for (name, value) in zip(["x", "y"], pair) {
            if let array = try array(value, path.isEmpty ? name : "\(path).\(name)") { arrays.append(array) }
        }
    }

    private static func named(_ array: NamedArray, _ path: String) -> NamedArray {
        var copy = array
        if !path.isEmpty { copy.info.name = "\(path).\(array.info.name)" }
        return copy
    }

    /// An array, or a list of whole numbers (labels), under a name.
    private static func array(_ value: PickledData, _ name: String) throws -> NamedArray? {
        try ZooError.locate("'\(name)'") {
            if value.isArray {
                guard var info = try value.arrayInfo() else { return nil }
                info.name = name
                return NamedArray(info: info) {
                    guard let tensor = try value.tensor() else { throw ZooError(.corrupt, "'\(name)' is no array") }
                    return tensor
                }
            }
            guard let numbers = value.integers, !numbers.isEmpty else { return nil }
            return NamedArray(info: TensorInfo(name: name, dtype: .int64, shape: [numbers.count])) { .labels(numbers) }
        }
    }

    /// The arrays `x` and `y` of a pickled data set.
    private static func dataset(_ value: PickledData, depth: Int) throws -> [NamedArray] {
        let name = value.className ?? "an object"
        guard depth < depthLimit, let state = value.state else {
            throw ZooError(.limit, "\(name): nested more than \(depthLimit) deep")
        }
        if let tensors = state["tensors"]?.elements {
            return try zip(["x", "y"], tensors).compactMap { try array($1, $0) }
        }
        if let inner = state["dataset"], let chosen = state["indices"] {
            let indices = try self.indices(chosen, name)
            return try dataset(inner, depth: depth + 1).map { try selecting($0, indices, name) }
        }
        if let data = state["data"], data.isArray {
            let labels = ["targets", "labels"].lazy.compactMap { state[$0] }.first
            return try [array(data, "x"), labels.flatMap { try array($0, "y") }].compactMap { $0 }
        }
        throw ZooError(
            .unsupported, "\(name) holds neither tensors, nor data and targets, nor a data set and indices",
            hint: "save its inputs and labels as tensors x_SPLIT and y_SPLIT")
    }

    private static func indices(_ value: PickledData, _ name: String) throws -> [Int] {
        if let numbers = value.integers { return numbers }
        guard let tensor = try value.tensor(), tensor.dtype.isInteger else {
            throw ZooError(.unsupported, "\(name): its indices are no whole numbers")
        }
        return tensor.doubles().map { Int($0) }
    }

    private static func selecting(_ array: NamedArray, _ indices: [Int], _ name: String) throws -> NamedArray {
        guard let count = array.info.shape.dimensions.first else { throw ZooError(.corrupt, "\(name): no samples") }
        guard indices.allSatisfy({ $0 >= 0 && $0 < count }) else {
            throw ZooError(.corrupt, "\(name): an index lies outside of its \(count) samples")
        }
        var info = array.info
        info.shape = Shape([indices.count] + info.shape.dimensions.dropFirst())
        let shape = info.shape
        return NamedArray(info: info) {
            let whole = try array.read()
            let width = whole.bytes.count / max(1, count)
            let bytes = Bytes(byteCount: width * indices.count) { output in
                whole.bytes.withUnsafeBytes { source in
                    for (place, index) in indices.enumerated() where width > 0 {
                        UnsafeMutableRawBufferPointer(rebasing: output[place * width..<(place + 1) * width])
                            .copyMemory(
                                from: UnsafeRawBufferPointer(rebasing: source[index * width..<(index + 1) * width]))
                    }
                }
                return width * indices.count
            }
            return try Tensor(shape: shape, dtype: whole.dtype, bytes: bytes)
        }
    }
}
