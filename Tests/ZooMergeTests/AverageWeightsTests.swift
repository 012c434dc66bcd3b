import Testing
import ZooBase
import ZooMerge

@Suite struct AverageWeightsTests {
    @Test(arguments: [1, 2, 5, 9])
    func exponentialMatchesItsRecurrence(_ count: Int) throws {
        let values = (0..<count).map { Double($0 * $0) - 3 }
        for decay in [0.0, 0.5, 0.9] {
            var moving = values[0]
            for value in values.dropFirst() { moving = decay * moving + (1 - decay) * value }
            let weights = try AverageWeights.exponential(count: count, decay: decay)
            #expect((zip(weights, values).map(*).reduce(0, +) - moving).magnitude < 1e-12)
            var fromZero = 0.0
            for value in values { fromZero = decay * fromZero + (1 - decay) * value }
            var power = 1.0
            for _ in 0..<count { power *= decay }
            let corrected = try AverageWeights.exponential(count: count, decay: decay, biasCorrected: true)
            #expect((zip(corrected, values).map(*).reduce(0, +) - fromZero / (1 - power)).magnitude < 1e-12)
            #expect((weights.reduce(0, +) - 1).magnitude < 1e-12)
        }
    }

    @Test func weightedRefusesWhatCannotBe() throws {
        #expect(try AverageWeights.weighted([1, 3], count: 2) == [0.25, 0.75])
        #expect(try AverageWeights.weighted([1e308, 1e308], count: 2) == [0.5, 0.5])
        #expect(throws: ZooError.self) { try AverageWeights.weighted([0, 0], count: 2) }
        #expect(throws: ZooError.self) { try AverageWeights.weighted([1], count: 2) }
        #expect(throws: ZooError.self) { try AverageWeights.weighted([1, -1], count: 2) }
        #expect(throws: ZooError.self) { try AverageWeights.weighted([1, .nan], count: 2) }
        #expect(throws: ZooError.self) { try AverageWeights.exponential(count: 2, decay: 1) }
        #expect(try AverageWeights.interpolation(alpha: 0.3) == [0.7, 0.3])
    }
}
