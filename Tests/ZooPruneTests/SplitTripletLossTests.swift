import Testing
import ZooBase
import ZooNN
import ZooPrune
import ZooTensor

/// The loss of retraining: computed in pieces, the same as in one.
@Suite struct SplitTripletLossTests {
    private func layout(_ tiny: TinyEncoder) throws -> StatisticsLayout {
        let roles = tiny.graph.tensorRoles
        return try StatisticsLayout(
            names: tiny.graph.trainableNames.filter { roles[$0] != .embedding }, tensors: tiny.infos)
    }

    private func found(
        _ tiny: TinyEncoder, _ weights: ModelWeights, _ triplets: [TokenTriplet], teacher: [[Float]]? = nil,
        distillation: Double = 0, jobs: Int = 2
    ) throws -> (loss: SplitTripletLoss.Loss, gradient: [Float]) {
        let layout = try layout(tiny)
        let loss = try SplitTripletLoss(
            tiny.graph, tensors: tiny.infos, layout: layout, weights: weights, maximumLength: 12)
        var gradient = [Float](repeating: .nan, count: layout.count)
        let value = try gradient.withUnsafeMutableBufferPointer {
            try loss.gradient(
                of: triplets, teacher: teacher, distillation: distillation, into: $0, jobs: jobs)
        }
        return (value, gradient)
    }

    private func unit(_ vectors: [[Float]]) -> [[Float]] {
        vectors.map { vector in
            let size = vector.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
            return vector.map { Float(Double($0) / size) }
        }
    }

    /// Batches with and without negatives, and with the same answer twice.
    @Test(arguments: [1, 2, 5, 9]) func piecesAreTheWhole(_ count: Int) throws {
        let tiny = try TinyEncoder(), weights = try ModelWeights(tiny.graph, source: tiny.source)
        var triplets = TinyEncoder.triplets(count, seed: 4)
        if count == 9 { triplets[8].positive = triplets[2].positive }
        let layout = try layout(tiny)
        let objective = try TripletObjective(
            tiny.graph, tensors: tiny.infos, layout: layout, triplets: triplets, estimator: .microBatch, batch: count,
            seed: 1, maximumLength: 12)
        let pass = CalibrationPass(objective, layout: layout, weights: weights)
        try pass.run(jobs: 1) { _ in }
        let whole = try pass.statistics(), own = try found(tiny, weights, triplets)
        #expect(abs(own.loss.contrast - whole.loss) < 1e-5 && own.loss.distance == 0)
        let scale = whole.gradient.reduce(0) { max($0, abs($1)) }
        for (a, b) in zip(own.gradient, whole.gradient) { #expect(abs(a - b) < 1e-5 * max(1, scale)) }
        #expect(count == 1 || scale > 0)
    }

    @Test func threadsChangeNoBit() throws {
        let tiny = try TinyEncoder(), weights = try ModelWeights(tiny.graph, source: tiny.source)
        let triplets = TinyEncoder.triplets(8)
        let one = try found(tiny, weights, triplets, jobs: 1)
        for jobs in [2, 3, 8] {
            let other = try found(tiny, weights, triplets, jobs: jobs)
            #expect(other.loss == one.loss && other.gradient == one.gradient)
        }
    }

    /// A network is as near to itself as can be, and nothing pulls it away.
    @Test func ownVectorsAreNoPull() throws {
        let tiny = try TinyEncoder(), weights = try ModelWeights(tiny.graph, source: tiny.source)
        let triplets = TinyEncoder.triplets(6)
        let own = try unit(TextEncoder(tiny.graph, source: tiny.source).embed(SplitTripletLoss.texts(triplets)))
        let plain = try found(tiny, weights, triplets)
        let near = try found(tiny, weights, triplets, teacher: own, distillation: 3)
        #expect(abs(near.loss.distance) < 1e-6)
        let scale = plain.gradient.reduce(0) { max($0, abs($1)) }
        for (a, b) in zip(near.gradient, plain.gradient) { #expect(abs(a - b) < 1e-5 * max(1, scale)) }
    }

    /// Along the gradient the loss with a teacher rises by the gradient's length.
    @Test func gradientOfTheDistanceIsThatOfDifferences() throws {
        let tiny = try TinyEncoder(), weights = try ModelWeights(tiny.graph, source: tiny.source)
        let triplets = TinyEncoder.triplets(6), layout = try layout(tiny)
        // Another text's vector for each text.
        let own = try unit(TextEncoder(tiny.graph, source: tiny.source).embed(SplitTripletLoss.texts(triplets)))
        let teacher = Array(own[1...]) + [own[0]]
        func total() throws -> (value: Double, gradient: [Float]) {
            let result = try found(tiny, weights, triplets, teacher: teacher, distillation: 5)
            return (result.loss.contrast + 5 * result.loss.distance, result.gradient)
        }
        let start = try total()
        let plain = try found(tiny, weights, triplets)
        // Across what the other term wants, the teacher's share alone.
        let share = zip(start.gradient, plain.gradient).map { $0 - $1 }
        let size = share.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
        #expect(size > 0.01)
        func moved(_ step: Double) throws -> Double {
            for entry in layout.entries {
                let memory = try weights.memory(of: entry.name)
                for place in 0..<memory.count {
                    memory[place] += Float(step * Double(share[entry.range.lowerBound + place]) / size)
                }
            }
            return try total().value
        }
        let step = 2e-3
        let above = try moved(step), below = try moved(-2 * step)
        let slope = (above - below) / (2 * step)
        let wanted = zip(start.gradient, share).reduce(0) { $0 + Double($1.0) * Double($1.1) } / size
        #expect(abs(slope - wanted) < 0.01 * max(1, abs(wanted)), "\(slope) for \(wanted)")
    }
}
