import Testing
import ZooAutodiff
import ZooBase
import ZooFormats
import ZooNN
import ZooTensor
import ZooTestSupport

/// Sweeps over tokens and over the points of a physics-informed loss: losses, gradients and Hessian-vector products
/// against PyTorch's numbers and the Float64 reference.
@Suite struct SweepFormTests {
    private func close(_ found: [Double], _ wanted: [Double], _ tolerance: Double) -> Bool {
        let size = wanted.map(\.magnitude).max() ?? 0
        return found.count == wanted.count
            && zip(found, wanted).allSatisfy { abs($0 - $1) <= tolerance * max(size, 1e-6) }
    }

    @Test func physicsInformedLoss() throws {
        let oracle = try ArchitectureOracle("pinn")
        func values(_ name: String) throws -> [Double] { try oracle.expected.tensor(named: name).doubles() }
        let points = ConvectionPoints(
            inner: try values("inner"), initial: try values("initial"), target: try values("target"),
            left: try values("left"), right: try values("right"))
        let sweep = try ModelSweep(
            oracle.graph(), tensors: oracle.source.tensorInfos,
            convection: ConvectionLoss(beta: try #require(oracle.config["beta"]?.double)), points: points)
        let problem = try sweep.problem(oracle.source, jobs: 2)
        let names = sweep.layout.entries.map(\.name)
        let direction = try names.flatMap { try values("v." + $0) }
        let found = try problem.hessianVectorProducts(
            at: problem.initial, along: [direction, direction.map { -2 * $0 }])
        #expect(abs(found.loss - (try values("loss"))[0]) < 1e-5 * found.loss)
        #expect(close(found.gradient, try names.flatMap { try values("grad." + $0) }, 1e-5))
        let product = try names.flatMap { try values("hvp." + $0) }
        #expect(close(found.products[0], product, 1e-5))
        #expect(close(found.products[1], product.map { -2 * $0 }, 1e-5))
        #expect(abs(try problem.loss(at: problem.initial) - found.loss) < 1e-6)
        #expect(!problem.hasAccuracy)
        #expect(throws: ZooError.self) { try problem.evaluation(at: problem.initial) }
        #expect(throws: ZooError.self) { try problem.gaussNewtonProducts(at: problem.initial, along: [direction]) }
        let drawn = ConvectionPoints.drawn(inner: 20, initial: 5, boundary: 3, seed: 1)
        #expect(drawn == ConvectionPoints.drawn(inner: 20, initial: 5, boundary: 3, seed: 1))
        #expect(drawn.inner.count == 40 && drawn.target.count == 5 && drawn.left.count == drawn.right.count)
    }

    /// Sequences of several lengths in several batches, against one Float64 program of all.
    @Test(arguments: ["gpt2", "llama"])
    func nextTokens(_ name: String) throws {
        let oracle = try ArchitectureOracle(name)
        let graph = try oracle.graph(), infos = oracle.source.tensorInfos
        var generator = SeededGenerator(seed: 9)
        let vocabulary = 20
        let sequences = [5, 7, 3, 7, 2].map { length in (0..<length).map { _ in Int32(generator.below(vocabulary)) } }
        let tokens = try TokenBatch(sequences)
        let sweep = try ModelSweep(graph, tensors: infos, tokens: tokens, batch: 2)
        let problem = try sweep.problem(oracle.source, jobs: 2)
        let direction = (0..<sweep.layout.count).map { _ in Double.random(in: -1...1, using: &generator) }
        let found = try problem.hessianVectorProducts(at: problem.initial, along: [direction])

        let lowered = try LoweredGraph(graph, tensors: infos, batch: tokens.count, sequenceLength: tokens.length)
        let b = lowered.builder
        let loss = try lowered.languageModelLoss(of: graph)
        let known = Dictionary(lowered.parameters.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first })
        let weights = try sweep.layout.entries.map { try #require(known[$0.name]) }
        let directions = weights.enumerated().map { b.direction("v\($0.offset)", $0.element.shape) }
        let gradient = try b.gradient(of: loss, withRespectTo: weights)
        let product = try b.tangents(of: gradient, along: Array(zip(weights, directions)))
        let program = b.build([("loss", loss)] + (gradient + product).map { ("d", $0) }).compiledReference()
        var arrays: [String: [Double]] = [
            "mask": tokens.mask.map(Double.init), "label_weights": tokens.labelWeights.map(Double.init),
        ]
        for parameter in lowered.parameters {
            arrays[parameter.name] = try oracle.source.tensor(named: parameter.name).doubles()
        }
        for (place, entry) in sweep.layout.entries.enumerated() { arrays["v\(place)"] = Array(direction[entry.range]) }
        let reference = try program.makeExecutor().evaluate(
            arrays, indices: ["tokens": tokens.ids, "labels": tokens.labels])
        let count = sweep.layout.entries.count
        #expect(abs(found.loss - reference[0][0]) < 1e-5 * reference[0][0])
        #expect(close(found.gradient, reference[1...count].flatMap { $0 }, 1e-4))
        #expect(close(found.products[0], reference[(count + 1)...].flatMap { $0 }, 1e-4))
        #expect(abs(try problem.loss(at: problem.initial) - found.loss) < 1e-6)
        let evaluation = try problem.evaluation(at: problem.initial)
        #expect(evaluation.count == sequences.reduce(0) { $0 + $1.count - 1 })
        #expect(try problem.logitRows(at: problem.initial).shape[0] == evaluation.count)
        #expect(problem.rowLabels.count == evaluation.count)
        // The Fisher matrix is the Gauss–Newton matrix of cross-entropy: not negative along any direction.
        let fisher = try problem.gaussNewtonProducts(at: problem.initial, along: [direction]).products[0]
        #expect(zip(fisher, direction).reduce(0) { $0 + $1.0 * $1.1 } >= 0)
        #expect(throws: ZooError.self) { try problem.exampleGradients(at: problem.initial, samples: 0..<1) }
        #expect(throws: ZooError.self) {
            try ModelSweep(graph, tensors: infos, tokens: TokenBatch([[1_000_000, 2]])).batch
        }
        #expect(throws: ZooError.self) { try ModelSweep(graph, tensors: infos, tokens: TokenBatch([[1], [2]])).batch }
    }

    /// Images through a vision transformer and a residual network.
    @Test(arguments: ["vit", "resnet18"])
    func imageNetworks(_ name: String) throws {
        let oracle = try ArchitectureOracle(name)
        let graph = try oracle.graph(), infos = oracle.source.tensorInfos
        let shape = try #require(graph.inputs.first?.shape)
        var generator = SeededGenerator(seed: 3)
        let size = shape.reduce(1, *), count = 3
        let inputs = (0..<count * size).map { _ in Float.random(in: -1...1, using: &generator) }
        let samples = try Samples(inputs: inputs, inputShape: shape, labels: [0, 1, 1], count: count)
        let sweep = try ModelSweep(graph, tensors: infos, samples: samples)
        let problem = try sweep.problem(oracle.source)
        let direction = (0..<sweep.layout.count).map { _ in Double.random(in: -1...1, using: &generator) }
        let found = try problem.hessianVectorProducts(at: problem.initial, along: [direction])

        let lowered = try LoweredGraph(graph, tensors: infos, batch: count)
        let b = lowered.builder
        let loss = try b.mean(
            b.crossEntropy(lowered.output("logits", of: graph), labels: b.indices("labels", [count])))
        let known = Dictionary(lowered.parameters.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first })
        let weights = try sweep.layout.entries.map { try #require(known[$0.name]) }
        let directions = weights.enumerated().map { b.direction("v\($0.offset)", $0.element.shape) }
        let result = try b.hessianVectorProduct(of: loss, withRespectTo: weights, along: directions)
        let program = b.build([("loss", loss)] + (result.gradient + result.product).map { ("d", $0) })
            .compiledReference()
        var arrays: [String: [Double]] = [try #require(graph.inputs.first?.name): inputs.map(Double.init)]
        for parameter in lowered.parameters {
            arrays[parameter.name] = try oracle.source.tensor(named: parameter.name).doubles()
        }
        for (place, entry) in sweep.layout.entries.enumerated() { arrays["v\(place)"] = Array(direction[entry.range]) }
        let reference = try program.makeExecutor().evaluate(arrays, indices: ["labels": samples.labels])
        let tensors = sweep.layout.entries.count
        #expect(abs(found.loss - reference[0][0]) < 1e-5 * max(1, reference[0][0]))
        #expect(close(found.gradient, reference[1...tensors].flatMap { $0 }, 1e-4))
        #expect(close(found.products[0], reference[(tensors + 1)...].flatMap { $0 }, 2e-4))
    }
}
