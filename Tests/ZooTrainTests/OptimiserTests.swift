import Foundation
import Testing
import ZooBase
import ZooTestSupport
import ZooTrain

/// Optimisers and schedules against `torch.optim`, step by step (see `Fixtures/make_training_oracles.py`).
@Suite struct OptimiserTests {
    private struct Oracle: Decodable {
        struct Settings: Decodable {
            var lr: Double
            var momentum, dampening, weight_decay, eps: Double?
            var nesterov: Bool?
            var betas: [Double]?
        }
        struct Case: Decodable {
            var optimiser, kind, schedule: String
            var settings: Settings
            var rates, momenta: [Double]
            var float64, float32: [[Double]]
        }
        var start: [Double]
        var gradients: [[Double]]
        var steps_per_epoch, epochs: Int
        var kept: [Int]
        var cases: [Case]
    }

    private func oracle() throws -> Oracle {
        let path = Repository.path("Tests/ZooTrainTests/Fixtures/optimisers.json")
        return try JSONDecoder().decode(Oracle.self, from: Data(contentsOf: URL(fileURLWithPath: path)))
    }

    private func optimiser(_ entry: Oracle.Case) throws -> Optimiser {
        var optimiser = Optimiser(try #require(Optimiser.Kind(rawValue: entry.kind)))
        optimiser.learningRate = entry.settings.lr
        optimiser.momentum = entry.settings.momentum ?? 0
        optimiser.dampening = entry.settings.dampening ?? 0
        optimiser.weightDecay = entry.settings.weight_decay ?? optimiser.weightDecay
        optimiser.epsilon = entry.settings.eps ?? optimiser.epsilon
        optimiser.isNesterov = entry.settings.nesterov ?? false
        optimiser.betas = entry.settings.betas ?? optimiser.betas
        return optimiser
    }

    private func schedule(_ name: String) -> Schedule {
        var schedule = Schedule(Schedule.Kind(rawValue: name) ?? .constant)
        switch name {
        case "step": (schedule.size, schedule.gamma) = (2, 0.5)
        case "multistep": (schedule.milestones, schedule.gamma) = ([1, 3], 0.2)
        case "cosine": schedule.minimum = 0.001
        case "warmup": (schedule.warmupEpochs, schedule.warmupStart) = (2, 0.25)
        default: break
        }
        return schedule
    }

    /// Parameters after each step.
    private func run<Scalar: BinaryFloatingPoint>(
        _ oracle: Oracle, _ optimiser: Optimiser, _ schedule: Schedule, _: Scalar.Type
    ) -> [[Double]] {
        let count = oracle.start.count
        var parameters = oracle.start.map { Scalar($0) }
        var moments = [[Scalar](repeating: 0, count: count), [Scalar](repeating: 0, count: count)]
        var after: [[Double]] = []
        for (step, gradient) in oracle.gradients.enumerated() {
            let now = schedule.values(
                step: step, stepsPerEpoch: oracle.steps_per_epoch, epochs: oracle.epochs,
                rate: optimiser.learningRate, momentum: optimiser.cycledMomentum)
            var first = moments[0], second = moments[1]
            let slope = gradient.map { Scalar($0) }
            parameters.withUnsafeMutableBufferPointer { p in
                first.withUnsafeMutableBufferPointer { a in
                    second.withUnsafeMutableBufferPointer { b in
                        slope.withUnsafeBufferPointer { g in
                            guard let p = p.baseAddress, let a = a.baseAddress, let b = b.baseAddress,
                                let g = g.baseAddress
                            else { return }
                            optimiser.update(
                                p, g, Array([a, b].prefix(optimiser.momentNames.count)), count: count, step: step + 1,
                                rate: now.rate, momentum: now.momentum)
                        }
                    }
                }
            }
            moments = [first, second]
            after.append(parameters.map { Double($0) })
        }
        return after
    }

    @Test func stepsEqualThoseOfTorch() throws {
        let oracle = try oracle()
        #expect(oracle.cases.count > 45)
        for entry in oracle.cases {
            let optimiser = try optimiser(entry), schedule = schedule(entry.schedule)
            let wide = run(oracle, optimiser, schedule, Double.self)
            let narrow = run(oracle, optimiser, schedule, Float.self)
            for (index, step) in oracle.kept.enumerated() {
                for (found, expected) in zip(wide[step], entry.float64[index]) {
                    #expect(abs(found - expected) <= 1e-12, "\(entry.optimiser), \(entry.schedule), step \(step)")
                }
                // Rounding of fifteen steps in single precision.
                for (found, expected) in zip(narrow[step], entry.float32[index]) {
                    #expect(abs(found - expected) <= 2e-6, "\(entry.optimiser), \(entry.schedule), step \(step)")
                }
            }
        }
    }

    @Test func schedulesEqualThoseOfTorch() throws {
        let oracle = try oracle()
        for entry in oracle.cases {
            let optimiser = try optimiser(entry), schedule = schedule(entry.schedule)
            for step in entry.rates.indices {
                let now = schedule.values(
                    step: step, stepsPerEpoch: oracle.steps_per_epoch, epochs: oracle.epochs,
                    rate: optimiser.learningRate, momentum: optimiser.cycledMomentum)
                #expect(abs(now.rate - entry.rates[step]) <= 1e-14, "\(entry.schedule), step \(step)")
                #expect(abs(now.momentum - entry.momenta[step]) <= 1e-14, "\(entry.schedule), step \(step)")
            }
        }
    }
}
