import ZooAutodiff
import ZooBase
import ZooNN
import ZooTensor

/// Gram matrices of the inputs of linear and convolution layers, XᵀX / rows, by the name of the layer's weight: all that
/// RegMean needs of a model's data (arXiv 2212.09849, section 4).
///
/// Rows are samples (and tokens) of a linear layer, unfolded patches of a convolution `[in · kh · kw]`. Grouped
/// convolutions have none.
public struct GramMatrices: Sendable {
    /// One layer's.
    public struct Gram: Sendable {
        /// XᵀX / rows, `size` × `size`, row-major.
        public var values: [Double]
        /// Features of one row.
        public var size: Int
        /// Rows it is the mean over.
        public var rows: Int

        /// Wraps values.
        public init(values: [Double], size: Int, rows: Int) {
            self.values = values
            self.size = size
            self.rows = rows
        }
    }

    /// By the name of the layer's weight.
    public private(set) var grams: [String: Gram]
    /// Weights that are stored `[in, out]`.
    public private(set) var transposedNames: Set<String> = []

    /// Wraps matrices that were made elsewhere.
    public init(grams: [String: Gram], transposedNames: Set<String> = []) {
        self.grams = grams
        self.transposedNames = transposedNames
    }

    /// Gathers them over samples.
    ///
    /// - Throws: `mismatch` when graph, weights and samples do not fit together; `interrupted`.
    public init(_ graph: ArchitectureGraph, _ source: any TensorSource, samples: Samples, batch: Int = 64) throws {
        try BLASLibrary.load()
        guard let input = graph.inputs.first, graph.inputs.count == 1, input.shape == samples.inputShape else {
            throw ZooError(
                .mismatch,
                "architecture '\(graph.name)' reads inputs of shape \(graph.inputs.first?.shape ?? []), the data set has "
                    + "\(samples.inputShape)")
        }
        let size = min((batch + 15) / 16 * 16, (samples.count + 15) / 16 * 16)
        let lowered = try LoweredGraph(graph, tensors: source.tensorInfos, batch: size)
        let shapes = Dictionary(
            source.tensorInfos.map { ($0.name, $0.shape) }, uniquingKeysWith: { first, _ in first })
        let layers = graph.nodes.filter {
            $0.op == .linear || ($0.op == .conv2d && $0.integer("groups", default: 1) == 1)
        }
        var outputs: [(name: String, value: Value)] = []
        var readers: [(layer: GraphNode, weight: String, patch: Unfolding)] = []
        for layer in layers {
            guard let name = layer.parameter("weight"), let shape = shapes[name], let from = layer.inputs.first,
                let value = lowered.values[from]
            else { continue }
            outputs.append((name, value))
            readers.append((layer, name, Unfolding(layer, value.shape, shape)))
            if layer.flag("transposed") { transposedNames.insert(name) }
        }
        let compiled = lowered.builder.build(outputs).compiled()
        let executor = compiled.makeExecutor()
        let weights = AlignedFloats(
            try compiled.program.inputs(.parameter).map { try source.tensor(named: $0.name).floats() })
        try executor.bind(parameters: weights.pointers)
        var sums = readers.map { [Double](repeating: 0, count: $0.patch.features * $0.patch.features) }
        var inputs = [Float](repeating: 0, count: size * samples.sampleSize)
        for start in stride(from: 0, to: samples.count, by: size) {
            try Cancellation.check()
            let used = min(size, samples.count - start)
            let from = start * samples.sampleSize
            inputs.replaceSubrange(
                0..<used * samples.sampleSize, with: samples.inputs[from..<from + used * samples.sampleSize])
            try inputs.withUnsafeBufferPointer { x in
                guard let x = x.baseAddress else { return }
                try executor.run(reals: [x])
            }
            for (place, reader) in readers.enumerated() {
                reader.patch.accumulate(executor.output(place), samples: used, into: &sums[place])
            }
        }
        grams = [:]
        for (place, reader) in readers.enumerated() {
            let rows = samples.count * reader.patch.rowsPerSample
            grams[reader.weight] = Gram(
                values: sums[place].map { $0 / Double(max(1, rows)) }, size: reader.patch.features, rows: rows)
        }
        withExtendedLifetime(weights) {}
    }
}

/// How the input of a layer becomes rows.
private struct Unfolding {
    let features: Int
    let rowsPerSample: Int
    private let channels: Int, height: Int, width: Int
    private let kernel: (Int, Int)
    private let output: (Int, Int)
    private let stride: Int, padding: Int, dilation: Int
    private let isConvolution: Bool

    init(_ layer: GraphNode, _ input: Shape, _ weight: Shape) {
        isConvolution = layer.op == .conv2d
        stride = layer.integer("stride", default: 1)
        padding = layer.integer("padding", default: 0)
        dilation = layer.integer("dilation", default: 1)
        guard isConvolution else {
            features = input.dimensions.last ?? 1
            rowsPerSample = input.elementCount / max(1, input[0] * features)
            (channels, height, width, kernel, output) = (features, 1, 1, (1, 1), (1, 1))
            return
        }
        (channels, height, width) = (input[1], input[2], input[3])
        kernel = (weight[2], weight[3])
        let (s, p, d) = (stride, padding, dilation)
        func extent(_ size: Int, _ taps: Int) -> Int { (size + 2 * p - d * (taps - 1) - 1) / s + 1 }
        output = (extent(input[2], weight[2]), extent(input[3], weight[3]))
        features = channels * kernel.0 * kernel.1
        rowsPerSample = output.0 * output.1
    }

    /// sum += XᵀX over the rows of the first samples.
    func accumulate(_ values: UnsafeBufferPointer<Float>, samples: Int, into sum: inout [Double]) {
        let perSample = channels * height * width * (isConvolution ? 1 : rowsPerSample)
        // Samples at a time, so that the table of rows stays small.
        let step = max(1, (1 << 20) / max(1, rowsPerSample * features))
        for start in Swift.stride(from: 0, to: samples, by: step) {
            let count = min(step, samples - start)
            var table = [Double](repeating: 0, count: count * rowsPerSample * features)
            for sample in 0..<count {
                let from = UnsafeBufferPointer(
                    rebasing: values[(start + sample) * perSample..<(start + sample + 1) * perSample])
                let place = sample * rowsPerSample * features
                if isConvolution {
                    unfold(from, &table, place)
                } else {
                    for index in 0..<rowsPerSample * features { table[place + index] = Double(from[index]) }
                }
            }
            sum.withUnsafeMutableBufferPointer { sum in
                table.withUnsafeBufferPointer { table in
                    guard let x = table.baseAddress, let target = sum.baseAddress else { return }
                    DenseAlgebra.multiply(
                        x, x, transposeA: true, rows: features, columns: features, depth: count * rowsPerSample,
                        adding: 1, into: target)
                }
            }
        }
    }

    private func unfold(_ image: UnsafeBufferPointer<Float>, _ table: inout [Double], _ start: Int) {
        for row in 0..<output.0 {
            for column in 0..<output.1 {
                let place = start + (row * output.1 + column) * features
                for channel in 0..<channels {
                    for i in 0..<kernel.0 {
                        let y = row * stride - padding + i * dilation
                        guard y >= 0, y < height else { continue }
                        for j in 0..<kernel.1 {
                            let x = column * stride - padding + j * dilation
                            guard x >= 0, x < width else { continue }
                            table[place + (channel * kernel.0 + i) * kernel.1 + j] =
                                Double(image[(channel * height + y) * width + x])
                        }
                    }
                }
            }
        }
    }
}
