import Testing
import ZooBase
import ZooLandscape

/// Means of cells and the confidence of their phases.
@Suite struct PhaseConfidenceTests {
    private func cell(_ losses: [Double?], _ traces: [Double?], mc: [Double?], cka: [Double?]) -> MeasuredCell {
        let pairs = [(0, 1), (0, 2), (1, 2)].prefix(mc.count)
        return MeasuredCell(
            networks: zip(losses, traces).map { MeasuredCell.Network(trainLoss: $0, sharpness: $1) },
            pairs: zip(pairs, zip(mc, cka)).map {
                MeasuredCell.Pair($0.0, $0.1, connectivity: $1.0, similarity: $1.1)
            })
    }

    @Test func meansLeaveOutWhatIsNotThere() {
        let mean = cell([1, nil, 3], [2, .nan, 6], mc: [-1, nil, -3], cka: [0.5, .nan, nil]).mean
        #expect(mean == PhaseCell(trainLoss: 2, sharpness: 4, connectivity: -2, similarity: 0.5))
        #expect(MeasuredCell().mean == PhaseCell())
    }

    /// Four rows of clear cells of phases I, II, III, IV-B, and one whose connectivity lies on both sides.
    private var grid: [[MeasuredCell]] {
        (0..<4).map { row in
            let wiggle = 1 + 0.01 * Double(row)
            return [
                cell([1, 1.01, 0.99].map { $0 * wiggle }, [100, 101, 99], mc: [-9, -8, -10], cka: [0.2, 0.2, 0.2]),
                cell([1, 1.02, 0.98].map { $0 * wiggle }, [110, 100, 90], mc: [5, 4, 6], cka: [0.2, 0.3, 0.2]),
                cell(
                    [0.01, 0.011, 0.009].map { $0 * wiggle }, [2, 2.1, 1.9], mc: [-5, -6, -4], cka: [0.4, 0.5, 0.4]),
                cell([0.01, 0.01, 0.01].map { $0 * wiggle }, [2, 2, 2], mc: [0, 0.1, 0], cka: [0.9, 0.9, 0.91]),
                cell([0.01, 0.01, 0.01].map { $0 * wiggle }, [2, 2, 2], mc: [0, -0.2, -3], cka: [0.9, 0.9, 0.91]),
            ]
        }
    }

    @Test func clearCellsAreSureAndTornOnesAreNot() {
        let phases = PhaseDiagram(grid.map { $0.map(\.mean) }).phases
        #expect(Array(phases.prefix(4)) == [.one, .two, .three, .fourB])
        let shares = PhaseConfidence(grid, seed: 3).shares
        for row in 0..<4 {
            for column in 0..<4 { #expect(shares[row * 5 + column] == 1) }
            let torn = shares[row * 5 + 4] ?? 1
            #expect(torn > 0.3 && torn < 0.9, "\(torn)")
        }
        // The seed alone decides.
        #expect(PhaseConfidence(grid, seed: 3).shares == shares)
        #expect(PhaseConfidence(grid, seed: 4).shares != shares)
    }

    @Test func aResampleIsOneOfTheMeansThatThreeSeedsCanGive() {
        // Of the 24 draws that are not three times one network, cells stay poor in exactly those computed here.
        let torn = grid[0][4]
        var kept = 0, all = 0
        let mc: [[Int]: Double] = [[0, 1]: 0, [0, 2]: -0.2, [1, 2]: -3]
        let label = (torn.mean.connectivity ?? 0) < -1
        for draw in 0..<27 {
            var weights = [0, 0, 0]
            for digit in [draw % 3, draw / 3 % 3, draw / 9] { weights[digit] += 1 }
            guard !weights.contains(3) else { continue }
            var sum = 0.0, count = 0.0
            for (pair, value) in mc {
                let times = Double(weights[pair[0]] * weights[pair[1]])
                sum += times * value
                count += times
            }
            all += 1
            if (sum / count < -1) == label { kept += 1 }
        }
        let expected = Double(kept) / Double(all)
        let found = PhaseConfidence(grid, resamples: 2000, seed: 1).shares[4] ?? 0
        // Four standard deviations of a share of 2,000 draws.
        #expect(abs(found - expected) < 4 * (expected * (1 - expected) / 2000).squareRoot(), "\(found) \(expected)")
    }

    @Test func oneNetworkHasNoPhaseAndNoConfidence() {
        let lonely = MeasuredCell(networks: [.init(trainLoss: 1, sharpness: 2)])
        #expect(PhaseConfidence([[lonely]]).shares == [nil])
    }
}
