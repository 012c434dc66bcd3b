import ZooBase
import ZooTensor

/// The weights of many checkpoints of one architecture as one matrix: a row per checkpoint, the floating-point tensors
/// of the layout one after the other, each flattened row-major.
///
/// The matrix is built in a nameless temporary file and mapped, so memory does not grow with it.
public struct WeightMatrix: Sendable {
    /// Where a tensor lies in a row.
    public struct Segment: Sendable, Hashable {
        /// The tensor.
        public var name: String
        /// Its shape.
        public var shape: Shape
        /// The first of its elements in a row.
        public var offset: Int
    }

    /// `[checkpoints, parameters]`, float32.
    public let weights: Tensor
    /// What the columns are.
    public let segments: [Segment]
    /// The checkpoints of the rows.
    public let rows: [CheckpointRow]

    /// The most bytes a matrix may take.
    public static let maximumByteCount = 1 << 40
    /// Rows read before they are written.
    private static let blockRows = 256

    /// Reads the weights.
    ///
    /// - Parameter progress: told how many rows were read.
    /// - Throws: `notFound` without rows; `mismatch` when two checkpoints differ in the names or shapes of their
    ///   tensors; what reading throws.
    public init(
        _ rows: [CheckpointRow], in catalog: Catalog, store: WeightStore, jobs: Int,
        progress: (@Sendable (Int) -> Void)? = nil
    ) throws {
        guard let first = rows.first else { throw ZooError(.notFound, "no checkpoint to export") }
        segments = try Self.segments(rows, catalog)
        let width = segments.reduce(0) { $0 + $1.shape.elementCount }
        guard width > 0 else { throw ZooError(.mismatch, "\(first.label) has no floating-point tensors") }
        let spool = try SpoolFile(limit: Self.maximumByteCount, label: "weight matrix")
        let segments = self.segments
        for start in stride(from: 0, to: rows.count, by: Self.blockRows) {
            let block = rows[start..<min(start + Self.blockRows, rows.count)]
            let vectors = try Parallel.map(count: block.count, jobs: jobs) { index in
                try Self.vector(try store.source(of: block[start + index]), segments)
            }
            for vector in vectors { try vector.withUnsafeBytes { try spool.write($0) } }
            progress?(block.count)
        }
        weights = try Tensor(shape: [rows.count, width], dtype: .float32, bytes: spool.bytes())
        self.rows = rows
    }

    private static func segments(_ rows: [CheckpointRow], _ catalog: Catalog) throws -> [Segment] {
        var known: [Int64: [Segment]] = [:]
        var expected: (label: String, segments: [Segment])?
        for row in rows {
            guard let id = row.layoutID else { throw ZooError(.mismatch, "\(row.label): its tensors are not known") }
            let found = try known[id] ?? list(try catalog.layout(id))
            known[id] = found
            guard let first = expected else {
                expected = (row.label, found)
                continue
            }
            guard found == first.segments else {
                throw ZooError(
                    .mismatch, "\(row.label) and \(first.label) have different tensors",
                    hint: "export one architecture at a time: add 'layout = \(rows[0].layoutID ?? 0)' to the condition")
            }
        }
        return expected?.segments ?? []
    }

    private static func list(_ layout: Layout) -> [Segment] {
        var offset = 0
        return layout.entries.map(\.info).filter(\.dtype.isFloatingPoint).map { info in
            defer { offset += info.shape.elementCount }
            return Segment(name: info.name, shape: info.shape, offset: offset)
        }
    }

    private static func vector(_ source: any TensorSource, _ segments: [Segment]) throws -> [Float] {
        var vector: [Float] = []
        vector.reserveCapacity(segments.reduce(0) { $0 + $1.shape.elementCount })
        for segment in segments { vector += try source.tensor(named: segment.name).floats() }
        return vector
    }

    /// The matrix with a column of ids, epochs and results beside it, as named arrays.
    public var arrays: StateDict {
        var arrays = StateDict()
        arrays["weights"] = weights
        arrays["checkpoint_id"] = Tensor(rows.map(\.id), shape: [rows.count])
        arrays["epoch"] = Tensor(rows.map { Int64($0.epoch ?? -1) }, shape: [rows.count])
        let columns: [(String, KeyPath<EpochValues, Double?>)] = [
            ("train_loss", \.trainLoss), ("train_accuracy", \.trainAccuracy), ("val_loss", \.valLoss),
            ("val_accuracy", \.valAccuracy), ("test_loss", \.testLoss), ("test_accuracy", \.testAccuracy),
        ]
        for (name, path) in columns where rows.contains(where: { $0.results[keyPath: path] != nil }) {
            arrays[name] = Tensor(rows.map { $0.results[keyPath: path] ?? .nan }, shape: [rows.count])
        }
        return arrays
    }

    /// What rows and columns are, as JSON: `tensors` with name, shape, offset and length, `checkpoints` with id, label
    /// and epoch; and, where the tensors are weight–bias pairs of convolutions and linear layers, the keys of the
    /// published zoos' `index_dict.json` (`layer`, `idx_start`, `idx_length`, `kernel_no`, `kernel_size`,
    /// `channels_in`).
    public var index: JSONValue {
        var object = JSONObject([
            (
                "tensors",
                .array(
                    segments.map { segment in
                        [
                            "name": .string(segment.name),
                            "shape": .array(segment.shape.dimensions.map { .int(Int64($0)) }),
                            "offset": .int(Int64(segment.offset)), "length": .int(Int64(segment.shape.elementCount)),
                        ]
                    })
            ),
            (
                "checkpoints",
                .array(
                    rows.map { row in
                        [
                            "id": .int(row.id), "label": .string(row.label),
                            "epoch": row.epoch.map { .int(Int64($0)) } ?? .null,
                        ]
                    })
            ),
        ])
        for (key, value) in LayerIndex(segments).members { object[key] = value }
        return .object(object)
    }
}

/// The keys by which the published zoos' own loaders find layers in a weight vector.
private struct LayerIndex {
    let members: [(String, JSONValue)]

    init(_ segments: [WeightMatrix.Segment]) {
        var layers: [JSONValue] = []
        var numbers: [String: [Int]] = [:]
        var position = 0
        while position < segments.count {
            let weight = segments[position]
            guard weight.name.hasSuffix(".weight"), weight.shape.rank == 2 || weight.shape.rank == 4 else {
                members = []
                return
            }
            let prefix = weight.name.dropLast(".weight".count)
            let hasBias = position + 1 < segments.count && segments[position + 1].name == "\(prefix).bias"
            let isConvolution = weight.shape.rank == 4
            let module = prefix.split(separator: ".").compactMap { Int($0) }.last ?? layers.count
            layers.append([.int(Int64(module)), .string(isConvolution ? "conv2d" : "fc")])
            numbers["idx_start", default: []].append(weight.offset)
            numbers["idx_length", default: []].append(
                weight.shape.elementCount + (hasBias ? segments[position + 1].shape.elementCount : 0))
            numbers["kernel_no", default: []].append(weight.shape[0])
            numbers["kernel_size", default: []].append(isConvolution ? weight.shape[2] * weight.shape[3] : 1)
            numbers["channels_in", default: []].append(weight.shape[1])
            position += hasBias ? 2 : 1
        }
        members =
            [("layer", JSONValue.array(layers))]
            + ["idx_start", "idx_length", "kernel_no", "kernel_size", "channels_in"].map { key in
                (key, .array((numbers[key] ?? []).map { .int(Int64($0)) }))
            }
    }
}
