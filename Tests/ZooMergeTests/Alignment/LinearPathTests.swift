import Testing
import ZooBase
import ZooMerge
import ZooNN
import ZooTensor
import ZooTestSupport

/// Paths against PyTorch (Fixtures/zoo_?_interpolation.json), barriers in closed form.
@Suite struct LinearPathTests {
    private func fixture(_ zoo: String) throws -> [(key: String, value: JSONValue)] {
        let path = Repository.path("Tests/ZooMergeTests/Fixtures/zoo_\(zoo)_interpolation.json")
        let json = try JSONParser.parse(Bytes(mapping: path))
        return try #require(json["pairs"]?.object).map { ($0.key, $0.value) }
    }

    private func check(_ path: LinearPath, _ expected: JSONValue, _ split: String, tolerance: Double) {
        let losses = expected["\(split)_loss"]?.array?.compactMap(\.double) ?? []
        let accuracies = expected["\(split)_acc"]?.array?.compactMap(\.double) ?? []
        #expect(losses.count == 11 && accuracies.count == 11)
        for (place, point) in path.points.enumerated() {
            #expect(abs(point.evaluation.loss - losses[place]) <= tolerance * max(0.1, losses[place]), "\(place)")
            #expect(abs(point.evaluation.accuracy - accuracies[place]) < 0.0025, "\(place)")
        }
        let barrier = expected["\(split)_barrier"]?.double ?? .nan
        #expect(abs(path.loss.barrier - barrier) <= 2 * tolerance * max(0.1, barrier))
        let errors = expected["\(split)_error_barrier"]?.double ?? .nan
        #expect(abs(path.error.barrier - errors) < 0.004)
    }

    @Test func linesOfTheSmallNetworksArePyTorchs() throws {
        for (_, pair) in try fixture("a") {
            let a = try SampleNetworks.trial(
                "digits-cnn.zip", pair["a"]?.string ?? "", epoch: pair["epoch_a"]?.int ?? 0)
            let b = try SampleNetworks.trial(
                "digits-cnn.zip", pair["b"]?.string ?? "", epoch: pair["epoch_b"]?.int ?? 0)
            for split in ["train", "test"] {
                let samples = try SampleNetworks.samples("data/digits.safetensors", split)
                let path = try LinearPath(a.graph, a.state, b.state, samples: samples, jobs: 2)
                check(path, pair, split, tolerance: 1e-5)
            }
        }
    }

    @Test func batchNormIsInterpolatedOrRecomputed() throws {
        let train = try SampleNetworks.samples("data/digits.safetensors", "train", labels: "y_train_noisy")
        for (name, pair) in try fixture("b") {
            let a = try SampleNetworks.trial("digits-phases.tar.gz", pair["a"]?.string ?? "", epoch: 20)
            let b = try SampleNetworks.trial("digits-phases.tar.gz", pair["b"]?.string ?? "", epoch: 20)
            let plain = try LinearPath(a.graph, a.state, b.state, samples: train, jobs: 2)
            check(plain, try #require(pair["bn_interpolated"]), "train", tolerance: 1e-4)
            let statistics = try BatchNormStatistics(a.graph, tensors: a.state.tensorInfos, samples: train)
            let reset = try LinearPath(
                a.graph, a.state, b.state, samples: train, statistics: statistics, jobs: 2)
            check(reset, try #require(pair["bn_reset"], "\(name)"), "train", tolerance: 1e-4)
        }
    }

    @Test func barriersInClosedForm() {
        // A double well, (x² − 1)² from −1 to 1: 1 in the middle.
        let t = LinearPath.grid(11)
        let well = Barrier(
            t,
            t.map { place in
                let x = 2 * place - 1
                return (x * x - 1) * (x * x - 1)
            })
        #expect(abs(well.barrier - 1) < 1e-12 && well.location == 0.5 && abs(well.excess - 1) < 1e-12)
        // A convex parabola lies below its chord: the barrier is at the ends.
        let bowl = Barrier(t, t.map { 2 + 2 * $0 - 5 * $0 * (1 - $0) })
        #expect(bowl.barrier == 0 && bowl.location == 0 && bowl.excess == 0 && abs(bowl.instability - 1) < 1e-12)
        #expect(Barrier([0, 0.5, 1], [1, .nan, 1]).barrier.isNaN)
        #expect(LinearPath.grid(3) == [0, 0.5, 1])
    }

    @Test func repairRestoresMomentsOfEveryLayer() throws {
        let a = try SampleNetworks.trial(
            "digits-cnn.zip", try #require(try fixture("a").first?.value["a"]?.string), epoch: 25)
        let b = try SampleNetworks.trial(
            "digits-cnn.zip", try #require(try fixture("a").first?.value["b"]?.string), epoch: 25)
        let samples = try SampleNetworks.samples("data/digits.safetensors", "train")
        let tensors = a.state.tensorInfos
        let mean = try LinearPath.point(a.state, b.state, t: 0.5)
        let fixed = try Repair(a.graph, tensors: tensors, samples: samples)
            .corrected(mean, between: a.state, and: b.state)
        let names = a.graph.nodes.filter { ($0.op == .conv2d || $0.op == .linear) && !$0.isHead }.map(\.name)
        let moments = try ChannelMoments(a.graph, tensors: tensors, samples: samples, target: .nodes(names))
        let (x, y, z) = try (moments.pooled(of: a.state), moments.pooled(of: b.state), moments.pooled(of: fixed))
        for name in names {
            let (p, q, r) = (try #require(x[name]), try #require(y[name]), try #require(z[name]))
            for channel in r.mean.indices {
                let spread = (p.variance[channel].squareRoot() + q.variance[channel].squareRoot()) / 2
                #expect(abs(r.mean[channel] - (p.mean[channel] + q.mean[channel]) / 2) < 1e-3 * max(1, spread))
                #expect(abs(r.variance[channel].squareRoot() - spread) < 1e-2 * max(0.1, spread))
            }
        }
        let evaluator = try Evaluator(a.graph, tensors: tensors, samples: samples)
        let plain = try mean.stateDict()
        let scores = try evaluator.evaluate(count: 2, jobs: 1) { $0 == 0 ? plain : fixed }.map { try $0.get() }
        #expect(scores[1].accuracy > scores[0].accuracy)
    }
}
