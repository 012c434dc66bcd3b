import Testing
import ZooBase
import ZooMerge
import ZooTensor
import ZooTestSupport

/// Soups over state dicts whose score is known in closed form.
@Suite struct SoupTests {
    private func state(_ values: [Double], counter: Int64 = 3) -> StateDict {
        var state = StateDict()
        state["w"] = Tensor(values.map { Float($0) }, shape: [values.count])
        state["n"] = Tensor([counter], shape: [1])
        return state
    }

    /// −(w − target)²: the best soup is the mean nearest to the target.
    private func score(_ state: StateDict, target: Double) throws -> Double {
        let value = try state.tensor(named: "w").doubles()[0]
        return -(value - target) * (value - target)
    }

    private func greedy(
        _ values: [Double], target: Double, _ options: GreedySoup.Options = .init()
    ) throws -> GreedySoup {
        let states = values.map { state([$0]) }
        return try GreedySoup(
            scores: states.map { try score($0, target: target) }, options: options, open: { states[$0] },
            evaluate: { try $0.map { try score($0, target: target) } })
    }

    @Test func candidatesEnterBestFirstWhenTheyHelp() throws {
        // Best alone is 4 (distance 1); with 7 the mean is 5.5 (0.5), with 1 it is 4 (1, worse); with 6 it is 17/3.
        let soup = try greedy([1, 4, 6.5, 7], target: 5)
        #expect(soup.order == [1, 2, 3, 0])
        // 4 and 6.5: 5.25. Adding 7: 5.83, refused. Adding 1: 3.83, refused.
        #expect(soup.ingredients == [1, 2])
        #expect(soup.steps.map(\.isAccepted) == [true, true, false, false])
        #expect(abs(soup.score + 0.0625) < 1e-12)
    }

    @Test func theSoupIsNeverWorseThanTheBestSingle() throws {
        var generator = SeededGenerator(seed: 5)
        for _ in 0..<50 {
            let values = (0..<8).map { _ in Double.random(in: -1...1, using: &generator) }
            let soup = try greedy(values, target: 0.1)
            let best = values.map { -($0 - 0.1) * ($0 - 0.1) }.max() ?? 0
            #expect(soup.score >= best - 1e-6)
            let mean = soup.ingredients.map { values[$0] }.reduce(0, +) / Double(soup.ingredients.count)
            #expect(abs(soup.score + (mean - 0.1) * (mean - 0.1)) < 1e-6)
        }
    }

    @Test func lookaheadChangesNothing() throws {
        var generator = SeededGenerator(seed: 6)
        for _ in 0..<30 {
            let values = (0..<9).map { _ in Double.random(in: -1...1, using: &generator) }
            let one = try greedy(values, target: 0)
            for lookahead in [2, 3, 20] {
                var options = GreedySoup.Options()
                options.lookahead = lookahead
                let many = try greedy(values, target: 0, options)
                #expect(many.steps == one.steps)
                #expect(many.ingredients == one.ingredients)
            }
        }
    }

    @Test func rulesOfTies() throws {
        let values = [2.0, 2, 2]
        var options = GreedySoup.Options()
        #expect(try greedy(values, target: 0, options).ingredients == [0])
        options.acceptance = .ge
        #expect(try greedy(values, target: 0, options).ingredients == [0, 1, 2])
        options.tieOrder = .last
        #expect(try greedy(values, target: 0, options).ingredients == [2, 1, 0])
    }

    @Test func modelsWithoutScoreComeLastAndAreRefused() throws {
        let states = [state([.nan]), state([1]), state([3])]
        let soup = try GreedySoup(
            scores: [.nan, -1, -9], open: { states[$0] }, evaluate: { try $0.map { try score($0, target: 2) } })
        #expect(soup.order == [1, 2, 0])
        #expect(soup.ingredients == [1, 2])
        #expect(throws: ZooError.self) {
            try GreedySoup(scores: [.nan], open: { states[$0] }, evaluate: { _ in [] })
        }
    }

    @Test func theRunningMeanIsTheMean() throws {
        var mean = RunningMean()
        var generator = SeededGenerator(seed: 9)
        let rows = (0..<5).map { _ in (0..<37).map { _ in Double(Float.random(in: -2...2, using: &generator)) } }
        for row in rows.dropLast() { try mean.add(state(row)) }
        let candidate = try mean.mean(adding: state(rows[4], counter: 8))
        for place in 0..<37 {
            let expected = rows.reduce(0) { $0 + $1[place] } / 5
            #expect(try candidate.tensor(named: "w").doubles()[place] == Double(Float(expected)))
        }
        #expect(try candidate.tensor(named: "n").doubles() == [3])
        #expect(mean.count == 4)
        #expect(throws: ZooError.self) { try mean.add(StateDict()) }
    }

    @Test func theSoftmaxGradientIsThatOfFiniteDifferences() {
        var mixture = SoftmaxMixture(rowCount: 2, modelCount: 3)
        #expect(mixture.weights(row: 1).allSatisfy { abs($0 - 1.0 / 3) < 1e-15 })
        #expect(mixture.temperature == 1)
        mixture.values = [0.3, -0.7, 1.1, 2, -1, 0.5, 1]
        let target = [0.2, 0.9, -0.4]
        func loss(_ mixture: SoftmaxMixture) -> Double {
            zip(mixture.weights(row: 1), target).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
        }
        let byWeights = zip(mixture.weights(row: 1), target).map { 2 * ($0 - $1) }
        let gradient = mixture.gradient(row: 1, byWeights: byWeights)
        for place in 0..<3 {
            var up = mixture, down = mixture
            up.values[3 + place] += 1e-5
            down.values[3 + place] -= 1e-5
            #expect(abs((loss(up) - loss(down)) / 2e-5 - gradient[place]) < 1e-9)
        }
    }

    @Test func theFirstStepOfAdamWIsTheRate() {
        var values = [1.0, -2, 0]
        var optimiser = AdamW(rate: 0.1, weightDecay: 0.5)
        optimiser.step(&values, gradient: [3, -1e-3, 0])
        // Decay first, x (1 − 0.05), then − 0.1 · sign of the gradient.
        #expect(abs(values[0] - (0.95 - 0.1)) < 1e-8)
        #expect(abs(values[1] - (-1.9 + 0.1)) < 1e-5)
        #expect(values[2] == 0)
    }
}
