import ZooAutodiff
import ZooBase
import ZooNN
import ZooTensor

/// Cross-entropy of a classifier over batches of labelled samples, in evaluation mode.
public final class SampleObjective: CalibrationObjective {
    /// The samples.
    public let samples: Samples
    private let batches: [[Int]]
    private let inputName: String
    /// Samples that a run reads: whole groups of lanes.
    private let padded: Int
    private let compiled: CompiledProgram<Float>
    /// By node: the rows of its input that a sample has.
    private let rowsPerSample: [String: Int]

    private static let labels = "labels", weights = "sample weights"

    /// Prepares the batches.
    ///
    /// - Parameter batch: samples of a micro-batch; one with the per-sample estimate.
    /// - Throws: `mismatch` when network and samples do not fit together, or labels are missing or have no logit.
    public init(
        _ graph: ArchitectureGraph, tensors: [TensorInfo], layout: StatisticsLayout, samples: Samples,
        estimator: FisherEstimator, batch: Int, seed: UInt64, sumsInputs: Bool = true
    ) throws {
        guard samples.count > 0 else { throw ZooError(.mismatch, "there are no samples to calibrate with") }
        guard let input = graph.inputs.first, graph.inputs.count == 1, input.kind != .tokens else {
            throw ZooError(
                .unsupported, "architecture '\(graph.name)' reads tokens; it is calibrated with texts (.jsonl)")
        }
        guard input.shape == samples.inputShape else {
            throw ZooError(
                .mismatch,
                "architecture '\(graph.name)' reads inputs of shape \(input.shape), the data set has \(samples.inputShape)"
            )
        }
        guard !samples.labels.isEmpty else { throw ZooError(.mismatch, "the data set has no labels") }
        self.samples = samples
        inputName = input.name
        var generator = SeededGenerator(seed: seed)
        let order = generator.permutation(samples.count)
        let width = estimator == .perSample ? 1 : max(1, batch)
        batches = stride(from: 0, to: order.count, by: width).map { Array(order[$0..<min($0 + width, order.count)]) }
        padded = (width + 15) / 16 * 16
        let lowered = try LoweredGraph(graph, tensors: tensors, batch: padded)
        let b = lowered.builder
        let logits = try lowered.output("logits", of: graph)
        rowsPerSample = Dictionary(
            graph.nodes.compactMap { node in
                node.inputs.first.flatMap { lowered.values[$0] }.map { value in
                    (node.name, value.shape.dimensions.dropFirst().dropLast().reduce(1, *))
                }
            }, uniquingKeysWith: { first, _ in first })
        if let label = samples.labels.max(), label >= logits.shape.dimensions.last ?? 0 {
            throw ZooError(.mismatch, "label \(label) in the data set; the network's logits are \(logits.shape)")
        }
        let weights = b.data(Self.weights, [padded])
        let loss = try b.average(
            b.crossEntropy(logits, labels: b.indices(Self.labels, [padded])), weights: weights)
        compiled = b.build(
            try layout.outputs(of: loss, through: [(lowered, weights)], of: graph, sumsInputs: sumsInputs)
        ).compiled()
    }

    /// Batches.
    public var batchCount: Int { batches.count }

    /// Samples of a batch.
    public func sampleCount(of batch: Int) -> Int { batches[batch].count }

    /// A row per sample behind pooling or flattening, one per token in transformers.
    public func inputRows(of batch: Int, _ matrix: CandidateMatrix) -> Int {
        batches[batch].count * rowsPerSample[matrix.node, default: 1]
    }

    /// One program serves all.
    public func program(of batch: Int) throws -> CompiledProgram<Float> { compiled }

    /// A number that changes with samples, labels and order.
    public var digest: UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        func add(_ number: UInt32) { hash = (hash ^ UInt64(number)) &* 0x100_0000_01B3 }
        let size = samples.sampleSize
        for batch in batches {
            for member in batch {
                add(UInt32(bitPattern: samples.labels[member]))
                for number in samples.inputs[member * size..<(member + 1) * size] { add(number.bitPattern) }
            }
        }
        return hash
    }

    /// Lends samples, labels and weights; what fills up the lanes is the batch's first sample with weight zero.
    public func withInputs(
        of batch: Int, _ program: Program,
        _ body: ([UnsafePointer<Float>], [UnsafePointer<Int32>]) throws -> Void
    ) throws {
        let members = batches[batch], size = samples.sampleSize
        let places = members + [Int](repeating: members[0], count: padded - members.count)
        let inputs = places.flatMap { samples.inputs[$0 * size..<($0 + 1) * size] }
        let weights = places.indices.map { $0 < members.count ? Float(1) : 0 }
        let reals = program.inputs(.data).map { $0.name == Self.weights ? weights : inputs }
        try withPointers(reals) { reals in
            try withPointers([places.map { samples.labels[$0] }]) { try body(reals, $0) }
        }
    }
}
