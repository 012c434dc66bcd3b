import ZooAutodiff
import ZooBase
import ZooNN
import ZooTensor

/// The two sides of calibration.
public enum CalibrationSide: String, Sendable, Hashable, CaseIterable {
    /// What the network is kept for.
    case domain
    /// What else it should still do.
    case general
}

/// How the diagonal of the Fisher information is estimated.
public enum FisherEstimator: String, Sendable, Hashable, CaseIterable {
    /// Squares of gradients of single samples, averaged over samples: GAPrune's formula.
    case perSample = "per-sample"
    /// Squares of gradients of small batches' mean loss, averaged over batches. Of independent samples with zero mean
    /// it is the other divided by the batch.
    case microBatch = "micro-batch"
}

/// Calibration data as losses of a network: batches, each with a program of its shape.
///
/// A program's outputs are the mean loss of the batch, its gradient in every tensor of `StatisticsLayout`, and for
/// every candidate matrix the sums of its inputs and of their squares over real tokens or samples.
public protocol CalibrationObjective: Sendable {
    /// Batches in the order in which they are worked on.
    var batchCount: Int { get }
    /// Samples of a batch.
    func sampleCount(of batch: Int) -> Int
    /// The program that a batch runs; equal shapes share one.
    ///
    /// - Throws: `mismatch` or `unsupported` when the network has no such loss.
    func program(of batch: Int) throws -> CompiledProgram<Float>
    /// Lends the inputs of a batch in the order of the program.
    func withInputs(
        of batch: Int, _ program: Program,
        _ body: (_ reals: [UnsafePointer<Float>], _ indices: [UnsafePointer<Int32>]) throws -> Void) throws
    /// Rows that the sums over a matrix's inputs are of, by the matrix.
    func inputRows(of batch: Int, _ matrix: CandidateMatrix) -> Int
    /// A number that changes with the data and the way they are cut into batches.
    var digest: UInt64 { get }
}

/// The tensors that statistics are kept of, one after the other.
public struct StatisticsLayout: Sendable, Hashable {
    /// One tensor.
    public struct Entry: Sendable, Hashable {
        /// Its name.
        public let name: String
        /// Its extents.
        public let shape: Shape
        /// Its place in the flat vector.
        public let range: Range<Int>
    }

    /// The tensors: matrices and their biases.
    public let entries: [Entry]
    /// Numbers in all.
    public let count: Int
    /// The candidate matrices.
    public let matrices: [CandidateMatrix]
    /// The matrices whose inputs are summed: those of linear layers.
    public var summed: [CandidateMatrix] { matrices.filter { $0.shape.rank == 2 } }

    /// The candidate matrices of a network and their biases, or every trained tensor.
    public init(_ graph: ArchitectureGraph, tensors: [TensorInfo], matrices: [CandidateMatrix], all: Bool = false) {
        let shapes = Dictionary(tensors.map { ($0.name, $0.shape) }, uniquingKeysWith: { first, _ in first })
        let names =
            all
            ? graph.trainableNames.filter { shapes[$0] != nil }
            : matrices.flatMap { [$0.name] + ($0.bias.map { [$0] } ?? []) }
        var start = 0
        var entries: [Entry] = []
        for name in names {
            let shape = shapes[name] ?? []
            entries.append(Entry(name: name, shape: shape, range: start..<start + shape.elementCount))
            start += shape.elementCount
        }
        self.entries = entries
        self.matrices = matrices
        count = start
    }

    /// Tensors by name: those that training changes.
    ///
    /// - Throws: `notFound` for a tensor that is not there.
    public init(names: [String], tensors: [TensorInfo]) throws {
        let shapes = Dictionary(tensors.map { ($0.name, $0.shape) }, uniquingKeysWith: { first, _ in first })
        var start = 0
        entries = try names.map { name in
            guard let shape = shapes[name] else { throw ZooError(.notFound, "there is no tensor '\(name)'") }
            defer { start += shape.elementCount }
            return Entry(name: name, shape: shape, range: start..<start + shape.elementCount)
        }
        matrices = []
        count = start
    }

    /// The outputs that a program of calibration has: loss, gradients, sums over inputs.
    ///
    /// - Parameters:
    ///   - loss: the mean loss, a scalar.
    ///   - graphs: the parts of the program that run the network, each with the mask `[rows, tokens]` of its real
    ///     tokens; nil where there are none.
    ///   - sumsInputs: whether sums over inputs are wanted.
    func outputs(
        of loss: Value, through graphs: [(lowered: LoweredGraph, mask: Value?)], of graph: ArchitectureGraph,
        sumsInputs: Bool
    ) throws -> [(name: String, value: Value)] {
        guard let builder = graphs.first?.lowered.builder, let parameters = graphs.last?.lowered.parameters else {
            throw ZooError(.internal, "a program of no network")
        }
        let values = Dictionary(parameters.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first })
        let trained = try entries.map { entry -> Value in
            guard let value = values[entry.name] else {
                throw ZooError(.internal, "tensor '\(entry.name)' is not read by the loss")
            }
            return value
        }
        var outputs: [(name: String, value: Value)] = [("loss", loss)]
        outputs += try builder.gradient(of: loss, withRespectTo: trained).map { ("gradient", $0) }
        guard sumsInputs else { return outputs }
        let nodes = Dictionary(graph.nodes.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        for matrix in summed {
            let input = nodes[matrix.node]?.inputs.first ?? ""
            for power in 1...2 {
                var total: Value?
                for (lowered, mask) in graphs {
                    guard let x = lowered.values[input] else { continue }
                    let part = try Self.sum(builder, power == 1 ? x : builder.square(x), mask)
                    total = try total.map { try builder.add($0, part) } ?? part
                }
                if let total { outputs.append((power == 1 ? "inputs" : "squares", total)) }
            }
        }
        return outputs
    }

    /// Σ of the last axis over all others, with a weight per sample or per token.
    private static func sum(_ builder: ProgramBuilder, _ x: Value, _ mask: Value?) throws -> Value {
        let axes = Array(0..<x.shape.rank - 1)
        guard let mask, mask.shape.rank < x.shape.rank else { return try builder.sum(x, axes: axes) }
        let ones = [Int](repeating: 1, count: x.shape.rank - mask.shape.rank)
        let weights = try builder.reshape(mask, mask.shape.dimensions + ones)
        return try builder.sum(builder.multiply(x, weights), axes: axes)
    }
}
