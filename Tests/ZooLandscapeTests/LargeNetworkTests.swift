import Testing
import ZooBase
import ZooLandscape
import ZooNN
import ZooTensor
import ZooTestSupport

/// Curvature of networks so large that work is split inside one model, and of matrices with long rows.
@Suite struct LargeNetworkTests {
    /// A perceptron of 133,898 parameters on 40 samples: a little above the border.
    private func problem(jobs: Int) throws -> LossProblem {
        let graph = ArchitectureGraph(
            name: "wide", inputs: [GraphInput(name: "input", kind: .features, shape: [512])],
            nodes: [
                layer("first", "input"),
                GraphNode(
                    name: "bend", op: .activation, inputs: ["first"], attributes: JSONObject([("kind", "tanh")])),
                layer("last", "bend"),
            ], outputs: [GraphOutput(name: "logits", node: "last")])
        var generator = SeededGenerator(seed: 8)
        func numbers(_ count: Int, _ size: Float) -> [Float] {
            (0..<count).map { _ in Float.random(in: -size...size, using: &generator) }
        }
        var state = StateDict()
        state["first.weight"] = Tensor(numbers(256 * 512, 0.08), shape: [256, 512])
        state["first.bias"] = Tensor(numbers(256, 0.1), shape: [256])
        state["last.weight"] = Tensor(numbers(2560, 0.1), shape: [10, 256])
        state["last.bias"] = Tensor(numbers(10, 0.1), shape: [10])
        let samples = try Samples(
            inputs: numbers(40 * 512, 1), inputShape: [512], labels: (0..<40).map { Int32($0 * 7 % 10) }, count: 40)
        let batch = ModelSweep.suggestedBatch(graph, tensors: state.tensorInfos, samples: 40)
        #expect(batch == 32)
        return try ModelSweep(graph, tensors: state.tensorInfos, samples: samples, batch: batch)
            .problem(state, jobs: jobs)
    }

    private func layer(_ name: String, _ input: String) -> GraphNode {
        GraphNode(
            name: name, op: .linear, inputs: [input],
            parameters: ["weight", "bias"].map { GraphParameter(role: $0, name: "\(name).\($0)") },
            isHead: name == "last")
    }

    private func directions(_ count: Int, _ dimension: Int) -> [[Double]] {
        var generator = SeededGenerator(seed: 3)
        return (0..<count).map { _ in (0..<dimension).map { _ in Double.random(in: -1...1, using: &generator) } }
    }

    /// Products with activations kept, on one thread and on several, are those of whole runs.
    @Test(arguments: [PointCurvature.Matrix.hessian, .gaussNewton])
    func keptActivationsGiveTheSameProducts(_ matrix: PointCurvature.Matrix) throws {
        let whole = try problem(jobs: 1), along = directions(3, whole.layout.count)
        let wanted =
            matrix == .hessian
            ? try whole.hessianVectorProducts(at: whole.initial, along: along).products
            : try whole.gaussNewtonProducts(at: whole.initial, along: along).products
        let one = whole.curvature(matrix, at: whole.initial)
        #expect(one.isLarge)
        let found = try one.products(along: along)
        for (a, b) in zip(found, wanted) {
            let size = b.map(\.magnitude).max() ?? 0
            #expect(size > 0 && zip(a, b).allSatisfy { abs($0 - $1) <= 1e-6 * size })
        }
        // Again, one by one, and on more threads than there are batches: the same bits.
        for place in [2, 0, 1] {
            let again = try one.products(along: [along[place]])
            #expect(again == [found[place]])
        }
        for jobs in [2, 5] {
            let problem = try problem(jobs: jobs)
            let others = try problem.curvature(matrix, at: problem.initial).products(along: along)
            #expect(others == found)
        }
    }

    /// Eigenvalue and trace of a large network do not depend on the threads, and agree with its Frobenius moments.
    @Test func estimatesDoNotDependOnThreads() throws {
        let found = try [1, 3].map { jobs in
            let hessian = CurvatureOperator.hessian(try problem(jobs: jobs))
            let top = try LargestEigenvalues(hessian, count: 2)
            let plus = try TraceEstimator(hessian, method: .hutchPlusPlus, most: 12)
            return (top, try TraceEstimator(hessian, beside: top), plus)
        }
        #expect(found[0].0.values == found[1].0.values && found[0].0.topVector == found[1].0.topVector)
        #expect(found[0].1.samples == found[1].1.samples && found[0].2.trace == found[1].2.trace)
        #expect(found[0].0.values.allSatisfy { $0.isConverged })
        let power = try PowerIteration(.hessian(try problem(jobs: 2)), tolerance: 1e-6)
        #expect(abs(power.eigenvalues[0].value - found[0].0.values[0].value) < 1e-3 * found[0].0.values[0].value)
        let (beside, plus) = (found[0].1.trace, found[0].2.trace)
        let slack = 4 * ((beside.error ?? 0) + (plus.error ?? 0)) + 1e-3 * abs(beside.value)
        #expect(abs(beside.value - plus.value) <= slack)
    }

    /// What is estimated of a matrix.
    private struct Found: Equatable {
        var top: [Estimate], low: Estimate, plain: Estimate, beside: Estimate, plus: Estimate

        init(_ matrix: CurvatureOperator) throws {
            let largest = try LargestEigenvalues(matrix, count: 3, tolerance: 1e-6)
            top = largest.values
            low = try LargestEigenvalues.smallest(of: matrix, tolerance: 1e-4)
            plain = try TraceEstimator(matrix).trace
            beside = try TraceEstimator(matrix, beside: largest).trace
            plus = try TraceEstimator(matrix, method: .hutchPlusPlus, most: 9).trace
        }
    }

    /// Long diagonal matrices, whose eigenvalues and trace are known.
    @Test func longDiagonalMatrices() throws {
        let n = (1 << 17) + 77
        let values = (0..<n).map { (place: Int) -> Double in
            place < 5 ? 100 - 10 * Double(place) : Double(place % 97) / 97 - 0.2
        }
        let trace = values.reduce(0, +)
        func found(_ jobs: Int) throws -> Found {
            try Found(
                CurvatureOperator(dimension: n, blockSize: 2, jobs: jobs) { vectors in
                    vectors.map { vector in zip(vector, values).map { $0.0 * $0.1 } }
                })
        }
        let one = try found(1), two = try found(2)
        #expect(one == two)
        for (estimate, value) in zip(one.top, [100.0, 90, 80]) {
            #expect(abs(estimate.value - value) < 1e-4 && estimate.isConverged)
        }
        #expect(abs(one.low.value + 0.2) < 1e-3)
        // Random signs see a diagonal exactly; beside a space they do so but for what lies between both.
        #expect(abs(one.plain.value - trace) < 1e-9 * trace && one.plain.error == 0)
        for estimate in [one.beside, one.plus] {
            let error = try #require(estimate.error)
            #expect(abs(estimate.value - trace) <= 4 * error + 1e-6 * trace)
        }
    }

    @Test func infinityInALongProductIsRefused() throws {
        let n = 1 << 17
        let broken = CurvatureOperator(dimension: n, jobs: 2) { vectors in
            vectors.map { vector in
                var vector = vector
                vector[n - 1] = -.infinity
                return vector
            }
        }
        #expect(throws: ZooError.self) { try LargestEigenvalues(broken) }
    }

    /// Samples are split so that two threads or four have work, whatever their number.
    @Test func batchesOfLargeNetworks() throws {
        let small = LinearNetworks.graph(inputs: 8), large = LinearNetworks.graph(inputs: 1 << 17)
        func batch(_ graph: ArchitectureGraph, _ samples: Int) -> Int {
            let inputs = graph.inputs[0].shape[0]
            return ModelSweep.suggestedBatch(
                graph, tensors: [TensorInfo(name: "fc.weight", dtype: .float32, shape: [1, inputs])], samples: samples)
        }
        let few = [16, 64, 200, 5000].map { batch(small, $0) }
        #expect(few == [128, 128, 128, 128])
        let many = [5, 16, 17, 32, 48, 64, 128, 200, 256, 257, 5000].map { batch(large, $0) }
        #expect(many == [16, 16, 16, 16, 32, 16, 32, 112, 64, 32, 32])
    }
}
