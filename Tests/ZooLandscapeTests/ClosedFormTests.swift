import Testing
import ZooBase
import ZooLandscape
import ZooNN
import ZooTensor

/// Networks of one linear layer against closed forms: regression, logistic and softmax regression.
@Suite struct ClosedFormTests {
    private func near(_ found: [Double], _ wanted: [Double], _ tolerance: Double) -> Bool {
        found.count == wanted.count && zip(found, wanted).allSatisfy { abs($0 - $1) <= tolerance * max(1, abs($1)) }
    }

    /// L = mean (xθ − y)²: the target is a third input with weight −1, so the block of θ is (2/n) XᵀX.
    @Test func linearRegression() throws {
        let rows = [[1.0, 0, 1], [1, 1, 2], [1, 2, 2], [1, 3, 4]]
        let problem = try LinearNetworks.problem([[0, 0, -1]], rows, loss: LinearNetworks.squares)
        #expect(abs(try problem.loss(at: [0, 0, -1]) - 6.25) < 1e-6)
        #expect(abs(try problem.loss(at: [0.9, 0.9, -1]) - 0.175) < 1e-6)
        let block = CurvatureOperator.hessian(problem).block(0..<2)
        let spectrum = try FullSpectrum(block)
        #expect(near(spectrum.eigenvalues, [0.59487516, 8.40512484], 1e-5))
        #expect(abs(spectrum.trace - 9) < 1e-5)
        let gradient = try problem.gradient(at: [0.9, 0.9, -1]).gradient
        #expect(abs(gradient[0]) < 1e-6 && abs(gradient[1]) < 1e-6)
    }

    /// Two classes, the first row of the weights zero: the second row's block is the logistic Hessian.
    @Test func logisticRegression() throws {
        let rows = [[1.0, -2], [1, -1], [1, 1], [1, 2]]
        let problem = try LinearNetworks.problem([[0, 0], [0.5, 1]], rows, labels: [0, 1, 0, 1])
        let found = try problem.gradient(at: problem.initial)
        #expect(abs(found.loss - 0.7389483186) < 1e-6)
        #expect(near(Array(found.gradient[2...]), [0.07542062, 0.2308666], 1e-5))
        let spectrum = try FullSpectrum(CurvatureOperator.hessian(problem).block(2..<4))
        #expect(near(spectrum.eigenvalues, [0.130701, 0.3354368], 1e-5))
        #expect(abs(spectrum.trace - 0.4661377929) < 1e-5)
        let empirical = try FisherTrace.empirical(
            LinearNetworks.graph(inputs: 2), model: StateDict(problem), samples: problem.samples)
        // Both rows of the weights move, each with the same squared gradient.
        #expect(abs(empirical - 2 * 0.5767337406) < 1e-5)
    }

    @Test func softmaxRegression() throws {
        let rows = [[1.0, 2], [0, 1], [3, -1]]
        let zero = [[0.0, 0], [0, 0], [0, 0]]
        let problem = try LinearNetworks.problem(zero, rows, labels: [0, 1, 2])
        let spectrum = try FullSpectrum(.hessian(problem))
        #expect(near(spectrum.eigenvalues, [0, 0, 0.64043689, 0.64043689, 1.13734089, 1.13734089], 1e-5))
        #expect(abs(spectrum.trace - 32.0 / 9) < 1e-5)
        let fisher = try FisherTrace.exact(
            LinearNetworks.graph(inputs: 2), model: StateDict(problem), samples: problem.samples)
        #expect(abs(fisher - 3.5555556) < 1e-5)
    }

    /// L = ½(4u² + v²).
    @Test func sharpnessOfAQuadratic() throws {
        let rows = [[2.0, 0], [0, 1]]
        let problem = try LinearNetworks.problem([[1, 1]], rows, loss: LinearNetworks.squares)
        #expect(abs(try Sharpness.sam(problem) - 0.2109347) < 1e-5)
        let other = try LinearNetworks.problem([[2, 1]], rows, loss: LinearNetworks.squares)
        let rise = 2 * (2.0998053 * 2.0998053 - 4) + (1.0031189 * 1.0031189 - 1) / 2
        #expect(abs(try Sharpness.adaptive(other, radius: 0.05) - rise) < 1e-5)
        let minimum = try LinearNetworks.problem([[0, 0]], rows, loss: LinearNetworks.squares)
        let average = try Sharpness.average(minimum, deviation: 0.1, draws: 400)
        #expect(abs(average.value - 0.025) < 4 * (average.error ?? 0))
    }

    @Test func smallestEigenvaluesAndLogarithms() throws {
        let matrix = CurvatureOperator(dimension: 10) { vectors in
            vectors.map { vector in vector.enumerated().map { $0.element * ($0.offset == 9 ? -5 : 1) } }
        }
        let smallest = try LargestEigenvalues.smallest(of: matrix)
        #expect(abs(smallest.value + 5) < 1e-9 && smallest.isConverged)
        // Fewer steps than it takes: the number is flagged.
        let spread = CurvatureOperator(dimension: 200) { vectors in
            vectors.map { vector in vector.enumerated().map { $0.element * Double($0.offset + 1) } }
        }
        #expect(try !LargestEigenvalues.smallest(of: spread, maximumSteps: 5).isConverged)
        #expect(try !LargestEigenvalues(spread, maximumSteps: 4).values[0].isConverged)
    }

    /// The trace beside a Lanczos run is that of the whole matrix, with a smaller error from as many probes.
    @Test func whatLanczosHasSeenIsNotEstimated() throws {
        let n = 60
        var generator = SeededGenerator(seed: 4)
        var rows = (0..<n).map { _ in [Double](repeating: 0, count: n) }
        for strength in [100.0, 40, 10, 1, 0.5] {
            let vector = (0..<n).map { _ in Double.random(in: -1...1, using: &generator) }
            for i in 0..<n { for j in 0..<n { rows[i][j] += strength * vector[i] * vector[j] } }
        }
        let matrix = [rows][0]
        let exact = (0..<n).reduce(0) { $0 + matrix[$1][$1] }
        let hessian = CurvatureOperator(dimension: n) { vectors in
            vectors.map { vector in matrix.map { row in zip(row, vector).reduce(0) { $0 + $1.0 * $1.1 } } }
        }
        var outside = 0, errors = (beside: 0.0, plain: 0.0)
        for seed in 0..<100 {
            let largest = try LargestEigenvalues(hessian, tolerance: 0.3, maximumSteps: 2, seed: UInt64(seed))
            let beside = try TraceEstimator(hessian, beside: largest, tolerance: 0, most: 20, seed: UInt64(seed)).trace
            let plain = try TraceEstimator(hessian, tolerance: 0, most: 20, seed: UInt64(seed)).trace
            if abs(beside.value - exact) > 4 * (beside.error ?? 0) + 1e-9 * exact { outside += 1 }
            errors.beside += beside.error ?? 0
            errors.plain += plain.error ?? 0
        }
        #expect(outside <= 2 && errors.beside < 0.7 * errors.plain, "\(errors)")
        let all = try LargestEigenvalues(hessian, count: 5, maximumSteps: 12)
        let known = try TraceEstimator(hessian, beside: all).trace
        #expect(known.products == 10 && abs(known.value - exact) < 1e-6 * exact)
    }
}

extension StateDict {
    /// The weights of a problem of `LinearNetworks`.
    fileprivate init(_ problem: LossProblem) throws {
        var state = StateDict()
        for entry in problem.layout.entries {
            state[entry.name] = Tensor(problem.initial[entry.range].map { Float($0) }, shape: entry.shape)
        }
        self = state
    }
}
