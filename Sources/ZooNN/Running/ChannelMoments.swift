import ZooAutodiff
import ZooBase
import ZooTensor

/// Mean and variance per channel of what nodes compute, over a data set.
public struct Moments: Sendable, Hashable {
    /// One per channel.
    public var mean: [Double]
    /// One per channel, divided by the number of values (biased).
    public var variance: [Double]
    /// Values per channel.
    public var count: Int

    /// The estimate that PyTorch stores in `running_var`: divided by one less.
    public var unbiasedVariance: [Double] {
        count > 1 ? variance.map { $0 * Double(count) / Double(count - 1) } : variance
    }

    /// Both sets of values together: Chan's update of two moments.
    func pooled(with other: Moments) -> Moments {
        let total = Double(count + other.count), share = Double(other.count) / total
        var result = Moments(mean: mean, variance: variance, count: count + other.count)
        for channel in mean.indices {
            let step = other.mean[channel] - mean[channel]
            result.mean[channel] += step * share
            result.variance[channel] =
                variance[channel] * (1 - share) + other.variance[channel] * share + step * step * share * (1 - share)
        }
        return result
    }
}

/// Runs a network over samples and gathers the moments of chosen values batch by batch.
public final class ChannelMoments: Sendable {
    /// Which values.
    public enum Target: Sendable {
        /// The inputs of all batch norms, in training mode: every batch norm normalises with its own batch.
        case batchNormInputs
        /// What the named nodes compute, in evaluation mode.
        case nodes([String])
    }

    /// Samples per run. A batch of the whole set makes the moments exact.
    public let batch: Int
    private let samples: Samples
    private let compiled: CompiledProgram<Float>
    private let parameterNames: [String]
    private let names: [String]
    private let counts: [Int]

    /// Activations of one run stay below this many bytes unless a batch size is asked for.
    public static let memoryLimit = 1 << 29

    /// Compiles the passes.
    ///
    /// - Parameters:
    ///   - tensors: names and shapes of the models' weights.
    ///   - batch: samples per run; nil takes all at once where memory allows, else equal parts.
    /// - Throws: `mismatch` when graph, weights and samples do not fit together; `unsupported` for token inputs.
    public init(
        _ graph: ArchitectureGraph, tensors: [TensorInfo], samples: Samples, target: Target, batch: Int? = nil
    ) throws {
        guard let input = graph.inputs.first, graph.inputs.count == 1, input.kind != .tokens else {
            throw ZooError(.unsupported, "architecture '\(graph.name)' reads tokens; its statistics need real inputs")
        }
        guard input.shape == samples.inputShape else {
            throw ZooError(
                .mismatch,
                "architecture '\(graph.name)' reads inputs of shape \(input.shape), the data set has \(samples.inputShape)"
            )
        }
        self.samples = samples
        let plain = graph.withoutDropout
        var size = min(batch ?? samples.count, samples.count)
        var first = try Self.program(plain, tensors, size, target)
        while batch == nil, size > 64, first.compiled.arenaBytes > Self.memoryLimit {
            size = (size + 1) / 2
            first = try Self.program(plain, tensors, size, target)
        }
        self.batch = size
        (names, counts) = (first.names, first.counts)
        parameterNames = first.compiled.program.inputs(.parameter).map(\.name)
        compiled = first.compiled
    }

    private static func program(
        _ graph: ArchitectureGraph, _ tensors: [TensorInfo], _ batch: Int, _ target: Target
    ) throws -> (compiled: CompiledProgram<Float>, names: [String], counts: [Int]) {
        // Kernels hold samples in lanes of 16; what fills up the last group has weight zero.
        let padded = (batch + 15) / 16 * 16
        var names: [String] = [], counts: [Int] = []
        var outputs: [(name: String, value: Value)] = []
        func add(_ name: String, _ channels: Int, _ elements: Int, _ mean: Value, _ variance: Value) {
            names.append(name)
            counts.append(elements / max(1, channels * padded))
            outputs += [("\(name).mean", mean), ("\(name).variance", variance)]
        }
        switch target {
        case .batchNormInputs:
            let lowered = try LoweredGraph(
                graph, tensors: tensors, batch: padded, isTraining: true, isPadded: true)
            for (node, mean, variance) in lowered.statistics {
                guard let source = node.inputs.first, let x = lowered.values[source] else { continue }
                add(node.name, mean.shape.elementCount, x.shape.elementCount, mean, variance)
            }
            return (lowered.builder.build(outputs).compiled(), names, counts)
        case .nodes(let wanted):
            let lowered = try LoweredGraph(graph, tensors: tensors, batch: padded, isPadded: true)
            let b = lowered.builder
            for name in wanted {
                guard let x = lowered.values[name], let weights = lowered.sampleWeights else {
                    throw ZooError(.notFound, "no node '\(name)'")
                }
                let channel = x.shape.rank == 4 ? 1 : x.shape.rank - 1
                let axes = (0..<x.shape.rank).filter { $0 != channel }
                let perSample = x.shape.elementCount / (padded * x.shape[channel])
                let scale = b.reciprocal(b.affine(try b.sum(weights), scale: Double(perSample)))
                let shares = try b.reshape(weights, [-1] + [Int](repeating: 1, count: x.shape.rank - 1))
                func average(_ y: Value) throws -> Value {
                    try b.multiply(b.sum(b.multiply(y, shares), axes: axes), scale)
                }
                let mean = try average(x)
                let line = (0..<x.shape.rank).map { $0 == channel ? x.shape[channel] : 1 }
                let variance = try average(b.square(b.subtract(x, b.reshape(mean, line))))
                add(name, x.shape[channel], x.shape.elementCount, mean, variance)
            }
            return (b.build(outputs).compiled(), names, counts)
        }
    }

    /// The moments of each batch, by node.
    ///
    /// - Throws: what reading the weights throws.
    public func batches(of source: any TensorSource) throws -> [String: [Moments]] {
        let weights = try parameterNames.map { try source.tensor(named: $0).floats() }
        var found: [String: [Moments]] = [:]
        let block = AlignedFloats(weights)
        try withExtendedLifetime(block) {
            let executor = compiled.makeExecutor()
            try executor.bind(parameters: block.pointers)
            let padded = compiled.program.inputs(.data).first?.shape[0] ?? batch
            var inputs = [Float](repeating: 0, count: padded * samples.sampleSize)
            for start in stride(from: 0, to: samples.count, by: batch) {
                try Cancellation.check()
                let used = min(batch, samples.count - start)
                let from = start * samples.sampleSize
                inputs.replaceSubrange(
                    0..<used * samples.sampleSize, with: samples.inputs[from..<from + used * samples.sampleSize])
                let weights = (0..<padded).map { Float($0 < used ? 1 : 0) }
                try inputs.withUnsafeBufferPointer { x in
                    try weights.withUnsafeBufferPointer { w in
                        guard let x = x.baseAddress, let w = w.baseAddress else { return }
                        try executor.run(reals: [x, w])
                    }
                }
                for (place, name) in names.enumerated() {
                    found[name, default: []].append(
                        Moments(
                            mean: executor.output(2 * place).map(Double.init),
                            variance: executor.output(2 * place + 1).map { max(0, Double($0)) },
                            count: counts[place] * used))
                }
            }
            withExtendedLifetime(executor) {}
        }
        return found
    }

    /// The moments of all samples together, by node.
    ///
    /// - Throws: what reading the weights throws.
    public func pooled(of source: any TensorSource) throws -> [String: Moments] {
        try batches(of: source).compactMapValues { parts in
            parts.dropFirst().reduce(parts.first) { $0?.pooled(with: $1) }
        }
    }
}

/// Weights side by side in aligned memory, with stable addresses.
///
/// `@unchecked Sendable`: written once in `init`, only read afterwards.
package final class AlignedFloats: @unchecked Sendable {
    /// One per array, in order.
    package let pointers: [UnsafePointer<Float>]
    private let block: UnsafeMutablePointer<Float>

    /// Copies the arrays.
    package init(_ arrays: [[Float]]) {
        let total = arrays.reduce(0) { $0 + ($1.count + 15) / 16 * 16 }
        let block = UnsafeMutableRawPointer.allocate(byteCount: max(total, 1) * 4, alignment: 64)
            .bindMemory(to: Float.self, capacity: max(total, 1))
        var place = 0
        pointers = arrays.map { array in
            (block + place).initialize(from: array, count: array.count)
            defer { place += (array.count + 15) / 16 * 16 }
            return UnsafePointer(block + place)
        }
        self.block = block
    }

    deinit { block.deallocate() }
}

extension ArchitectureGraph {
    /// The same network with dropout that drops nothing: statistics are those of the whole network.
    var withoutDropout: ArchitectureGraph {
        var copy = self
        for place in copy.nodes.indices where copy.nodes[place].op == .dropout {
            copy.nodes[place].attributes["probability"] = .double(0)
        }
        return copy
    }
}
