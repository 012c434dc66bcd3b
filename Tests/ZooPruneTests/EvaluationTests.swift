import Testing
import ZooBase
import ZooPrune
import ZooTestSupport

/// Metrics of embeddings against closed forms.
@Suite struct EvaluationTests {
    @Test func gainOfRanksOneTwoAndEleven() {
        let ranks = [1.0, 2, 11].map { RankingGain.discount($0) }
        expectClose([ranks.reduce(0, +) / 3], [(1 + 0.6309297535714574 + 0) / 3], 1e-12, "mean")
        #expect(abs(ranks.reduce(0, +) / 3 - 0.54364) < 5e-6)
    }

    @Test func tiesCountHalf() {
        // Two others share the score of the relevant document: rank 2.
        expectClose(
            [RankingGain.normalised([0.5, 0.5, 0.5, 0.1], relevant: [1])], [0.6309297535714574], 1e-12, "tied")
        // All 21 alike: rank 11, no gain; 19 alike: rank 10.
        #expect(RankingGain.normalised([Float](repeating: 0, count: 21)[...], relevant: [0]) == 0)
        expectClose(
            [RankingGain.normalised([Float](repeating: 0, count: 19)[...], relevant: [0])], [1 / 3.4594316186372973],
            1e-12, "last rank")
    }

    @Test func severalRelevantDocuments() {
        // Ranks 1 and 3 of two: (1 + 0.5)/(1 + 0.6309…).
        expectClose(
            [RankingGain.normalised([0.9, 0.2, 0.5, 0.4], relevant: [0, 3])], [1.5 / 1.6309297535714575], 1e-12, "two")
        #expect(RankingGain.normalised([0.9, 0.2], relevant: []) == 0)
        // Relevances 3, 2, 3, 0, 1, 2 in ranked order: DCG 13.848263629272981 over 14.595390756454922.
        expectClose(
            [RankingGain.graded([3, 2, 3, 0, 1, 2]) ?? 0], [13.848263629272981 / 14.595390756454922], 1e-12, "graded")
        #expect(RankingGain.graded([0, 0]) == nil)
    }

    @Test func retrievalFindsWhatIsNearest() throws {
        let set = try TripletSet(
            [
                Triplet(query: "a", positive: "A"), Triplet(query: "b", positive: "B"),
                Triplet(query: "a", positive: "A2"), Triplet(query: "c", positive: "B"),
            ], name: "t")
        let task = TripletRetrieval(set)
        #expect(task.queries == ["a", "b", "c"] && task.documents == ["A", "B", "A2"])
        #expect(task.relevant == [[0, 2], [1], [1]])
        // Lengths do not matter; the query c finds A, B, A2 in this order.
        let gains = try task.gains(
            queries: [[2, 0], [0, 3], [1, 0.9]], documents: [[5, 4], [0, 1], [1, 0]], jobs: 2)
        expectClose([gains[0], gains[1], gains[2]], [1, 1, 0.5], 1e-12, "gains")
        #expect(throws: ZooError.self) { try task.gains(queries: [[1]], documents: [[1], [1], [1]], jobs: 1) }
        #expect(throws: ZooError.self) {
            try task.gains(queries: [[.nan], [1], [1]], documents: [[1], [1], [1]], jobs: 1)
        }
    }

    @Test func spearmanWithTies() {
        #expect(RankCorrelation.ranks([3, 1, 3, 2]) == [3.5, 1, 3.5, 2])
        expectClose([RankCorrelation.spearman([1, 2, 3], [10, 20, 15]) ?? 0], [0.5], 1e-12, "no ties")
        // Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: 4.5/√(4.5 · 5).
        expectClose(
            [RankCorrelation.spearman([1, 2, 2, 3], [1, 2, 3, 4]) ?? 0], [0.9486832980505138], 1e-12, "ties")
        #expect(RankCorrelation.spearman([1, 1, 1], [1, 2, 3]) == nil)
    }

    @Test func geometryOfKnownVectors() throws {
        // Four unit vectors at right angles: distances² 2 (four pairs) and 4 (two pairs).
        let found = try Geometry(queries: [[1, 0], [0, 1]], positives: [[-1, 0], [0, 1]])
        expectClose([found.alignment], [2], 1e-6, "alignment")
        let cross = try Geometry(queries: [[1, 0], [0, 1]], positives: [[-1, 0], [0, -1]])
        // ln((4 e⁻⁴ + 2 e⁻⁸)/6)
        expectClose([cross.uniformity], [-4.396349], 1e-5, "uniformity")
        expectClose([cross.effectiveDimension], [2], 1e-6, "two directions alike")
        let line = try Geometry(queries: [[1, 0], [1, 0]], positives: [[-1, 0], [-1, 0]])
        expectClose([line.effectiveDimension], [1], 1e-6, "one direction")
        expectClose(
            [Geometry.cosine([3, 4], [4, 3]), Geometry.cosine([0, 0], [1, 0])], [0.96, 0], 1e-12, "cosine")
    }

    @Test func pairsAreReadAndCompared() throws {
        let lines = [
            #"{"sentence1": "a", "sentence2": "b", "score": 1}"#,
            #"{"sentence1": "c", "sentence2": "d", "score": 2.5}"#,
            #"{"sentence1": "e", "sentence2": "f", "score": 9}"#,
        ]
        let task = try SimilarityTask.records(Bytes(Array(lines.joined(separator: "\n").utf8)), name: "p")
        #expect(task.scores == [1, 2.5, 9])
        let first: [[Float]] = [[1, 0], [1, 0], [1, 0]], second: [[Float]] = [[0, 1], [1, 1], [1, 0]]
        #expect(task.correlation(first: first, second: second) == 1)
        #expect(task.correlation(first: first, second: first) == nil)
        for wrong in [
            #"{"sentence1": "a", "sentence2": "b"}"#, #"{"sentence1": "", "sentence2": "b", "score": 1}"#,
            #"{"sentence1": "a", "sentence2": "b", "score": "high"}"#,
        ] {
            #expect(throws: ZooError.self) {
                try SimilarityTask.records(Bytes(Array((lines + [wrong]).joined(separator: "\n").utf8)), name: "p")
            }
        }
    }

    @Test func pairedBootstrapKnowsNoiseFromGain() throws {
        var generator = SeededGenerator(seed: 3)
        let a = (0..<500).map { _ in Double(generator.below(1000)) / 1000 }
        let better = a.map { $0 + (generator.below(2) == 0 ? 0.3 : -0.1) }
        // As often better as worse, by the same amount.
        let noise = a.enumerated().map { $0.element + ($0.offset % 2 == 0 ? 0.2 : -0.2) }
        #expect(try #require(Bootstrap.paired(better, a, seed: 1)).p < 0.01)
        #expect(try #require(Bootstrap.paired(noise, a, seed: 1)).p > 0.05)
    }
}

private func expectClose(
    _ found: [Double], _ expected: [Double], _ tolerance: Double, _ what: String,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    #expect(found.count == expected.count, "\(what)", sourceLocation: sourceLocation)
    for (a, b) in zip(found, expected) {
        #expect(abs(a - b) <= tolerance, "\(what): \(a), expected \(b)", sourceLocation: sourceLocation)
    }
}
