import ZooBase

/// Linear layers with one activation between them; also the network of a PINN (features in, one number out).
struct MLP {
    /// Parameter prefixes of the linear layers, first to last.
    var prefixes: [String]
    var inputShape: [Int]
    var activation: ActivationKind
    var hasBias = true

    func graph(_ name: String) -> ArchitectureGraph {
        let isImage = inputShape.count == 3
        var builder = GraphBuilder(
            GraphInput(name: isImage ? "image" : "input", kind: isImage ? .image : .features, shape: inputShape))
        if isImage { builder.add(.flatten, "flatten") }
        for (index, prefix) in prefixes.enumerated() {
            let isLast = index == prefixes.count - 1
            if isLast { builder.output("features") }
            builder.layer(.linear, prefix, bias: hasBias, isHead: isLast)
            if !isLast { builder.activation(activation, "act\(index + 1)") }
        }
        builder.output("logits")
        return builder.graph(name)
    }
}
