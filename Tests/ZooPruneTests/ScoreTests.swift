import Testing
import ZooBase
import ZooPrune
import ZooTensor

/// Scores against numbers that follow from the formulas by hand.
@Suite struct ScoreTests {
    private static let weights: [Float] = [0.04, -0.25, 0.01, 0.36]
    private static let domain: [Float] = [0.5, 0.1, 0.2, 0], general: [Float] = [0.1, 0.3, 0.2, 0.1]
    private static let domainGradient: [Float] = [1, 2, -1, 0], generalGradient: [Float] = [2, 1, 1, 1]

    private func statistics(
        _ matrix: CandidateMatrix, weights: [Float] = weights, domain: [Float] = domain, general: [Float] = general,
        gradients: ([Float], [Float]) = (domainGradient, generalGradient), inputs: [Float] = []
    ) -> PruneStatistics {
        PruneStatistics(
            [matrix], weights: { _ in weights },
            statistic: { name, side, _ in
                switch name {
                case "fisher": side == .domain ? domain : general
                case "gradient": side == .domain ? gradients.0 : gradients.1
                default: inputs
                }
            })
    }

    private func scores(_ name: String, _ statistics: PruneStatistics, _ settings: PruneSettings = .init()) throws
        -> [Double]
    {
        try PruneMethods.named(name).init(settings).scores(of: statistics.matrices[0], statistics)
    }

    @Test func faithfulScore() throws {
        let matrix = CandidateMatrix(name: "w", rows: 1, columns: 4)
        let found = try scores("dai-faithful", statistics(matrix))
        // Single precision is all that the file of scores keeps.
        for (score, wanted) in zip(found, [0.12673951, 0.21851640, 0.05462910, 0.28844165]) {
            #expect(abs(score - wanted) < 2e-8)
        }
        guard case .tensor(let cosine) = try statistics(matrix).agreement(.tensor, matrix) else {
            Issue.record("no number for the matrix")
            return
        }
        #expect(abs(cosine - 0.4629100498862757) < 1e-8)
    }

    /// The public code's form with its own default γ.
    @Test func codeScore() throws {
        let matrix = CandidateMatrix(name: "w", rows: 1, columns: 4)
        var settings = PruneSettings()
        settings.gamma = 0.3
        let found = try scores("dai-code", statistics(matrix), settings)
        for (score, wanted) in zip(found, [0.73238166, 0.74277773, 0.70825968, 0.76773695]) {
            #expect(abs(score - wanted) < 2e-8, "\(score)")
        }
        #expect(found.indices.sorted { found[$0] < found[$1] } == [2, 0, 1, 3])
    }

    @Test func equalSidesAreMagnitude() throws {
        let matrix = CandidateMatrix(name: "w", rows: 10, columns: 11)
        var generator = SeededGenerator(seed: 5)
        let weights = (0..<110).map { _ in Float(generator.below(2001) - 1000) / 700 }
        let fisher = (0..<110).map { _ in Float(generator.below(1000)) }
        var settings = PruneSettings()
        settings.beta = 1
        settings.alpha = 0
        let statistics = self.statistics(
            matrix, weights: weights, domain: fisher, general: fisher, gradients: (weights, weights))
        for name in ["dai", "dai-faithful"] {
            let own = try scores(name, statistics, settings), plain = try scores("magnitude", statistics)
            for sparsity in stride(from: 0, to: 0.96, by: 0.05) {
                let count = PruneGroup.zeros(sparsity, of: 110)
                #expect(MaskSelection.lowest(own, count) == MaskSelection.lowest(plain, count))
            }
        }
    }

    @Test func agreementOfGradients() {
        let matrix = CandidateMatrix(name: "w", rows: 2, columns: 2)
        func value(_ a: [Double], _ b: [Double]) -> Double {
            Agreement(.tensor, domain: a, general: b, matrix: matrix).value(at: 0, of: matrix)
        }
        #expect(abs(value([1, 2, -3, 4], [2, 4, -6, 8]) - 1) < 1e-9)
        #expect(abs(value([1, 2, -3, 4], [-0.5, -1, 1.5, -2]) + 1) < 1e-9)
        #expect(value([1, 0, 0, 0], [0, 3, 0, 0]) == 0)
        let rows = Agreement(.row, domain: [1, 1, 1, 0], general: [2, 2, 0, 1], matrix: matrix)
        #expect(abs(rows.value(at: 1, of: matrix) - 1) < 1e-7 && rows.value(at: 2, of: matrix) == 0)
        let transposed = CandidateMatrix(name: "w", rows: 2, columns: 2, isTransposed: true)
        let columns = Agreement(.row, domain: [1, 1, 1, 0], general: [2, 0, 2, 1], matrix: transposed)
        #expect(abs(columns.value(at: 2, of: transposed) - 1) < 1e-7 && columns.value(at: 1, of: transposed) == 0)
        // RMS of both is 1: the ratio of the smaller to the larger with the sign of the product.
        let single = Agreement(.element, domain: [1, -1, 1, 1], general: [2, 0, 0, 0], matrix: matrix)
        #expect((0..<4).map { single.value(at: $0, of: matrix) } == [0.5, 0, 0, 0])
        let opposed = Agreement(.element, domain: [1, -1, 1, 1], general: [1, 1, 1, -1], matrix: matrix)
        #expect((0..<4).map { opposed.value(at: $0, of: matrix) } == [1, -1, 1, -1])
    }

    @Test func scaleOfFisherDoesNotMatterToTheScaledScore() throws {
        let matrix = CandidateMatrix(name: "w", rows: 1, columns: 4)
        let plain = try scores("dai", statistics(matrix))
        let large = try scores(
            "dai", statistics(matrix, domain: Self.domain.map { $0 * 1000 }, general: Self.general.map { $0 * 1000 }))
        for (a, b) in zip(plain, large) { #expect(abs(a - b) < 1e-6) }
        for count in 0...4 { #expect(MaskSelection.lowest(plain, count) == MaskSelection.lowest(large, count)) }
        // The published form may change, and here it does: Fisher values outweigh magnitude.
        let raised = statistics(
            matrix, domain: Self.domain.map { $0 * 1000 }, general: Self.general.map { $0 * 1000 })
        let published = try scores("dai-faithful", raised)
        #expect(MaskSelection.lowest(published, 1) == [false, true, false, false])
        #expect(MaskSelection.lowest(try scores("dai-faithful", statistics(matrix)), 1) == [false, false, true, false])
    }

    @Test func domainIsKeptWhereMagnitudeDropsIt() throws {
        // The domain's loss reads a = 0.1 alone, the general one b = 0.2, with equal Fisher values.
        let matrix = CandidateMatrix(name: "w", rows: 1, columns: 2)
        var settings = PruneSettings()
        settings.alpha = 0
        let statistics = self.statistics(
            matrix, weights: [0.1, 0.2], domain: [8, 0], general: [0, 8], gradients: ([1, 0], [0, 1]))
        let found = try scores("dai", statistics, settings)
        // c is F/2 for one weight of two: its mean is F/4 each side, (F_dom + F_gen)/2 = F/2 per weight.
        #expect(abs(found[0] - (0.2 + 0.158114)) < 1e-6 && abs(found[1] - 0.223607) < 1e-6)
        #expect(MaskSelection.lowest(found, 1) == [false, true])
        #expect(MaskSelection.lowest(try scores("magnitude", statistics), 1) == [true, false])
    }

    @Test func baselines() throws {
        let matrix = CandidateMatrix(name: "w", rows: 1, columns: 4)
        let statistics = self.statistics(matrix, inputs: [4, 1, 9, 0])
        func near(_ found: [Double], _ wanted: [Double]) -> Bool {
            zip(found, wanted).allSatisfy { abs($0 - $1) < 1e-7 }
        }
        var both = PruneSettings()
        both.side = .both
        #expect(near(try scores("fisher", statistics), [0.5, 0.1, 0.2, 0]))
        #expect(near(try scores("fisher", statistics, both), [0.6, 0.4, 0.4, 0.1]))
        #expect(near(try scores("obd", statistics), [0.6 * 0.0016, 0.4 * 0.0625, 0.4 * 0.0001, 0.1 * 0.1296]))
        #expect(near(try scores("snip", statistics), [0.04, 0.5, 0.01, 0]))
        #expect(near(try scores("wanda", statistics), [0.08, 0.25, 0.03, 0]))
        #expect(try scores("random", statistics) == scores("random", statistics))
        #expect(throws: ZooError.self) { try PruneMethods.named("wandas") }
        #expect(Set(PruneMethods.all.map { $0.name }).count == PruneMethods.all.count)
    }
}
