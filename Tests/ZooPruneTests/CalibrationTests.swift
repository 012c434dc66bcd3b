import Testing
import ZooAutodiff
import ZooBase
import ZooNN
import ZooPrune
import ZooTensor

/// Gradients, Fisher information and the pass that sums them.
@Suite struct CalibrationTests {
    /// (θx − y)²/2 over batches of samples.
    private struct Line: CalibrationObjective {
        var samples: [[(x: Float, y: Float)]]
        var batchCount: Int { samples.count }
        var digest: UInt64 { 0 }
        func sampleCount(of batch: Int) -> Int { samples[batch].count }
        func inputRows(of batch: Int, _ matrix: CandidateMatrix) -> Int { samples[batch].count }
        func program(of batch: Int) throws -> CompiledProgram<Float> {
            let b = ProgramBuilder(), count = samples[batch].count
            let theta = b.parameter("theta", [1, 1]), x = b.data("x", [count, 1]), y = b.data("y", [count, 1])
            let error = try b.subtract(b.matmul(x, theta), y)
            let loss = b.affine(try b.mean(b.square(error)), scale: 0.5)
            return b.build([("loss", loss), ("gradient", try b.gradient(of: loss, withRespectTo: [theta])[0])])
                .compiled()
        }
        func withInputs(
            of batch: Int, _ program: Program, _ body: ([UnsafePointer<Float>], [UnsafePointer<Int32>]) throws -> Void
        ) throws {
            let x = samples[batch].map(\.x), y = samples[batch].map(\.y)
            try x.withUnsafeBufferPointer { x in
                try y.withUnsafeBufferPointer { y in
                    guard let x = x.baseAddress, let y = y.baseAddress else { return }
                    try body([x, y], [])
                }
            }
        }
    }

    private func line(_ samples: [[(x: Float, y: Float)]], theta: Float = 2) throws -> SideStatistics {
        var state = StateDict()
        state["theta"] = Tensor([theta], shape: [1, 1])
        let node = GraphNode(name: "l", op: .linear, inputs: ["x"], parameters: [.init(role: "weight", name: "theta")])
        let graph = ArchitectureGraph(
            name: "line", inputs: [.init(name: "x", kind: .features, shape: [1])], nodes: [node],
            outputs: [.init(name: "out", node: "l")])
        let layout = try StatisticsLayout(names: ["theta"], tensors: state.tensorInfos)
        let pass = CalibrationPass(
            Line(samples: samples), layout: layout, weights: try ModelWeights(graph, source: state))
        try pass.run(jobs: 2) { _ in }
        return try pass.statistics()
    }

    @Test func fisherOfALine() throws {
        let single = try line([[(1, 1)], [(2, 3)]])
        #expect(single.fisher == [2.5] && single.gradient == [1.5] && single.batches == 2 && single.samples == 2)
        let together = try line([[(1, 1), (2, 3)]])
        #expect(together.fisher == [2.25] && together.gradient == [1.5] && together.batches == 1)
        #expect(single.loss == 0.5 && together.loss == 0.5)
    }

    @Test func batchesThatAreNotFiniteAreCountedAndTooManyRefused() throws {
        let good = [[(x: Float, y: Float)]](repeating: [(1, 1)], count: 199)
        let found = try line(good + [[(.nan, 1)]])
        #expect(found.skippedBatches == 1 && found.batches == 199 && found.fisher == [1])
        #expect(throws: ZooError.self) { try line(Array(good.prefix(50)) + [[(.infinity, 1)]]) }
        #expect(throws: ZooError.self) { try line([[(.nan, 1)]]) }
    }

    @Test func lossOfTwoQueries() throws {
        let b = ProgramBuilder()
        let q = b.constant([1, 0, 0, 1], [2, 2]), d = b.constant([1, 0, 0.6, 0.8, 0, 1, 0.8, -0.6], [4, 2])
        let loss = try InfoNCE.loss(b, queries: q, documents: d, scale: 20)
        let scores = b.affine(try b.matmul(q, d, transposeB: true), scale: 20)
        let found = try b.build([("loss", loss), ("scores", scores)]).compiledReference().makeExecutor().evaluate([:])
        #expect(abs(found[0][0] - 2.018314617279988) < 1e-12)
        for (a, b) in zip(found[1], [20.0, 12, 0, 16, 0, 16, 20, -12]) { #expect(abs(a - b) < 1e-12) }
    }

    @Test func gradientsAreThoseOfDifferences() throws {
        let tiny = try TinyEncoder()
        let layout = StatisticsLayout(tiny.graph, tensors: tiny.infos, matrices: try tiny.matrices(), all: true)
        let objective = try tiny.objective(TinyEncoder.triplets(4), layout: layout)
        let program = try objective.plainProgram(of: 0)
        var arrays: [String: [Double]] = [:]
        for name in tiny.graph.parameterNames { arrays[name] = try tiny.source.tensor(named: name).doubles() }
        var integers: [String: [Int32]] = [:]
        try objective.withInputs(of: 0, program) { reals, indices in
            for (input, pointer) in zip(program.inputs(.data), reals) {
                arrays[input.name] = (0..<input.shape.elementCount).map { Double(pointer[$0]) }
            }
            for (input, pointer) in zip(program.inputs(.indices), indices) {
                integers[input.name] = (0..<input.shape.elementCount).map { pointer[$0] }
            }
        }
        let executor = program.compiledReference().makeExecutor()
        let outputs = try executor.evaluate(arrays, indices: integers)
        // Single precision, which scoring uses, gives the same to 1e-3.
        let single = try program.compiled().makeExecutor().evaluate(
            arrays.mapValues { $0.map { Float($0) } }, indices: integers)
        for (place, entry) in layout.entries.enumerated() {
            let exact = outputs[1 + place], scale = exact.reduce(1e-3) { max($0, abs($1)) }
            for (a, b) in zip(single[1 + place], exact) {
                #expect(abs(Double(a) - b) < 1e-3 * scale, "\(entry.name)")
            }
        }
        var generator = SeededGenerator(seed: 8)
        let step = 1e-5
        for (place, entry) in layout.entries.enumerated() {
            let scale = outputs[1 + place].map(abs).max() ?? 1
            for _ in 0..<(entry.name.contains("layer.0") || place < 6 ? 20 : 2) {
                let index = generator.below(entry.shape.elementCount)
                func loss(_ change: Double) throws -> Double {
                    var moved = arrays
                    moved[entry.name]?[index] += change
                    return try executor.evaluate(moved, indices: integers)[0][0]
                }
                let slope = try (loss(step) - loss(-step)) / (2 * step)
                let found = outputs[1 + place][index]
                #expect(abs(slope - found) < 1e-6 * max(scale, abs(found)) + 1e-9, "\(entry.name)[\(index)]")
            }
        }
    }

    private func pass(
        _ tiny: TinyEncoder, _ layout: StatisticsLayout, _ weights: ModelWeights, reference: [Float]?
    ) throws -> CalibrationPass {
        CalibrationPass(
            try tiny.objective(TinyEncoder.triplets(25), layout: layout), layout: layout, weights: weights,
            reference: reference)
    }

    @Test func threadsAndInterruptsChangeNothing() throws {
        let tiny = try TinyEncoder()
        let layout = StatisticsLayout(tiny.graph, tensors: tiny.infos, matrices: try tiny.matrices())
        let weights = try ModelWeights(tiny.graph, source: tiny.source)
        let first = try pass(tiny, layout, weights, reference: nil)
        try first.run(jobs: 1) { _ in }
        let reference = try first.statistics().gradient
        let whole = try pass(tiny, layout, weights, reference: reference)
        try whole.run(jobs: 1) { _ in }
        let wanted = try whole.statistics()
        #expect(wanted.samples == 25 && wanted.batches == 7 && !wanted.halves.isEmpty)
        for stop in 1...3 {
            let broken = try pass(tiny, layout, weights, reference: reference)
            var waves = 0
            #expect(throws: ZooError.self) {
                try broken.run(jobs: 2) { _ in
                    waves += 1
                    if waves == stop { throw ZooError(.interrupted, "stop") }
                }
            }
            let (tensors, counts) = broken.saved()
            var state = StateDict()
            for (name, tensor) in tensors { state["domain.sums.\(name)"] = tensor }
            let again = try pass(tiny, layout, weights, reference: reference)
            let json = try JSONParser.parse(JSONValue.object(counts).text()).object ?? JSONObject()
            try again.restore(state, prefix: "domain.sums.", counts: json)
            try again.run(jobs: 3) { _ in }
            let found = try again.statistics()
            #expect(found.fisher == wanted.fisher && found.gradient == wanted.gradient && found.loss == wanted.loss)
            #expect(found.conflicts == wanted.conflicts && found.halves == wanted.halves)
            #expect(found.inputSquares == wanted.inputSquares && found.inputMeans == wanted.inputMeans)
        }
    }

    @Test func falseNegativesAreHidden() throws {
        let tiny = try TinyEncoder()
        let layout = StatisticsLayout(tiny.graph, tensors: tiny.infos, matrices: try tiny.matrices())
        let weights = try ModelWeights(tiny.graph, source: tiny.source)
        func loss(_ triplets: [TokenTriplet]) throws -> Double {
            let pass = CalibrationPass(
                try tiny.objective(triplets, layout: layout, batch: triplets.count), layout: layout, weights: weights)
            try pass.run(jobs: 1) { _ in }
            return try pass.statistics().loss
        }
        // One text as the positive of both: nothing is left to tell apart.
        let same = TokenTriplet(query: [1, 2, 3], positive: [4, 5, 6])
        #expect(abs(try loss([same, TokenTriplet(query: [7, 8], positive: [4, 5, 6])])) < 1e-5)
        #expect(try loss([same, TokenTriplet(query: [7, 8], positive: [4, 5, 7])]) > 1e-3)
    }

    @Test func samplesOfTheirOwnShareNegatives() throws {
        let tiny = try TinyEncoder()
        let layout = StatisticsLayout(tiny.graph, tensors: tiny.infos, matrices: try tiny.matrices())
        let weights = try ModelWeights(tiny.graph, source: tiny.source)
        let objective = try tiny.objective(TinyEncoder.triplets(17), layout: layout, estimator: .perSample)
        let pass = CalibrationPass(objective, layout: layout, weights: weights)
        try pass.run(jobs: 2) { _ in }
        let found = try pass.statistics()
        #expect(found.batches == 17 && found.samples == 17 && found.loss > 0)
        #expect(found.fisher.contains { $0 > 0 })
        #expect(throws: ZooError.self) {
            try tiny.objective(TinyEncoder.triplets(9), layout: layout, estimator: .perSample)
        }
    }

    @Test func representativesAreDifferentAndSpread() throws {
        // Four clusters on a circle, of very different sizes: one of each is chosen.
        var generator = SeededGenerator(seed: 6)
        let sizes = [100, 5, 30, 2]
        let angles: [Float] = [0, 90, 180, 270]
        var points: [[Float]] = [], members: [Int] = []
        for (cluster, size) in sizes.enumerated() {
            for _ in 0..<size {
                let angle = (angles[cluster] + Float(generator.below(100)) / 20) * .pi / 180
                points.append([Float(cosine(Double(angle))), Float(cosine(Double(angle) - .pi / 2))])
                members.append(cluster)
            }
        }
        let chosen = try RepresentativeSampling.choose(4, of: points, seed: 3, jobs: 2)
        #expect(Set(chosen).count == 4 && Set(chosen.map { members[$0] }).count == 4)
        #expect(try RepresentativeSampling.choose(4, of: points, seed: 3, jobs: 1) == chosen)
        #expect(Set(try RepresentativeSampling.choose(100, of: points, seed: 3, jobs: 2)).count == 100)
    }

    /// Taylor's series: no library of mathematics is needed for a test of clusters.
    private func cosine(_ x: Double) -> Double {
        var term = 1.0, sum = 1.0
        for k in 1...20 {
            term *= -x * x / Double((2 * k - 1) * 2 * k)
            sum += term
        }
        return sum
    }
}
