import ZooBase

/// The small convolutional networks of the public model zoos: convolutions with max pooling before the activation,
/// then two linear layers. Modules are numbered as in `module_list`, dropout counted, so names follow the checkpoint.
struct SmallCNN {
    /// What follows a convolution and what surrounds it.
    struct Stage: Hashable {
        var padding = 0
        var pools: Bool
    }

    var inputShape: [Int]
    var stages: [Stage]
    var activation: ActivationKind
    var dropout: Double
    var hasBias = true
    /// `module_list` numbers of the weighted modules: the convolutions, then the two linear layers.
    var modules: [Int]

    func graph(_ name: String) -> ArchitectureGraph {
        var builder = GraphBuilder(GraphInput(name: "image", kind: .image, shape: inputShape))
        for (index, stage) in stages.enumerated() {
            builder.layer(
                .conv2d, "module_list.\(modules[index])", bias: hasBias,
                with: [("padding", .int(Int64(stage.padding)))])
            if stage.pools { builder.add(.maxPool, "pool\(index + 1)", with: [("kernel", 2), ("stride", 2)]) }
            builder.activation(activation, "act\(index + 1)")
            if dropout > 0 { builder.add(.dropout, "drop\(index + 1)", with: [("probability", .double(dropout))]) }
        }
        builder.add(.flatten, "flatten")
        builder.layer(.linear, "module_list.\(modules[stages.count])", bias: hasBias)
        let features = builder.activation(activation, "act\(stages.count + 1)")
        if dropout > 0 {
            builder.add(.dropout, "drop\(stages.count + 1)", with: [("probability", .double(dropout))])
        }
        builder.layer(.linear, "module_list.\(modules[stages.count + 1])", bias: hasBias, isHead: true)
        builder.output("logits")
        builder.output("features", features)
        return builder.graph(name)
    }
}
