import Testing
import ZooBase
import ZooFormats
import ZooNN
import ZooPrune
import ZooTensor
import ZooTestSupport

/// Anchored least squares against closed forms and laws.
@Suite struct AnchoredTests {
    private static let columns = 24, rows = 10

    private func normal(_ generator: inout SeededGenerator) -> Double {
        (0..<12).reduce(-6.0) { sum, _ in sum + Double(generator.next() >> 11) / 9_007_199_254_740_992 }
    }

    private func randoms(_ count: Int, seed: UInt64) -> [Double] {
        var generator = SeededGenerator(seed: seed)
        return (0..<count).map { _ in normal(&generator) }
    }

    /// Correlated inputs, n × columns.
    private func inputs(_ count: Int, seed: UInt64) -> [Double] {
        let columns = Self.columns, mixing = randoms(columns * columns, seed: seed)
        let plain = randoms(count * columns, seed: seed + 1)
        return (0..<count * columns).map { place in
            let row = place / columns, column = place % columns
            return plain[place]
                + (0..<columns).reduce(0) { $0 + plain[row * columns + $1] * mixing[$1 * columns + column] / 4 }
        }
    }

    private func gram(_ x: [Double]) -> [Double] {
        let columns = Self.columns, count = x.count / columns
        return (0..<columns * columns).map { place in
            (0..<count).reduce(0) {
                $0 + x[$1 * columns + place / columns] * x[$1 * columns + place % columns] / Double(count)
            }
        }
    }

    private func applied(_ weights: [Double], _ hessian: [Double]) -> [Double] {
        let columns = Self.columns
        return weights.indices.map { place in
            (0..<columns).reduce(0) {
                $0 + weights[place / columns * columns + $1] * hessian[$1 * columns + place % columns]
            }
        }
    }

    private func lowest(_ share: Double) -> ([Double]) -> [Bool] {
        { MaskSelection.lowest($0, Int(share * Double($0.count))) }
    }

    @Test func identityIsMagnitude() throws {
        let weights = randoms(Self.rows * Self.columns, seed: 1)
        var identity = [Double](repeating: 0, count: Self.columns * Self.columns)
        for column in 0..<Self.columns { identity[column * Self.columns + column] = 1 }
        let problem = SparseLeastSquares(
            hessian: identity, targets: weights, rows: Self.rows, columns: Self.columns)
        let found = try problem.solve(from: weights, choose: lowest(0.7))
        #expect(found.pruned == MaskSelection.lowest(weights.map(abs), 168))
        for (place, weight) in found.weights.enumerated() {
            #expect(abs(weight - (found.pruned[place] ? 0 : weights[place])) < 1e-5)
        }
    }

    @Test func keptWeightsSolveTheNormalEquations() throws {
        let hessian = gram(inputs(200, seed: 3)), weights = randoms(Self.rows * Self.columns, seed: 4)
        let targets = applied(weights, hessian)
        for jobs in [1, 3] {
            let problem = SparseLeastSquares(
                hessian: hessian, targets: targets, rows: Self.rows, columns: Self.columns, jobs: jobs)
            let found = try problem.solve(from: weights, choose: lowest(0.7))
            #expect(found.pruned.count { $0 } == 168)
            let given = applied(found.weights, hessian)
            let largest = targets.reduce(0) { max($0, abs($1)) }
            for place in given.indices where !found.pruned[place] {
                #expect(abs(given[place] - targets[place]) < 2e-3 * largest)
            }
        }
    }

    @Test func nothingPrunedIsTheSolution() throws {
        let hessian = gram(inputs(200, seed: 5)), weights = randoms(Self.rows * Self.columns, seed: 6)
        let start = randoms(Self.rows * Self.columns, seed: 7)
        let found = try SparseLeastSquares(
            hessian: hessian, targets: applied(weights, hessian), rows: Self.rows, columns: Self.columns
        ).solve(from: start, choose: lowest(0))
        let difference = zip(found.weights, weights).map { $0 - $1 }
        func size(_ v: [Double]) -> Double { zip(applied(v, hessian), v).reduce(0) { $0 + $1.0 * $1.1 } }
        #expect(size(difference) < 1e-4 * size(weights))
    }

    /// On the same inputs the squared error of the outputs is below SparseGPT's and Wanda's.
    @Test(arguments: [UInt64(10), 20, 30])
    func errorIsBelowSparseGPTs(_ seed: UInt64) throws {
        let x = inputs(300, seed: seed), hessian = gram(x), count = Self.rows * Self.columns
        let weights = randoms(count, seed: seed + 5)
        func error(_ found: [Double]) -> Double {
            let difference = zip(found, weights).map { $0 - $1 }
            return zip(applied(difference, hessian), difference).reduce(0) { $0 + $1.0 * $1.1 }
        }
        let squares = (0..<Self.columns).map { hessian[$0 * Self.columns + $0] * 300 }
        let layer = LayerInputs(columns: Self.columns, rows: 300, squares: squares, products: hessian.map { $0 * 300 })
        var settings = PruneSettings()
        settings.sparsity = 0.7
        var errors: [Double] = []
        for method in [SparseGPT(settings), Wanda(settings)] as [any LayerwiseMethod] {
            var problem = LayerProblem(
                CandidateMatrix(name: "w", rows: Self.rows, columns: Self.columns), weights: weights, inputs: layer,
                sparsity: 0.7, group: type(of: method).defaultGroup)
            try method.prune(&problem)
            errors.append(error(problem.weights))
        }
        let found = try SparseLeastSquares(
            hessian: hessian, targets: applied(weights, hessian), rows: Self.rows, columns: Self.columns
        ).solve(from: weights, choose: lowest(0.7))
        #expect(error(found.weights) < errors[0] && error(found.weights) < errors[1])
    }

    @Test func anchorsWeighRowsAndKnowTheBias() throws {
        var anchors = LayerAnchors(rows: 1, columns: 2)
        try anchors.add([1, 2, 3, 4], [10, 20], weights: [1, 0.5])
        #expect(anchors.weight == 1.5 && anchors.inputs == [2.5, 4] && anchors.outputs == [20])
        #expect(anchors.products == [5.5, 8, 8, 12] && anchors.crossProducts == [40, 60])
        var twice = anchors
        twice.add(anchors)
        #expect(twice.weight == 3 && twice.crossProducts == [80, 120])
    }

    /// Layer by layer without pruning a network stays as it is: every layer gives what it gave.
    @Test func nothingPrunedLeavesTheNetwork() throws {
        let folder = Repository.path("Tests/ZooNNTests/Fixtures/architectures/minilm")
        let source = try CheckpointFile.open(folder).source
        let config = try JSONParser.parse(Bytes(mapping: folder + "/config.json")).object ?? JSONObject()
        let graph = try ArchitectureResolver().choose(
            ArchitectureRequest(tensors: source.tensorInfos, config: config)
        ).graph
        let matrices = try CandidateMatrix.all(of: graph, tensors: source.tensorInfos, layers: .mlp)
        var generator = SeededGenerator(seed: 2)
        let texts = (0..<60).map { _ in (0..<3 + generator.below(7)).map { _ in Int32(1 + generator.below(36)) } }
        var settings = PruneSettings()
        settings.damping = 1e-3
        for (sparsity, tolerance) in [(0.0, 0.02), (0.3, 0.5)] {
            let weights = try ModelWeights(graph, source: source)
            let pass = try LayerwisePass(
                graph, tensors: source.tensorInfos, weights: weights,
                original: ModelWeights(graph, source: source), matrices: matrices,
                data: .texts(texts, maximumLength: 9))  // Fewer tokens than positions.
            settings.sparsity = sparsity
            let method = Anchored(settings)
            try pass.run(needsGram: false, needsAnchors: true, jobs: 2) { matrix, inputs in
                let memory = try weights.memory(of: matrix.name)
                var layer = LayerProblem(
                    matrix, weights: memory.map(Double.init), inputs: inputs, sparsity: sparsity, group: .tensor)
                let bias = try weights.memory(of: #require(matrix.bias))
                layer.bias = bias.map(Double.init)
                try method.prune(&layer)
                #expect(layer.pruned.count { $0 } == Int(sparsity * Double(matrix.count)))
                for place in memory.indices { memory[place] = Float(layer.weights[place]) }
                for (row, value) in (layer.bias ?? []).enumerated() { bias[row] = Float(value) }
            }
            let before = try TextEncoder(graph, source: source).embed(texts)
            let after = try TextEncoder(graph, source: weights.state(over: source)).embed(texts)
            let distance = zip(before, after).reduce(0.0) { $0 + 1 - Geometry.cosine($1.0, $1.1) } / 60
            #expect(distance < tolerance, "sparsity \(sparsity)")
        }
    }
}
