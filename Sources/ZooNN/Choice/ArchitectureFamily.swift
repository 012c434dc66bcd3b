import ZooBase

/// A family of networks whose graph follows from names and shapes of the weights and a few stated numbers.
struct ArchitectureFamily: Sendable {
    /// Its name in architecture files and messages.
    let name: String
    /// The stated numbers that it understands.
    let numbers: [String]
    /// Whether a state dict looks like the family's.
    let matches: @Sendable (TensorLayout) -> Bool
    /// The graph, under the name given.
    let graph: @Sendable (String, TensorLayout, FamilyNumbers) throws -> ArchitectureGraph

    /// All families, the special ones before those that match more.
    static let all = [smallCNN, resNet, visionTransformer, clipVision, gpt2, bert, llama, mlp, pinn]

    /// A family by name.
    ///
    /// - Throws: `notFound` with the nearest name.
    static func named(_ name: String) throws -> ArchitectureFamily {
        if let family = all.first(where: { $0.name == name }) { return family }
        throw ZooError(
            .notFound, "there is no family '\(name)'",
            hint: NearestName.hint(name, in: all.map(\.name), kind: "families"))
    }

    // MARK: Perceptrons

    static let mlp = ArchitectureFamily(
        name: "mlp", numbers: ["activation", "input"],
        matches: { layout in
            let weights = layout.names.filter { $0.hasSuffix(".weight") }
            guard !weights.isEmpty, layout.names.allSatisfy({ $0.hasSuffix(".weight") || $0.hasSuffix(".bias") })
            else { return false }
            let shapes = weights.compactMap { layout[$0] }
            return shapes.allSatisfy { $0.count == 2 } && zip(shapes, shapes.dropFirst()).allSatisfy { $0[0] == $1[1] }
        },
        graph: { name, layout, numbers in
            let prefixes = layout.names.filter { $0.hasSuffix(".weight") }.map { String($0.dropLast(7)) }
            let input =
                numbers.inputShape ?? numbers.value("input")?.array?.compactMap(\.int)
                ?? [layout["\(prefixes[0]).weight"]?[1] ?? 0]
            // One layer has no activation between layers.
            let activation = try prefixes.count > 1 ? numbers.activation(of: "mlp") : .identity
            // A layer without a bias beside others that have one lost it; shape inference says so.
            let hasBias = prefixes.contains { layout.has("\($0).bias") }
            return MLP(prefixes: prefixes, inputShape: input, activation: activation, hasBias: hasBias).graph(name)
        })

    /// A perceptron of coordinates; its names are those of any perceptron, so it must be named.
    static let pinn = ArchitectureFamily(
        name: "pinn", numbers: ["activation", "input"], matches: { _ in false },
        graph: { name, layout, numbers in
            guard mlp.matches(layout) else {
                throw ZooError(.mismatch, "pinn: the weights are not those of linear layers in a row")
            }
            let prefixes = layout.names.filter { $0.hasSuffix(".weight") }.map { String($0.dropLast(7)) }
            let coordinates = layout["\(prefixes[0]).weight"]?[1] ?? 0
            return MLP(
                prefixes: prefixes, inputShape: [coordinates],
                activation: try numbers.activation(of: "pinn", default: .tanh),
                hasBias: layout.has("\(prefixes[0]).bias")
            ).graph(name)
        })

    // MARK: Residual networks

    static let resNet = ArchitectureFamily(
        name: "resnet", numbers: ["input", "stem"],
        matches: { $0.has("conv1.weight") && $0.has("bn1.running_mean") && $0.has("layer1.0.conv1.weight") },
        graph: { name, layout, numbers in
            let stages = (1...8).prefix { layout.count("layer\($0).") > 0 }
            let kernel = layout["conv1.weight"]?.last ?? 3
            var hasImageNetStem = kernel == 7
            if let stem = numbers.value("stem")?.string {
                guard ["imagenet", "cifar"].contains(stem) else {
                    throw ZooError(.corrupt, "unknown stem '\(stem)'", hint: "imagenet or cifar")
                }
                hasImageNetStem = stem == "imagenet"
            }
            let suffix = ".downsample.0.weight"
            return ResNet(
                blocks: stages.map { layout.count("layer\($0).") },
                width: layout["layer1.0.conv1.weight"]?.first ?? 0,
                isBottleneck: layout.has("layer1.0.conv3.weight"), inputShape: try numbers.input(of: "resnet"),
                hasImageNetStem: hasImageNetStem,
                projections: Set(layout.names.filter { $0.hasSuffix(suffix) }.map { String($0.dropLast(suffix.count)) })
            ).graph(name)
        })
}
