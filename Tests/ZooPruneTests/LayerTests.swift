import Testing
import ZooAutodiff
import ZooBase
import ZooFormats
import ZooNN
import ZooPrune
import ZooTensor
import ZooTestSupport

/// Methods that go layer by layer, and what they are given.
@Suite struct LayerTests {
    private func problem(
        rows: Int, columns: Int, inputs: LayerInputs, sparsity: Double, group: PruneGroup, seed: UInt64 = 7
    ) -> LayerProblem {
        var generator = SeededGenerator(seed: seed)
        let weights = (0..<rows * columns).map { _ in Double(generator.below(2001) - 1000) / 500 + 1e-3 }
        return LayerProblem(
            CandidateMatrix(name: "w", rows: rows, columns: columns), weights: weights, inputs: inputs,
            sparsity: sparsity, group: group)
    }

    private func identity(_ columns: Int) -> LayerInputs {
        var products = [Double](repeating: 0, count: columns * columns)
        for column in 0..<columns { products[column * columns + column] = 0.5 }
        return LayerInputs(
            columns: columns, rows: 1, squares: [Double](repeating: 0.5, count: columns), products: products)
    }

    private func magnitude(_ layer: LayerProblem) throws -> [Bool] {
        try #require(
            try MaskSelection.select(
                [.init(layer.matrix, layer.weights.map(abs))], sparsity: layer.sparsity, group: layer.group
            ).pruned["w"])
    }

    @Test func wandaWithEqualNormsIsMagnitudeInRows() throws {
        for group in [PruneGroup.row, .tensor, .pattern(keep: 2, of: 4)] {
            var layer = problem(rows: 6, columns: 12, inputs: identity(12), sparsity: 0.5, group: group)
            let wanted = try magnitude(layer)
            try Wanda(PruneSettings()).prune(&layer)
            #expect(layer.pruned == wanted)
        }
    }

    @Test func sparseGPTWithIndependentInputsIsMagnitudeAndChangesNothing() throws {
        for group in [PruneGroup.row, .tensor, .pattern(keep: 2, of: 4)] {
            var layer = problem(rows: 6, columns: 12, inputs: identity(12), sparsity: 0.5, group: group)
            let before = layer.weights, wanted = try magnitude(layer)
            try SparseGPT(PruneSettings()).prune(&layer)
            #expect(layer.pruned == wanted)
            for place in before.indices {
                #expect(abs(layer.weights[place] - (wanted[place] ? 0 : before[place])) < 1e-12)
            }
        }
    }

    @Test func sparseGPTLeavesTheLeastSquaresAnswerOfItsFirstColumn() throws {
        // Two inputs, one weight gone: what is left is w₂ + w₁ H₁₂/H₂₂ when the first goes.
        let products = [4.0, 2, 2, 3]
        let inputs = LayerInputs(columns: 2, rows: 2, squares: [4, 3], products: products)
        var settings = PruneSettings()
        settings.damping = 1e-12
        var layer = LayerProblem(
            CandidateMatrix(name: "w", rows: 1, columns: 2), weights: [0.1, 5], inputs: inputs, sparsity: 0.5,
            group: .tensor)
        try SparseGPT(settings).prune(&layer)
        #expect(layer.pruned == [true, false])
        #expect(abs(layer.weights[1] - (5 + 0.1 * 2 / 3)) < 1e-9 && layer.weights[0] == 0)
    }

    @Test func sparseGPTReproducesOutputsBetterThanWanda() throws {
        var generator = SeededGenerator(seed: 12)
        let columns = 24, rows = 10, samples = 200
        // Correlated inputs: sums of a few sources.
        let sources = (0..<samples * 8).map { _ in Double(generator.below(2001) - 1000) / 1000 }
        let mixing = (0..<8 * columns).map { _ in Double(generator.below(2001) - 1000) / 1000 }
        let x = try LinearAlgebra.product(sources, mixing, rows: samples, columns: columns, depth: 8)
        let products = try LinearAlgebra.product(
            x, transposeA: true, x, rows: columns, columns: columns, depth: samples)
        let inputs = LayerInputs(
            columns: columns, rows: samples, squares: (0..<columns).map { products[$0 * columns + $0] },
            products: products)
        func error(_ method: any LayerwiseMethod, _ group: PruneGroup) throws -> Double {
            var layer = problem(rows: rows, columns: columns, inputs: inputs, sparsity: 0.5, group: group)
            let before = layer.weights
            try method.prune(&layer)
            #expect(layer.pruned.count { $0 } == rows * columns / 2)
            #expect(layer.pruned.indices.allSatisfy { !layer.pruned[$0] || layer.weights[$0] == 0 })
            let change = zip(before, layer.weights).map { $0 - $1 }
            let outputs = try LinearAlgebra.product(
                x, change, transposeB: true, rows: samples, columns: rows, depth: columns)
            return outputs.reduce(0) { $0 + $1 * $1 }
        }
        for group in [PruneGroup.row, .tensor, .pattern(keep: 2, of: 4)] {
            var settings = PruneSettings()
            settings.block = 8
            let sparse = try error(SparseGPT(settings), group), wanda = try error(Wanda(settings), group)
            #expect(sparse < 0.7 * wanda, "\(group): \(sparse) against \(wanda)")
        }
    }

    @Test func inputsAreThoseOfTheWholeNetwork() throws {
        let tiny = try TinyEncoder(), matrices = try tiny.matrices()
        let layout = StatisticsLayout(tiny.graph, tensors: tiny.infos, matrices: matrices)
        let triplets = TinyEncoder.triplets(11).map { TokenTriplet(query: $0.query, positive: $0.positive) }
        let weights = try ModelWeights(tiny.graph, source: tiny.source)
        let pass = CalibrationPass(try tiny.objective(triplets, layout: layout), layout: layout, weights: weights)
        try pass.run(jobs: 2) { _ in }
        let whole = try pass.statistics()
        let layered = try LayerwisePass(
            tiny.graph, tensors: tiny.infos, weights: weights, matrices: matrices,
            data: .texts(triplets.flatMap(\.texts), maximumLength: 12))
        var seen: [String] = []
        try layered.run(needsGram: true, jobs: 2) { matrix, inputs in
            seen.append(matrix.name)
            let squares = try #require(whole.inputSquares[matrix.name])
            for column in 0..<matrix.columns {
                let found = inputs.squares[column] / Double(inputs.rows)
                #expect(abs(found - Double(squares[column])) < 1e-4 * max(1, found), "\(matrix.name)")
                #expect(
                    abs(inputs.products[column * matrix.columns + column] - inputs.squares[column]) < 1e-4
                        * max(1, inputs.squares[column]))
            }
            #expect(inputs.rows == triplets.reduce(0) { $0 + $1.query.count + $1.positive.count })
        }
        #expect(seen == matrices.map(\.name))
    }

    /// A sample of a vision transformer is a row per patch: means and squares are over all of them.
    @Test func inputsOfPatchesAreCountedOneByOne() throws {
        let folder = Repository.path("Tests/ZooNNTests/Fixtures/architectures/vit")
        let source = try CheckpointFile.open(folder).source
        let config = try JSONParser.parse(Bytes(mapping: folder + "/config.json")).object ?? JSONObject()
        let input = try CheckpointFile.open(folder + "/oracle.safetensors").source.tensor(named: "input").shape
        let graph = try ArchitectureResolver(library: []).choose(
            ArchitectureRequest(
                tensors: source.tensorInfos, inputShape: Array(input.dimensions.dropFirst()), config: config)
        ).graph
        let matrices = try CandidateMatrix.all(of: graph, tensors: source.tensorInfos, layers: .linear)
        let shape = try #require(graph.inputs.first?.shape), count = 11
        var generator = SeededGenerator(seed: 4)
        let inputs = (0..<count * shape.reduce(1, *)).map { _ in Float.random(in: -1...1, using: &generator) }
        let samples = try Samples(
            inputs: inputs, inputShape: shape, labels: (0..<count).map { Int32($0 % 2) }, count: count)
        let layout = StatisticsLayout(graph, tensors: source.tensorInfos, matrices: matrices)
        let weights = try ModelWeights(graph, source: source)
        let objective = try SampleObjective(
            graph, tensors: source.tensorInfos, layout: layout, samples: samples, estimator: .microBatch, batch: 4,
            seed: 2)
        let pass = CalibrationPass(objective, layout: layout, weights: weights)
        try pass.run(jobs: 2) { _ in }
        let whole = try pass.statistics()
        let layered = try LayerwisePass(
            graph, tensors: source.tensorInfos, weights: weights, matrices: matrices, data: .samples(samples))
        var seen = 0
        try layered.run(needsGram: false, jobs: 2) { matrix, inputs in
            let squares = try #require(whole.inputSquares[matrix.name])
            let means = try #require(whole.inputMeans[matrix.name])
            #expect(inputs.rows > count, "\(matrix.name)")
            for column in 0..<matrix.columns {
                let found = inputs.squares[column] / Double(inputs.rows)
                #expect(abs(found - Double(squares[column])) < 1e-4 * max(1, found), "\(matrix.name)")
                #expect(means[column] * means[column] <= squares[column] * 1.0001, "\(matrix.name)")
            }
            seen += 1
        }
        #expect(seen == matrices.count)
    }

    @Test func laterLayersSeeWhatEarlierOnesBecame() throws {
        let tiny = try TinyEncoder(), matrices = try tiny.matrices(.mlp)
        let weights = try ModelWeights(tiny.graph, source: tiny.source)
        let layered = try LayerwisePass(
            tiny.graph, tensors: tiny.infos, weights: weights, matrices: matrices,
            data: .texts(TinyEncoder.triplets(4).flatMap(\.texts), maximumLength: 12))
        try layered.run(needsGram: false, jobs: 1) { matrix, inputs in
            let memory = try weights.memory(of: matrix.name)
            if matrix.name.contains("intermediate") { for place in memory.indices { memory[place] = 0 } }
            guard matrix.name.contains(".output.dense") else { return }
            // gelu(bias) is all that is left: the same for every token.
            let name = matrix.name.replacing(".output.", with: ".intermediate.").replacing("weight", with: "bias")
            let own = try weights.memory(of: name)
            for column in 0..<matrix.columns {
                let x = Double(own[column])
                // GELU is below |x| in size and above zero's square.
                #expect(inputs.squares[column] / Double(inputs.rows) <= x * x + 1e-9)
            }
        }
    }

    @Test(arguments: [1, 2]) func convolutionsReadWindows(_ groups: Int) throws {
        // A convolution is the product of its windows with its weights.
        let node = GraphNode(
            name: "conv", op: .conv2d, inputs: ["image"], parameters: [.init(role: "weight", name: "w")],
            attributes: JSONObject([("stride", 2), ("padding", 1), ("groups", .int(Int64(groups)))]))
        let channels = 4, columns = 18 / groups
        let graph = ArchitectureGraph(
            name: "conv", inputs: [.init(name: "image", kind: .image, shape: [2, 5, 4])], nodes: [node],
            outputs: [.init(name: "out", node: "conv")])
        let infos = [TensorInfo(name: "w", dtype: .float32, shape: [channels, 2 / groups, 3, 3])]
        func numbers(_ count: Int, _ factor: Int, _ divisor: Int) -> [Double] {
            var list: [Double] = []
            for place in 0..<count { list.append(Double(place * factor % divisor) / Double(divisor) - 0.4) }
            return list
        }
        let image = numbers(16 * 40, 7919, 23).map { Float($0) }
        let weights = numbers(channels * columns, 31, 17)
        let lowered = try LoweredGraph(graph, tensors: infos, batch: 16)
        let program = lowered.builder.build([("out", try lowered.output("out", of: graph))])
        let outputs = try program.compiledReference().makeExecutor().evaluate([
            "image": image.map { Double($0) }, "w": weights,
        ])[0]
        let pixels = outputs.count / 16 / channels
        for group in 0..<groups {
            let rows = image.withUnsafeBufferPointer {
                InputRows($0, shape: [16, 2, 5, 4], mask: [], node: node, columns: columns, group: group)
            }
            #expect(rows.count == 16 * pixels)
            for row in 0..<rows.count {
                for channel in group * channels / groups..<(group + 1) * channels / groups {
                    var found = 0.0
                    for column in 0..<columns {
                        let value = Double(rows.values[row * columns + column])
                        found += value * weights[channel * columns + column]
                    }
                    let wanted = outputs[(row / pixels * channels + channel) * pixels + row % pixels]
                    #expect(abs(found - wanted) < 1e-6)
                }
            }
        }
    }

    /// What an unpruned convolution should give is what it gives: the products of outputs and inputs are W Σ x xᵀ.
    @Test(arguments: [1, 2]) func anchorsOfConvolutionsAreTheirOutputs(_ groups: Int) throws {
        let node = GraphNode(
            name: "conv", op: .conv2d, inputs: ["image"], parameters: [.init(role: "weight", name: "w")],
            attributes: JSONObject([("stride", 2), ("padding", 1), ("groups", .int(Int64(groups)))]))
        let graph = ArchitectureGraph(
            name: "conv", inputs: [.init(name: "image", kind: .image, shape: [2, 5, 4])], nodes: [node],
            outputs: [.init(name: "out", node: "conv")])
        let channels = 4, columns = 18 / groups
        var generator = SeededGenerator(seed: 9)
        let values = (0..<channels * columns).map { _ in Float.random(in: -1...1, using: &generator) }
        var state = StateDict()
        state["w"] = Tensor(values, shape: [channels, 2 / groups, 3, 3])
        let weights = try ModelWeights(graph, source: state)
        let images = (0..<70 * 40).map { _ in Float.random(in: -1...1, using: &generator) }
        let matrices = try CandidateMatrix.all(of: graph, tensors: state.tensorInfos, layers: .linear)
        let pass = try LayerwisePass(
            graph, tensors: state.tensorInfos, weights: weights, original: weights, matrices: matrices,
            data: .samples(
                try Samples(
                    inputs: images, inputShape: [2, 5, 4], labels: [Int32](repeating: 0, count: 70), count: 70)))
        var seen: [Int] = []
        try pass.run(needsGram: false, needsAnchors: true, jobs: 2) { matrix, inputs in
            let anchors = try #require(inputs.anchors)
            let first = inputs.outputs?.lowerBound ?? 0
            seen.append(first)
            #expect(anchors.rows == channels / groups && anchors.weight == 70 * 6)
            for output in 0..<anchors.rows {
                for column in 0..<columns {
                    let wanted = (0..<columns).reduce(0.0) {
                        $0 + Double(values[(first + output) * columns + $1]) * anchors.products[$1 * columns + column]
                    }
                    #expect(abs(anchors.crossProducts[output * columns + column] - wanted) < 1e-3)
                }
            }
        }
        #expect(seen == (groups == 1 ? [0] : [0, 2]))
    }
}
