import Testing
import ZooBase
import ZooRetrieval

@Suite struct MetricTests {
    @Test func weightedTau() throws {
        let x = [0.9, 0.8, 0.7, 0.6, 0.5], y: [Double] = [5, 4, 2, 3, 1]
        #expect(abs(try #require(RetrievalMetrics.weightedTau(truth: x, scores: y)) - 0.8722627737) < 1e-9)
        #expect(abs(try #require(RetrievalMetrics.tau(truth: x, scores: y)) - 0.8) < 1e-12)
        #expect(RetrievalMetrics.weightedTau(truth: x, scores: [1, 1, 1, 1, 1]) == nil)
        #expect(RetrievalMetrics.weightedTau(truth: x, scores: x) == 1)
    }

    @Test func ranksCountTiesAgainstTheRanker() {
        #expect(RetrievalMetrics.rank(of: [2], scores: [0.1, 0.5, 0.9]) == 1)
        #expect(RetrievalMetrics.rank(of: [0, 1], scores: [0.1, 0.5, 0.9]) == 2)
        #expect(RetrievalMetrics.rank(of: [1], scores: [0.5, 0.5, 0.5]) == 3)
        #expect(RetrievalMetrics.rank(of: [], scores: [1]) == nil)
    }

    @Test func bootstrapCoversTheMeanAndTellsRankersApart() throws {
        let good = (0..<100).map { $0 % 10 == 0 ? 0.0 : 1.0 }, bad = (0..<100).map { $0 % 3 == 0 ? 1.0 : 0.0 }
        let found = try #require(Bootstrap.interval(good, seed: 1))
        #expect(found.mean == 0.9 && found.low < 0.9 && found.high > 0.9 && found.low > 0.8)
        #expect(try #require(Bootstrap.paired(good, bad, seed: 1)).p < 0.01)
        let apart = try #require(Bootstrap.paired(good, bad, seed: 1))
        #expect(abs(apart.difference - 0.56) < 1e-12 && apart.low < 0.56 && apart.high > 0.56 && apart.low > 0.4)
        let same = try #require(Bootstrap.paired(good, good, seed: 1))
        #expect(same.p == 1 && same.low == 0 && same.high == 0)
        let again = try #require(Bootstrap.interval(good, seed: 1))
        #expect(again == found)
    }
}
