import ZooAutodiff
import ZooBase
import ZooLandscape
import ZooNN
import ZooTensor

/// One linear layer without bias, of which loss, gradient and Hessian are known in closed form.
enum LinearNetworks {
    static func graph(inputs: Int) -> ArchitectureGraph {
        ArchitectureGraph(
            name: "linear", inputs: [GraphInput(name: "input", kind: .features, shape: [inputs])],
            nodes: [
                GraphNode(
                    name: "fc", op: .linear, inputs: ["input"],
                    parameters: [GraphParameter(role: "weight", name: "fc.weight")], isHead: true)
            ], outputs: [GraphOutput(name: "logits", node: "fc")])
    }

    /// The problem of `weights` `[outputs, inputs]` on rows.
    static func problem(
        _ weights: [[Double]], _ rows: [[Double]], labels: [Int32] = [], loss: LossFunction = .crossEntropy()
    ) throws -> LossProblem {
        var state = StateDict()
        let size = weights[0].count
        state["fc.weight"] = Tensor(weights.flatMap { $0.map { Float($0) } }, shape: [weights.count, size])
        let samples = try Samples(
            inputs: rows.flatMap { $0.map { Float($0) } }, inputShape: [size], labels: labels, count: rows.count)
        return try ModelSweep(graph(inputs: size), tensors: state.tensorInfos, samples: samples, loss: loss)
            .problem(state)
    }

    /// The mean of the squared output: regression when the target is an input with weight −1.
    static let squares = LossFunction(name: "squares", readsLabels: false) { builder, output, _ in
        try builder.reshape(builder.square(output), [output.shape[0]])
    }
}
