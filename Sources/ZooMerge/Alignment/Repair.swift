import ZooBase
import ZooNN
import ZooTensor

/// REPAIR (arXiv 2211.08403): gives every layer of a merged network the means and spreads that the layer has in the
/// networks it was merged from.
///
/// For each convolution and linear layer but the head, μ* and σ* are the mixed mean and standard deviation of its output,
/// channel by channel, in A and in B. A batch norm with these as shift and scale after each layer, in training mode,
/// measures the merged network's own moments with all earlier layers already corrected; then it is folded into weight
/// and bias.
public struct Repair: Sendable {
    /// What is added to measured variances.
    public static let epsilon = 1e-5

    private let graph: ArchitectureGraph
    private let samples: Samples
    private let layers: [GraphNode]
    private let tensors: [TensorInfo]

    /// Prepares the correction.
    ///
    /// - Throws: `unsupported` for a network with batch norm (its statistics are recomputed instead), for layers without
    ///   bias, and for layers over tokens.
    public init(_ graph: ArchitectureGraph, tensors: [TensorInfo], samples: Samples) throws {
        guard !BatchNormStatistics.applies(to: graph) else {
            throw ZooError(
                .unsupported, "REPAIR is for networks without batch norm",
                hint: "recompute the batch-norm statistics instead")
        }
        let shapes = try GraphShapes(graph, tensors: tensors)
        let heads = Set(graph.outputs.filter { $0.name != "features" }.map(\.node))
        layers = graph.nodes.filter {
            ($0.op == .conv2d || $0.op == .linear) && !$0.isHead && !heads.contains($0.name)
        }
        for layer in layers {
            guard layer.parameter("bias") != nil else {
                throw ZooError(.unsupported, "REPAIR: layer '\(layer.name)' has no bias to correct")
            }
            guard layer.op == .conv2d || shapes.shapes[layer.name]?.count == 1 else {
                throw ZooError(.unsupported, "REPAIR: layer '\(layer.name)' works on tokens")
            }
        }
        self.graph = graph
        self.samples = samples
        self.tensors = tensors
    }

    /// The merged network with corrected weights and biases.
    ///
    /// - Parameters:
    ///   - merged: (1−alpha) a + alpha b, or anything of the same architecture.
    ///   - alpha: the share of b in the goal.
    /// - Throws: what reading the weights throws.
    public func corrected(
        _ merged: any TensorSource, between a: any TensorSource, and b: any TensorSource, alpha: Double = 0.5
    ) throws -> StateDict {
        let names = layers.map(\.name)
        let own = try ChannelMoments(graph, tensors: tensors, samples: samples, target: .nodes(names))
        let left = try own.pooled(of: a), right = try own.pooled(of: b)
        var state = try merged.stateDict()
        var goals: [String: (mean: [Double], spread: [Double])] = [:]
        var watched = state
        for name in names {
            guard let x = left[name], let y = right[name] else { continue }
            let mean = zip(x.mean, y.mean).map { (1 - alpha) * $0 + alpha * $1 }
            let spread = zip(x.variance, y.variance).map {
                (1 - alpha) * $0.squareRoot() + alpha * $1.squareRoot()
            }
            goals[name] = (mean, spread)
            let shape = [mean.count]
            watched["\(name).repair.weight"] = Tensor(spread.map(Float.init), shape: .init(shape))
            watched["\(name).repair.bias"] = Tensor(mean.map(Float.init), shape: .init(shape))
            watched["\(name).repair.running_mean"] = Tensor(
                [Float](repeating: 0, count: mean.count), shape: .init(shape))
            watched["\(name).repair.running_var"] = Tensor(
                [Float](repeating: 1, count: mean.count), shape: .init(shape))
        }
        let moments = try ChannelMoments(
            watching, tensors: watched.tensorInfos, samples: samples, target: .batchNormInputs
        ).pooled(of: watched)
        for layer in layers {
            guard let goal = goals[layer.name], let found = moments["\(layer.name).repair"] else { continue }
            try fold(layer, goal, found, &state)
        }
        return state
    }

    /// The graph with a batch norm after each layer.
    private var watching: ArchitectureGraph {
        var copy = graph
        copy.nodes = []
        let watched = Set(layers.map(\.name))
        for node in graph.nodes {
            var node = node
            node.inputs = node.inputs.map { watched.contains($0) ? "\($0).repair" : $0 }
            copy.nodes.append(node)
            guard watched.contains(node.name) else { continue }
            let roles = ["weight", "bias", "running_mean", "running_var"]
            copy.nodes.append(
                GraphNode(
                    name: "\(node.name).repair", op: .batchNorm, inputs: [node.name],
                    parameters: roles.map { GraphParameter(role: $0, name: "\(node.name).repair.\($0)") },
                    attributes: JSONObject([("eps", .double(Self.epsilon))])))
        }
        copy.outputs = graph.outputs.map {
            GraphOutput(name: $0.name, node: watched.contains($0.node) ? "\($0.node).repair" : $0.node)
        }
        return copy
    }

    private func fold(
        _ layer: GraphNode, _ goal: (mean: [Double], spread: [Double]), _ found: Moments, _ state: inout StateDict
    ) throws {
        guard let weightName = layer.parameter("weight"), let biasName = layer.parameter("bias"),
            let weight = state[weightName], let bias = state[biasName]
        else { return }
        let scale = zip(goal.spread, found.variance).map { $0 / ($1 + Self.epsilon).squareRoot() }
        var values = weight.doubles()
        let isTransposed = layer.flag("transposed")
        let inner = weight.shape.dimensions.dropFirst().reduce(1, *)
        for place in values.indices { values[place] *= scale[isTransposed ? place % inner : place / inner] }
        let shifts = bias.doubles().enumerated().map { channel, value in
            goal.mean[channel] + scale[channel] * (value - found.mean[channel])
        }
        state[weightName] = Tensor(values, shape: weight.shape).converted(to: weight.dtype)
        state[biasName] = Tensor(shifts, shape: bias.shape).converted(to: bias.dtype)
    }
}
