import ZooBase

extension ArchitectureFamily {
    static let smallCNN = ArchitectureFamily(
        name: "small-cnn", numbers: ["activation", "dropout", "input", "padding", "pool"],
        matches: { layout in
            guard let reading = SmallCNNReading(layout), !reading.kernels.isEmpty else { return false }
            return layout.names.allSatisfy {
                $0.hasPrefix("module_list.") && ($0.hasSuffix("weight") || $0.hasSuffix("bias"))
            }
        },
        graph: { name, layout, numbers in
            guard let reading = SmallCNNReading(layout) else {
                throw ZooError(.mismatch, "small-cnn: the weights are not convolutions and two linear layers")
            }
            let input = try numbers.input(of: "small-cnn")
            let dropout = try numbers.number("dropout", default: 0)
            return SmallCNN(
                inputShape: input, stages: try reading.stages(input, numbers, hasDropout: dropout > 0),
                activation: try numbers.activation(of: "small-cnn"), dropout: dropout,
                // One that lacks its bias beside others that have theirs lost it; shape inference says so.
                hasBias: reading.modules.contains { layout.has("module_list.\($0).bias") }, modules: reading.modules
            ).graph(name)
        })
}

/// What names and shapes of a small CNN say, and the paddings and poolings that fit them.
struct SmallCNNReading {
    /// Numbers of the weighted modules.
    let modules: [Int]
    /// The kernels' side lengths.
    let kernels: [Int]
    /// What the first linear layer reads.
    private let flattened: Int
    private let lastChannels: Int

    /// Nil when the weights are something else; other tensors do not matter.
    init?(_ layout: TensorLayout) {
        let weights = layout.names.filter { $0.hasPrefix("module_list.") && $0.hasSuffix(".weight") }
        let numbers = weights.compactMap { Int($0.dropFirst(12).dropLast(7)) }
        guard numbers.count == weights.count, weights.count >= 3 else { return nil }
        modules = numbers.sorted()
        let shapes = modules.compactMap { layout["module_list.\($0).weight"] }
        let convolutions = shapes.dropLast(2)
        guard convolutions.allSatisfy({ $0.count == 4 && $0[2] == $0[3] && $0[2] > 0 }),
            shapes.suffix(2).allSatisfy({ $0.count == 2 })
        else { return nil }
        kernels = convolutions.map { $0[2] }
        lastChannels = convolutions.last?[0] ?? 1
        flattened = shapes[shapes.count - 2][1]
    }

    /// The one way to pad and pool that fits; the published networks do not pad, so that wins when it fits alone.
    ///
    /// - Throws: `mismatch` when nothing fits, or several do (with the candidates).
    func stages(_ input: [Int], _ numbers: FamilyNumbers, hasDropout: Bool) throws -> [SmallCNN.Stage] {
        guard input.count == 3, input[1] == input[2], GraphShapes.elementCount(input) != nil else {
            throw ZooError(.mismatch, "small-cnn: inputs of extents \(input); expected square images [C, H, W]")
        }
        let options = try kernels.indices.map { try self.options($0, numbers, hasDropout) }
        var found: [[SmallCNN.Stage]] = []
        search(input[1], options[...], [], &found)
        if found.count > 1 {
            let unpadded = found.filter { $0.allSatisfy { $0.padding == 0 } }
            if unpadded.count == 1 { found = unpadded }
        }
        guard let only = found.first else {
            throw ZooError(
                .mismatch,
                "small-cnn: no padding and pooling lead from \(input) to the \(flattened) features of the first linear layer"
            )
        }
        guard found.count == 1 else {
            let list = found.prefix(6).map { stages in
                "padding=\(stages.map(\.padding)) pool=\(stages.map(\.pools))"
            }
            throw ZooError(
                .mismatch, "small-cnn: several networks fit the weights: \(list.joined(separator: "; "))",
                hint: "choose with --set 'padding=[…]' --set 'pool=[…]', or name a file with --architecture")
        }
        return only
    }

    private func options(
        _ index: Int, _ numbers: FamilyNumbers, _ hasDropout: Bool
    ) throws -> [SmallCNN.Stage] {
        let kernel = kernels[index]
        let paddings = try stated("padding", numbers)?.compactMap(\.int)
        let pools = try stated("pool", numbers)?.compactMap(\.bool)
        let isLast = index == kernels.count - 1
        // Modules between this convolution and the next weights, without the activation, dropout and the flatten.
        let between = modules[index + 1] - modules[index] - 2 - (hasDropout ? 1 : 0) - (isLast ? 1 : 0)
        let poolChoices = pools.map { [$0[index]] } ?? (between > 0 ? [true, false] : [false])
        let paddingChoices = paddings.map { [$0[index]] } ?? (kernel % 2 == 1 && kernel > 1 ? [0, kernel / 2] : [0])
        return paddingChoices.flatMap { padding in
            poolChoices.map { SmallCNN.Stage(padding: padding, pools: $0) }
        }
    }

    private func stated(_ name: String, _ numbers: FamilyNumbers) throws -> [JSONValue]? {
        guard let value = numbers.value(name) else { return nil }
        guard let list = value.array, list.count == kernels.count,
            list.allSatisfy({ name == "pool" ? $0.bool != nil : Self.isPadding($0) })
        else {
            throw ZooError(
                .corrupt,
                "small-cnn: '\(name)' must be a list of \(kernels.count), one per convolution, "
                    + (name == "pool" ? "true or false" : "from 0 to \(GraphNode.largestAttribute)")
                    + "; found \(value.text())")
        }
        return list
    }

    private static func isPadding(_ value: JSONValue) -> Bool {
        guard let number = value.int else { return false }
        return number >= 0 && number <= GraphNode.largestAttribute
    }

    private func search(
        _ side: Int, _ options: ArraySlice<[SmallCNN.Stage]>, _ chosen: [SmallCNN.Stage],
        _ found: inout [[SmallCNN.Stage]]
    ) {
        guard let next = options.first else {
            if GraphShapes.elementCount([side, side, lastChannels]) == flattened { found.append(chosen) }
            return
        }
        for stage in next {
            var extent = side + 2 * stage.padding - kernels[chosen.count] + 1
            if stage.pools { extent /= 2 }
            if extent > 0 { search(extent, options.dropFirst(), chosen + [stage], &found) }
        }
    }
}
