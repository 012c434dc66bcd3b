import ZooBase
import ZooNN
import ZooTensor

/// An array of a file by its name, read when asked for.
struct NamedArray: Sendable {
    var info: TensorInfo
    var read: @Sendable () throws -> Tensor
}

/// Finds the splits among named arrays, in all formats that have names alike.
///
/// Inputs and labels belong together as `x_SPLIT` and `y_SPLIT`; `TASK.x_SPLIT` and `TASK.y_SPLIT` (the split is
/// `TASK.SPLIT`); `SPLIT_images` and `SPLIT_labels`; `SPLIT.x` and `SPLIT.y` (in HDF5 `/SPLIT/x`); `x` and `y` alone.
/// For `x` also `X`, `images`, `data`, `inputs`, `features`; for `y` also `labels`, `label`, `targets`, `target`.
enum SplitPairing {
    private static let inputNames = ["x", "X", "images", "data", "inputs", "features"]
    private static let labelNames = ["y", "Y", "labels", "label", "targets", "target", "fine_labels"]

    /// The splits of arrays, in their order.
    ///
    /// - Parameters:
    ///   - labels: the array of the labels, when it is not the usual one.
    ///   - onlySplit: the name of the split when there is but one without a name.
    /// - Throws: `notFound` when no array is an input, or the labels named are not there; `mismatch` for counts.
    static func splits(_ arrays: [NamedArray], labels: String?, onlySplit: String) throws -> [StoredSplit] {
        let byName = Dictionary(arrays.map { ($0.info.name, $0) }) { _, last in last }
        var misfits: [ZooError] = []
        let splits = try arrays.compactMap { array -> StoredSplit? in
            guard let (split, candidates) = pairing(array.info.name, onlySplit) else { return nil }
            let found = try labels.map { name -> NamedArray in
                if let named = byName[name] { return named }
                throw ZooError(
                    .notFound, "there are no labels '\(name)'",
                    hint: NearestName.hint(name, in: byName.keys.sorted(), kind: "tensors"))
            }
            // Labels asked for by name belong to one split; the others must not be in the way.
            if let found, let misfit = misfit(found, array) {
                misfits.append(misfit)
                return try stored(split, array, nil, failure: misfit)
            }
            return try stored(split, array, found ?? candidates.lazy.compactMap { byName[$0] }.first)
        }
        if let misfit = misfits.first, misfits.count == splits.count { throw misfit }
        guard !splits.isEmpty else {
            let names = arrays.prefix(8).map { "'\($0.info.name)'" }.joined(separator: ", ")
            throw ZooError(
                .notFound, "no array is called x_SPLIT, SPLIT_images, x, images or data; there is \(names)",
                hint: "docs/data.md lists the names that are understood")
        }
        return splits
    }

    /// The split that an array's name makes it the input of, and the names its labels may have.
    private static func pairing(_ name: String, _ onlySplit: String) -> (split: String, labels: [String])? {
        let dot = name.lastIndex(of: ".")
        let prefix = dot.map { String(name[...$0]) } ?? ""
        let last = dot.map { String(name[name.index(after: $0)...]) } ?? name
        if last.hasPrefix("x_") { return (prefix + last.dropFirst(2), ["\(prefix)y_\(last.dropFirst(2))"]) }
        for input in inputNames {
            if last == input {
                let split = prefix.isEmpty ? onlySplit : String(prefix.dropLast())
                return (split, labelNames.map { prefix + $0 })
            }
            if last.hasSuffix("_" + input), let split = SplitName.of(String(last.dropLast(input.count + 1))) {
                let stem = prefix + last.dropLast(input.count)
                return (prefix + split, labelNames.map { stem + $0 })
            }
        }
        return nil
    }

    private static func misfit(_ labels: NamedArray, _ inputs: NamedArray) -> ZooError? {
        guard let count = inputs.info.shape.dimensions.first, labels.info.shape.elementCount != count else {
            return nil
        }
        return ZooError(
            .mismatch,
            "\(labels.info.shape.elementCount) labels '\(labels.info.name)' for \(count) samples '\(inputs.info.name)'")
    }

    private static func stored(
        _ name: String, _ inputs: NamedArray, _ labels: NamedArray?, failure: ZooError? = nil
    ) throws -> StoredSplit {
        guard let count = inputs.info.shape.dimensions.first else {
            throw ZooError(.mismatch, "'\(inputs.info.name)' is a single number")
        }
        if let labels, let misfit = misfit(labels, inputs) { throw misfit }
        let shape = PictureAxes.shape(inputs.info)
        let split = DatasetSplit(name: name, count: count, inputShape: Array(shape.dimensions.dropFirst()))
        return StoredSplit(split, dtype: inputs.info.dtype, isLabelled: labels != nil) {
            if let failure { throw failure }
            return StoredSamples(
                inputs: try PictureAxes.arranged(inputs.read()), labels: try labels.map { try whole($0.read()) })
        }
    }

    /// Labels stored as floating-point numbers, when all are whole.
    private static func whole(_ labels: Tensor) throws -> Tensor {
        guard labels.dtype.isFloatingPoint else { return labels }
        let values = labels.doubles()
        if let position = values.firstIndex(where: { Int64(exactly: $0) == nil }) {
            throw ZooError(.mismatch, "label \(position) is \(values[position]), not a whole number")
        }
        return Tensor(values.map { Int64($0) }, shape: labels.shape)
    }
}

/// The axes of pictures kept as bytes: `[N, H, W]` gains one channel, and `[N, H, W, C]` with 1, 3 or 4 colours in the
/// last place (and no such number in the second) becomes `[N, C, H, W]`. Numbers of other types are taken as they are.
enum PictureAxes {
    static func shape(_ info: TensorInfo) -> Shape {
        let extents = info.shape.dimensions
        if isGrey(info) { return Shape([extents[0], 1, extents[1], extents[2]]) }
        if isChannelsLast(info) { return Shape([extents[0], extents[3], extents[1], extents[2]]) }
        return info.shape
    }

    private static func isGrey(_ info: TensorInfo) -> Bool { info.dtype == .uint8 && info.shape.rank == 3 }

    private static func isChannelsLast(_ info: TensorInfo) -> Bool {
        guard info.dtype == .uint8, info.shape.rank == 4 else { return false }
        let colors: Set<Int> = [1, 3, 4]
        return colors.contains(info.shape[3]) && !colors.contains(info.shape[1])
    }

    static func arranged(_ tensor: Tensor) throws -> Tensor {
        let info = TensorInfo(name: "", dtype: tensor.dtype, shape: tensor.shape)
        if isGrey(info) { return tensor.reshaped(shape(info)) }
        return isChannelsLast(info) ? try tensor.permuted([0, 3, 1, 2]) : tensor
    }
}
