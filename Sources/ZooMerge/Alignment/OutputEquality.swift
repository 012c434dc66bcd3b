import CZooKernels
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
        count: Int = 2, seed: UInt64 = 0, jobs: Int = 1
    ) throws {
        let batch = min(count, samples?.count ?? count)
        let tokens = 16
        let lowered = try LoweredGraph(graph, tensors: a.tensorInfos, batch: batch, sequenceLength: tokens)
        let name =
            graph.node(of: "logits") != nil
            ? "logits" : graph.outputs.first { $0.name != "features" }?.name ?? graph.outputs[0].name
        let output = try lowered.output(name, of: graph)
        let compiled = lowered.builder.build([(name, output)]).compiledReference()
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
        let names = lowered.parameters.map(\.0), sources = [a, b]
        let (inputs, indices) = (reals, integers)
        let results = try Parallel.map(count: 2, jobs: jobs) { place in
            var arrays = inputs
            for name in names { arrays[name] = try sources[place].tensor(named: name).doubles() }
            return try compiled.makeExecutor().evaluate(arrays, indices: indices)[0]
        }
        let first = results[0], second = results[1]
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
            let (u, v) = (Self.readable(x), Self.readable(y))
            guard let s = KernelType(u.dtype), let t = KernelType(v.dtype) else { continue }
            let found = u.bytes.withUnsafeBytes { x in
                v.bytes.withUnsafeBytes { y in
                    zoo_vector_pair(
                        x.baseAddress, s.rawValue, y.baseAddress, t.rawValue, x.count / zoo_dtype_size(s.rawValue))
                }
            }
            product += found.dot
            left += found.squared_norm_a
            right += found.squared_norm_b
        }
        return left > 0 && right > 0 ? product / (left * right).squareRoot() : nil
    }

    /// The tensor in a type that kernels take.
    private static func readable(_ tensor: Tensor) -> Tensor {
        KernelType(tensor.dtype) == nil ? tensor.converted(to: .float32) : tensor
    }
}
