import ZooAutodiff
import ZooBase
import ZooNN
import ZooTensor

/// Whether two networks compute the same, measured in double precision: the check that a permutation is one.
public struct OutputEquality: Sendable, Hashable {
    /// Largest difference over the largest output.
    public let relativeDifference: Double
    /// Inputs compared.
    public let count: Int
    /// What two networks may differ by and still count as equal.
    public static let tolerance = 1e-5

    /// Whether they compute the same.
    public var holds: Bool { relativeDifference <= Self.tolerance }

    /// Compares the logits (or the first output that is not `features`) of two networks.
    ///
    /// - Parameters:
    ///   - samples: inputs; nil draws random ones.
    ///   - count: how many at most.
    /// - Throws: `numeric` when an output is not finite; `mismatch` when graph and weights do not fit.
    public init(
        _ graph: ArchitectureGraph, _ a: any TensorSource, _ b: any TensorSource, samples: Samples? = nil,
        count: Int = 4, seed: UInt64 = 0
    ) throws {
        let batch = min(count, samples?.count ?? count)
        let tokens = 16
        let lowered = try LoweredGraph(graph, tensors: a.tensorInfos, batch: batch, sequenceLength: tokens)
        let name =
            graph.node(of: "logits") != nil
            ? "logits" : graph.outputs.first { $0.name != "features" }?.name ?? graph.outputs[0].name
        let output = try lowered.output(name, of: graph)
        let executor = lowered.builder.build([(name, output)]).compiledReference().makeExecutor()
        var reals: [String: [Double]] = [:], integers: [String: [Int32]] = [:]
        var generator = SeededGenerator(seed: seed)
        for (place, input) in graph.inputs.enumerated() {
            let size = batch * input.shape.map { $0 == 0 ? tokens : $0 }.reduce(1, *)
            switch input.kind {
            case .tokens:
                let vocabulary = Self.vocabulary(graph, a, input.name)
                integers[input.name] = (0..<size).map { _ in Int32.random(in: 0..<vocabulary, using: &generator) }
            case .mask: reals[input.name] = [Double](repeating: 1, count: size)
            case .image, .features:
                reals[input.name] =
                    if let samples, place == 0 { samples.inputs.prefix(size).map(Double.init) } else {
                        (0..<size).map { _ in Double.random(in: -1...1, using: &generator) }
                    }
            }
        }
        func run(_ source: any TensorSource) throws -> [Double] {
            var arrays = reals
            for (name, _) in lowered.parameters { arrays[name] = try source.tensor(named: name).doubles() }
            return try executor.evaluate(arrays, indices: integers)[0]
        }
        let first = try run(a), second = try run(b)
        let largest = first.map(\.magnitude).max() ?? 0
        let difference = zip(first, second).map { ($0 - $1).magnitude }.max() ?? 0
        guard difference.isFinite, largest.isFinite, first.allSatisfy(\.isFinite) else {
            throw ZooError(.numeric, "an output of the network is not finite; nothing can be compared")
        }
        relativeDifference = largest > 0 ? difference / largest : difference
        self.count = batch
    }

    private static func vocabulary(_ graph: ArchitectureGraph, _ source: any TensorSource, _ input: String) -> Int32 {
        let table = graph.nodes.first { $0.op == .embedding && $0.inputs.first == input }?.parameter("weight")
        let rows = source.tensorInfos.first { $0.name == table }?.shape.dimensions.first ?? 1
        return Int32(clamping: max(1, rows))
    }
}

/// The cosine between the weights of two networks, over the tensors that are trained.
public enum WeightCosine {
    /// ⟨a, b⟩/(‖a‖‖b‖) over the named tensors; nil when one of them is zero.
    ///
    /// - Throws: `mismatch` when a tensor has another size.
    public static func between(_ a: any TensorSource, _ b: any TensorSource, over names: [String]) throws -> Double? {
        var product = 0.0, left = 0.0, right = 0.0
        for name in names {
            let x = try a.tensor(named: name), y = try b.tensor(named: name)
            guard x.shape == y.shape else {
                throw ZooError(.mismatch, "tensor '\(name)' has shape \(x.shape) and \(y.shape)")
            }
            for (u, v) in zip(x.floats(), y.floats()) {
                product += Double(u) * Double(v)
                left += Double(u) * Double(u)
                right += Double(v) * Double(v)
            }
        }
        return left > 0 && right > 0 ? product / (left * right).squareRoot() : nil
    }
}
