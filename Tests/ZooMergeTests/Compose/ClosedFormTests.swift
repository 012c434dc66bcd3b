import Testing
import ZooBase
import ZooMerge
import ZooNN
import ZooTensor

/// Networks of three scalars with quadratic losses, whose optima are known (method page of task vectors, 12).
@Suite struct ClosedFormTests {
    private static let tau: [[Double]] = [[1, 3, 1], [2, 4, -1]]
    private static let curvature: [[Double]] = [[1, 0, 1], [0, 1, 1]]

    /// The coefficient space over blocks of the given sizes, all in Float64.
    private static func space(
        _ vectors: [[Double]], sizes: [Int], base: [Double]? = nil,
        granularity: CoefficientGroups.Granularity = .tensor,
        partition: PartitionHash? = nil
    ) throws -> CoefficientSpace<Double> {
        let names = sizes.indices.map { "b\($0)" }
        func state(_ flat: [Double]) -> StateDict {
            var state = StateDict(), start = 0
            for (name, size) in zip(names, sizes) {
                state[name] = Tensor(Array(flat[start..<start + size]), shape: [size])
                start += size
            }
            return state
        }
        let origin = state(base ?? [Double](repeating: 0, count: sizes.reduce(0, +)))
        let operands = try vectors.enumerated().map {
            try TaskOperand("t\($0)", .vector(state($1)), base: origin.tensorInfos)
        }
        return try CoefficientSpace(
            names: names, base: origin, buffers: [], operands: operands,
            groups: CoefficientGroups(trained: origin.tensorInfos, granularity: granularity), partition: partition)
    }

    /// Loss and gradient of a function of θ, through the space.
    private static func gradient(
        _ space: CoefficientSpace<Double>, _ values: [Double], _ loss: ([Double]) -> (Double, [Double])
    ) throws -> CoefficientLearner.Step {
        try space.compose(values)
        let flat = zip(space.theta.pointers, space.theta.sizes).flatMap { pointer, size in
            (0..<size).map { pointer[$0] }
        }
        var (value, slope) = loss(flat)
        var sums = [Double](repeating: 0, count: values.count)
        var start = 0
        try slope.withUnsafeBufferPointer { buffer in
            var pointers: [[UnsafePointer<Double>]?] = []
            for size in space.theta.sizes {
                pointers.append(buffer.baseAddress.map { [$0 + start] })
                start += size
            }
            try space.project(pointers, into: &sums)
        }
        slope = []
        return CoefficientLearner.Step(loss: value, gradient: sums)
    }

    private static func quadratic(_ x: [Double]) -> (Double, [Double]) {
        var loss = 0.0, slope = [0.0, 0, 0]
        for (h, t) in zip(curvature, tau) {
            for j in 0..<3 {
                loss += 0.5 * h[j] * (x[j] - t[j]) * (x[j] - t[j])
                slope[j] += h[j] * (x[j] - t[j])
            }
        }
        return (loss, slope)
    }

    private static func minimise(
        _ space: CoefficientSpace<Double>, rate: Double, steps: Int, optimiser: CoefficientOptions.Optimiser = .sgd,
        schedule: StepRule.Schedule = .constant, _ loss: @escaping ([Double]) -> (Double, [Double])
    ) throws -> (values: [Double], loss: Double) {
        var options = CoefficientOptions()
        options.optimiser = optimiser
        options.schedule = schedule
        options.rate = rate
        options.weightDecay = 0
        options.clip = nil
        options.rounds = 1
        options.stepsPerRound = steps
        var learner = CoefficientLearner(count: space.count, vectors: space.vectorNames.count, options: options)
        try learner.run(gradient: { try gradient(space, $1, loss) }, evaluate: nil)
        return (learner.state.best, try gradient(space, learner.state.best, loss).loss)
    }

    @Test func quadraticWorld() throws {
        let zero = try Self.space(Self.tau, sizes: [1, 1, 1])
        #expect(try Self.gradient(zero, [0, 0, 0, 0, 0, 0], Self.quadratic).loss == 9.5)
        let average = try Self.gradient(zero, [Double](repeating: 0.5, count: 6), Self.quadratic).loss
        #expect(abs(average - 1.25) < 1e-12)
        // One α for the sum of both.
        let sum = [zip(Self.tau[0], Self.tau[1]).map { $0 + $1 }]
        let shared = try Self.minimise(
            Self.space(sum, sizes: [1, 1, 1], granularity: .model), rate: 0.01, steps: 2000, Self.quadratic)
        #expect(abs(shared.values[0] - 31.0 / 58) < 1e-6 && abs(shared.loss - 1.2155172) < 1e-6)
        // One per task.
        let own = try Self.minimise(
            Self.space(Self.tau, sizes: [1, 1, 1], granularity: .model), rate: 0.02, steps: 20000, Self.quadratic)
        #expect(abs(own.values[0] - 7.0 / 12) < 1e-6 && abs(own.values[1] - 0.5) < 1e-6)
        #expect(abs(own.loss - 1.2083333333) < 1e-6)
        // One per task and block: from zero, the minimum-norm solution.
        let blocks = try Self.minimise(zero, rate: 0.02, steps: 20000, Self.quadratic)
        #expect(abs(blocks.loss - 1) < 1e-6)
        #expect(largestDifference(blocks.values, [0.2, 0.48, 0, 0.4, 0.64, 0]) < 1e-6)
        let adam = try Self.minimise(
            zero, rate: 0.02, steps: 6000, optimiser: .adamw, schedule: .cosine, Self.quadratic)
        #expect(abs(adam.loss - 1) < 1e-6)
    }

    @Test func gradientClippingAndFirstStep() throws {
        let space = try Self.space(Self.tau, sizes: [1, 1, 1])
        var found = try Self.gradient(space, [Double](repeating: 0, count: 6), Self.quadratic)
        #expect(found.gradient == [-1, -12, 0, -2, -16, 0])
        let step = found
        StepRule.clip(&found.gradient, to: 1)
        let expected = [-0.0496904, -0.5962848, 0, -0.0993808, -0.7950464, 0]
        #expect(largestDifference(found.gradient, expected) < 1e-7)
        var options = CoefficientOptions()
        options.rate = 0.01
        var learner = CoefficientLearner(count: 6, vectors: 2, options: options)
        try learner.step(step, number: 0)
        #expect(largestDifference(learner.state.values, [0.01, 0.01, 0, 0.01, 0.01, 0]) < 1e-8)
        #expect(learner.state.values[2] == 0 && learner.state.values[5] == 0)
    }

    @Test func blocksReachWhatOneScaleCannot() throws {
        let target = [2.0, 5]
        let loss: ([Double]) -> (Double, [Double]) = { x in
            let d = zip(x, target).map { $0 - $1 }
            return (0.5 * d.reduce(0) { $0 + $1 * $1 }, d)
        }
        let one = try Self.minimise(
            Self.space([[1, 2]], sizes: [1, 1], granularity: .model), rate: 0.1, steps: 500, loss)
        #expect(abs(one.values[0] - 2.4) < 1e-6 && abs(one.loss - 0.1) < 1e-6)
        let two = try Self.minimise(Self.space([[1, 2]], sizes: [1, 1]), rate: 0.1, steps: 1000, loss)
        #expect(largestDifference(two.values, [2, 2.5]) < 1e-6 && two.loss < 1e-6)
    }

    @Test func linearRegression() throws {
        // f(x) = xᵀθ, twelve inputs, three blocks of four, two vectors: the optimum solves the normal equations.
        let d = 12, vectors = [noise(1, d), noise(2, d)], base = noise(3, d), truth = noise(4, d)
        let factor = noise(5, d * d)
        var sigma = [Double](repeating: 0, count: d * d)
        for i in 0..<d {
            for j in 0..<d { for k in 0..<d { sigma[i * d + j] += factor[k * d + i] * factor[k * d + j] / 12 } }
        }
        func times(_ v: [Double]) -> [Double] {
            (0..<d).map { i in (0..<d).reduce(0) { $0 + sigma[i * d + $1] * v[$1] } }
        }
        let loss: ([Double]) -> (Double, [Double]) = { x in
            let e = zip(x, truth).map { $0 - $1 }, g = times(e)
            return (0.5 * zip(e, g).reduce(0) { $0 + $1.0 * $1.1 }, g)
        }
        var columns: [[Double]] = []
        for v in vectors { for j in 0..<3 { columns.append((0..<d).map { $0 / 4 == j ? v[$0] : 0 }) } }
        let error = zip(truth, base).map { $0 - $1 }
        var system = columns.map { a in columns.map { b in zip(a, times(b)).reduce(0) { $0 + $1.0 * $1.1 } } }
        var right = columns.map { a in zip(a, times(error)).reduce(0) { $0 + $1.0 * $1.1 } }
        for i in 0..<6 {
            for r in 0..<6 where r != i {
                let f = system[r][i] / system[i][i]
                for c in 0..<6 { system[r][c] -= f * system[i][c] }
                right[r] -= f * right[i]
            }
        }
        let expected = (0..<6).map { right[$0] / system[$0][$0] }
        let found = try Self.minimise(
            Self.space(vectors, sizes: [4, 4, 4], base: base), rate: 0.3, steps: 40000, loss)
        #expect(largestDifference(found.values, expected) < 1e-4)
    }

    @Test func identicalQuadraticsWantTheAverage() throws {
        let points = [noise(7, 5), noise(8, 5), noise(9, 5)]
        let sum = (0..<5).map { i in points.reduce(0) { $0 + $1[i] } }
        let found = try Self.minimise(
            Self.space([sum], sizes: [5], granularity: .model), rate: 0.05, steps: 3000
        ) { x in
            var loss = 0.0, slope = [Double](repeating: 0, count: 5)
            for point in points {
                for i in 0..<5 {
                    loss += 0.5 * (x[i] - point[i]) * (x[i] - point[i])
                    slope[i] += x[i] - point[i]
                }
            }
            return (loss, slope)
        }
        #expect(abs(found.values[0] - 1.0 / 3) < 1e-6)
    }

    /// L(λ) = −(a/2)(λ−1)² + (b/2)λ² with ‖τ‖ = 1: minimum −a/(b−a) when b > a; else the control rule must end it.
    @Test func negationMinimumAndEarlyStop() throws {
        func loss(_ a: Double, _ b: Double) -> ([Double]) -> (Double, [Double]) {
            { x in (-a / 2 * (x[0] - 1) * (x[0] - 1) + b / 2 * x[0] * x[0], [-a * (x[0] - 1) + b * x[0]]) }
        }
        let space = try Self.space([[1]], sizes: [1])
        #expect(abs(try Self.minimise(space, rate: 0.05, steps: 2000, loss(1, 3)).values[0] + 0.5) < 1e-6)
        var options = CoefficientOptions()
        options.rate = 0.05
        options.rounds = 100
        options.stepsPerRound = 5
        options.weightDecay = 0
        var learner = CoefficientLearner(count: 1, vectors: 1, options: options)
        try learner.run(
            gradient: { try Self.gradient(space, $1, loss(1, 0.5)) },
            evaluate: { _, values in
                // Accuracies that fall with |λ|.
                let control = 1 + 0.02 * values[0], target = 1 + 0.2 * values[0]
                return RoundScore(score: -target, isEligible: control >= 0.95, stops: control < 0.95)
            })
        #expect(learner.state.isStopped && learner.state.round < 100)
        #expect(learner.state.best[0] < -2 && learner.state.best[0] >= -2.5)
    }

    @Test func regularisers() {
        let values = [1.0, -2, 3, 0]
        #expect(CoefficientRegulariser(weight: 0.5, order: 1).value(values, vectors: 2) == 1.5)
        let second = CoefficientRegulariser(weight: 0.5, order: 2)
        #expect(abs(second.value(values, vectors: 2) - 1.2905694) < 1e-7)
        for rule in [CoefficientRegulariser(weight: 0.5, order: 1), second] {
            var gradient = [0.0, 0, 0, 0]
            rule.addGradient(values, vectors: 2, to: &gradient)
            for place in 0..<3 {
                var up = values, down = values
                up[place] += 1e-6
                down[place] -= 1e-6
                let slope = (rule.value(up, vectors: 2) - rule.value(down, vectors: 2)) / 2e-6
                #expect(abs(slope - gradient[place]) < 1e-6)
            }
        }
    }

    @Test func cosineSchedule() {
        let rates = [0, 5, 9].map { StepRule.rate(0.1, .cosine, step: $0, of: 10) }
        #expect(largestDifference(rates, [0.1, 0.05, 0.00244717]) < 1e-8)
    }

    @Test func pseudoLabels() {
        let p = PseudoLabels.softmax([2, 0, -1])
        #expect(largestDifference(p, [0.8437947, 0.1141952, 0.0420101]) < 1e-7)
        let prediction = [0.6, 0.3, 0.1]
        let printed = PseudoLabels.sharpened(prediction, exponent: 0.5)
        #expect(largestDifference(printed, [0.4727339, 0.3342733, 0.1929928]) < 1e-7)
        let sharp = PseudoLabels.sharpened(prediction, exponent: 2)
        #expect(largestDifference(sharp, [0.7826087, 0.1956522, 0.0217391]) < 1e-7)
        let loss = PseudoLabels.loss(printed, [0.5, 0.3, 0.2], threshold: 0.4)
        #expect(abs((loss ?? 0) - 1.0407401) < 1e-7)
        #expect(PseudoLabels.loss(printed, [0.5, 0.3, 0.2], threshold: 0.9) == nil)
        #expect(PseudoLabels.loss(sharp, [0.5, 0.3, 0.2], threshold: 0.9) == nil)
        #expect(PseudoLabels.threshold(step: 0, of: 10) == 0.9 && PseudoLabels.threshold(step: 10, of: 10) == 1)
        let trusted = PseudoLabels.trusted([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]], limit: 1)
        #expect(trusted.map(\.place) == [0, 2] && trusted.map(\.label) == [0, 1])
    }

    @Test func selectionRules() {
        #expect(DisentanglementError.share([0, 1, 1, 2], [0, 1, 2, 2]) == 0.25)
        #expect(abs(ScalingSearch.normalised([0.6, 0.9], single: [0.8, 0.9]) - 0.875) < 1e-12)
        #expect(ScalingSearch.best([0.7, 0.8, 0.8]) == 1)
        #expect(ScalingSearch.best([.nan, .nan]) == nil)
        // Control must keep 95 %; strictly lower replaces.
        let target = [0.9, 0.5, 0.5, 0.1], control = [0.9, 0.88, 0.87, 0.5]
        #expect(ScalingSearch.bestNegation(target: target, control: control, baseControl: 0.9) == 1)
        #expect(ScalingSearch.bestNegation(target: [0.5], control: [0.1], baseControl: 0.9) == nil)
        let descent = try? ScalingSearch.coordinateDescent(tasks: 2, start: [0, 0]) { choices in
            choices.map { -abs($0[0] - 0.4) - abs($0[1] - 0.75) }
        }
        #expect(descent?.scales == [0.4, 0.75])
    }

    @Test func partsOfABlock() throws {
        let tau = noise(11, 500), slope = noise(12, 500)
        let hash = PartitionHash(count: 4, seed: 7)
        let loss: ([Double]) -> (Double, [Double]) = { _ in (0, slope) }
        let plain = try Self.gradient(Self.space([tau], sizes: [500]), [0.3], loss).gradient
        let space = try Self.space([tau], sizes: [500], partition: hash)
        let parts = try Self.gradient(space, [0.3, 0.3, 0.3, 0.3], loss).gradient
        #expect(parts.count == 4 && abs(parts.reduce(0, +) - plain[0]) < 1e-12)
        // Each element is moved by the coefficient of its part.
        try space.compose([1, 2, 3, 4])
        let key = hash.key(TensorInfo(name: "b0", dtype: .float64, shape: [500]))
        for index in 0..<500 {
            let expected = Double(hash.part(key, index) + 1) * tau[index]
            #expect(abs(space.theta.pointers[0][index] - expected) < 1e-12)
        }
        let counts = (0..<4).map { part in (0..<500).count { hash.part(key, $0) == part } }
        #expect(counts.allSatisfy { $0 > 90 && $0 < 160 })
        // K = 1 is the plain method.
        let single = try Self.space([tau], sizes: [500], partition: PartitionHash(count: 1, seed: 7))
        #expect(try Self.gradient(single, [0.3], loss).gradient == plain)
    }

    @Test func orderOfVectorsPermutesRows() throws {
        let forward = try Self.minimise(Self.space(Self.tau, sizes: [1, 1, 1]), rate: 0.02, steps: 100, Self.quadratic)
        let backward = try Self.minimise(
            Self.space(Self.tau.reversed(), sizes: [1, 1, 1]), rate: 0.02, steps: 100, Self.quadratic)
        let swapped = Array(backward.values[3...] + backward.values[..<3])
        #expect(largestDifference(forward.values, swapped) < 1e-12)
    }

    @Test func lowRankGradient() throws {
        let b = Tensor(noise(21, 10), shape: [5, 2]).converted(to: .float32)
        let a = Tensor(noise(22, 8), shape: [2, 4]).converted(to: .float32)
        let factors = try LowRankFactors(b: b, a: a, scale: 1.5, shape: [5, 4], isTransposed: false, name: "w")
        let gradient = noise(23, 20)
        let product = ScalarBlock<Double>(sizes: [20])
        factors.fill(0..<20, product.pointers[0])
        let formed = (0..<20).reduce(0.0) { $0 + gradient[$1] * product.pointers[0][$1] }
        let found = gradient.withUnsafeBufferPointer { $0.baseAddress.map { factors.inner($0) } ?? 0 }
        #expect(abs(found - formed) < 1e-12)
        // Any run of elements is a part of the whole.
        let part = ScalarBlock<Double>(sizes: [9])
        factors.fill(3..<12, part.pointers[0])
        for index in 0..<9 { #expect(part.pointers[0][index] == product.pointers[0][index + 3]) }
        let turned = try LowRankFactors(b: b, a: a, scale: 1.5, shape: [4, 5], isTransposed: true, name: "w")
        let other = ScalarBlock<Double>(sizes: [20])
        turned.fill(0..<20, other.pointers[0])
        for i in 0..<5 {
            for j in 0..<4 { #expect(abs(other.pointers[0][j * 5 + i] - product.pointers[0][i * 4 + j]) < 1e-12) }
        }
        #expect(throws: ZooError.self) {
            try LowRankFactors(b: b, a: a, scale: 1, shape: [4, 5], isTransposed: false, name: "w")
        }
    }

    @Test func batchesArePureFunctionsOfTheStep() throws {
        let plan = try BatchPlan(counts: [10, 25], batch: 8, seed: 3)
        #expect(plan.share == 4 && plan.stepsPerEpoch == 3)
        var cursor = BatchCursor(plan)
        var seen: [Int] = []
        for step in 0..<3 {
            let places = cursor.places(step: step)
            #expect(places == plan.places(step: step))
            seen += places[0]
        }
        #expect(seen.sorted() == Array(0..<10))
        #expect(plan.places(step: 3) != plan.places(step: 0))
        let few = try BatchPlan(counts: [20], batch: 128, seed: 0, oversampled: true)
        #expect(few.stepsPerEpoch >= 10)
        #expect(throws: ZooError.self) { try BatchPlan(counts: [0, 3], batch: 8, seed: 0) }
    }

    @Test func statesAreReadBackToTheBit() throws {
        var state = CoefficientState(count: 2)
        state.values = [0.1, -1e-300]
        state.best = [1.0 / 3, 0]
        state.memory.mean = [1e-9, 2]
        state.memory.square = [0, 3]
        state.memory.steps = 5
        state.round = 2
        state.bestScore = 0.7
        state.history = [
            CoefficientRound(
                round: 2, loss: 0.25, parts: [0.5], score: 0.5, metrics: ["a": 1.5], norm: 2, isKept: true)
        ]
        let text = JSONValue.object(state.json).text()
        let back = try CoefficientState(json: JSONParser.parse(text), count: 2)
        #expect(back == state)
        #expect(throws: ZooError.self) { try CoefficientState(json: JSONParser.parse(text), count: 3) }
    }

    @Test func selectionByGradient() {
        let gradient = [1.0, -9, 0, 2, 1, 0, -3, 2, 0]
        let blocks = VectorSelection.gradientBlockwise.choose(budget: 1, vectors: 3, groups: 3, gradient: gradient)
        #expect(blocks == [[1], [], [0]])
        let whole = VectorSelection.gradientWhole.choose(budget: 1, vectors: 3, groups: 3, gradient: gradient)
        #expect(whole == [[0, 1, 2], [], []])
        let random = VectorSelection.random.choose(budget: 2, vectors: 3, groups: 1, seed: 4)
        #expect(random.count { !$0.isEmpty } == 2)
        let features = VectorSelection.features.choose(budget: 1, vectors: 3, groups: 1, similarity: [0.1, 0.9, 0.9])
        #expect(features == [[], [0], []])
    }
}
