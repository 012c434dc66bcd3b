import ZooAutodiff
import ZooBase
import ZooNN
import ZooTensor

/// The forward pass of one architecture, compiled once for all its models.
public final class NetworkForward: Sendable {
    /// The extents of one input.
    public let inputShape: [Int]
    /// Logits per sample.
    public let classCount: Int
    /// Numbers per sample before the head; nil when the architecture names no features.
    public let featureCount: Int?
    let batch: Int
    let pool: ExecutorPool<Float>
    let names: [String], shapes: [Shape]

    /// Compiles a network.
    ///
    /// - Parameters:
    ///   - tensors: names and shapes of the weights.
    ///   - batch: inputs per run, a multiple of 16.
    /// - Throws: `unsupported` for networks that read tokens; `mismatch` when weights and graph do not fit together.
    public init(_ graph: ArchitectureGraph, tensors: [TensorInfo], batch: Int = 64) throws {
        guard graph.inputs.count == 1, let input = graph.inputs.first, input.kind != .tokens else {
            throw ZooError(
                .unsupported, "architecture '\(graph.name)' reads tokens; retrieval reads images and vectors")
        }
        inputShape = input.shape
        self.batch = batch
        let lowered = try LoweredGraph(graph, tensors: tensors, batch: batch)
        let logits = try lowered.output("logits", of: graph)
        classCount = logits.shape.elementCount / batch
        var outputs: [(name: String, value: Value)] = [("logits", try lowered.builder.reshape(logits, [batch, -1]))]
        if graph.node(of: "features") != nil {
            let features = try lowered.output("features", of: graph)
            featureCount = features.shape.elementCount / batch
            outputs.append(("features", try lowered.builder.reshape(features, [batch, -1])))
        } else {
            featureCount = nil
        }
        let compiled = lowered.builder.build(outputs).compiled()
        pool = ExecutorPool(compiled)
        names = compiled.program.inputs(.parameter).map(\.name)
        shapes = compiled.program.inputs(.parameter).map(\.shape)
    }

    /// A model of this architecture.
    ///
    /// - Throws: `mismatch` when a tensor has another shape; what reading throws.
    public func box(_ source: any TensorSource, name: String) throws -> NetworkBox {
        let weights = try zip(names, shapes).map { name, shape in
            let tensor = try source.tensor(named: name)
            guard tensor.shape == shape else {
                throw ZooError(
                    .mismatch, "tensor '\(name)' has shape \(tensor.shape), the architecture expects \(shape)")
            }
            return tensor.floats()
        }
        return NetworkBox(self, AlignedArrays(weights), name: name)
    }
}

/// A catalogued network as a black box; its features are there too, for rankers that read them.
public struct NetworkBox: BlackBox {
    /// The name in messages.
    public let name: String
    /// The extents of an input.
    public var inputShape: [Int] { network.inputShape }
    /// Classes.
    public var classCount: Int { network.classCount }
    /// What its answers are.
    public let kind = ScoreKind.logits
    private let network: NetworkForward
    private let weights: AlignedArrays

    init(_ network: NetworkForward, _ weights: AlignedArrays, name: String) {
        self.network = network
        self.weights = weights
        self.name = name
    }

    /// Logits, side by side.
    public func scores(_ inputs: [Float], count: Int) throws -> [Float] { try run(inputs, count: count).logits }

    /// Logits `[count, classes]` and features `[count, D]`, empty when the architecture names none.
    public func run(_ inputs: [Float], count: Int) throws -> (logits: [Float], features: [Float]) {
        let size = inputShape.reduce(1, *), batch = network.batch
        guard inputs.count == count * size else {
            throw ZooError(
                .mismatch, "\(inputs.count) numbers for \(count) inputs of shape \(inputShape)")
        }
        var logits: [Float] = [], features: [Float] = []
        logits.reserveCapacity(count * classCount)
        try network.pool.withExecutor { executor in
            try executor.bind(parameters: weights.pointers)
            for start in stride(from: 0, to: count, by: batch) {
                let real = min(batch, count - start)
                var chunk = Array(inputs[start * size..<(start + real) * size])
                if real < batch { chunk += [Float](repeating: 0, count: (batch - real) * size) }
                try chunk.withUnsafeBufferPointer { pointer in
                    guard let base = pointer.baseAddress else { return }
                    try executor.run(reals: [base])
                }
                logits += executor.output(0).prefix(real * classCount)
                if let width = network.featureCount { features += executor.output(1).prefix(real * width) }
            }
        }
        return (logits, features)
    }

    /// Features before the head `[count, D]`; nil when the architecture names none.
    public func features(_ inputs: [Float], count: Int) throws -> Matrix? {
        guard let width = network.featureCount else { return nil }
        return Matrix(try run(inputs, count: count).features.map(Double.init), rows: count, columns: width)
    }
}

/// Arrays in one block of memory, each at the start of a cache line, as executors bind them.
///
/// `@unchecked Sendable`: written by its initialiser, and by `update` of an owner that is used by one thread at a time.
final class AlignedArrays: @unchecked Sendable {
    let pointers: [UnsafePointer<Float>]
    let counts: [Int]
    private let block: UnsafeMutablePointer<Float>

    init(_ arrays: [[Float]]) {
        counts = arrays.map(\.count)
        let starts = counts.reduce(into: [0]) { $0.append($0[$0.count - 1] + ($1 + 15) / 16 * 16) }
        let total = max(starts[starts.count - 1], 16)
        block = UnsafeMutableRawPointer.allocate(byteCount: total * 4, alignment: 64)
            .bindMemory(to: Float.self, capacity: total)
        block.initialize(repeating: 0, count: total)
        for (array, start) in zip(arrays, starts) { (block + start).update(from: array, count: array.count) }
        let base = block
        pointers = starts.dropLast().map { UnsafePointer(base + $0) }
    }

    deinit { block.deallocate() }

    /// One array, to be changed.
    func mutable(_ place: Int) -> UnsafeMutablePointer<Float> { UnsafeMutablePointer(mutating: pointers[place]) }

    /// A copy of one array.
    func array(_ place: Int) -> [Float] {
        Array(UnsafeBufferPointer(start: pointers[place], count: counts[place]))
    }
}
