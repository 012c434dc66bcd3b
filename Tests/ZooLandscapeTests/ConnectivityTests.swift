import Testing
import ZooBase
import ZooFormats
import ZooLandscape
import ZooNN
import ZooTensor
import ZooTestModels
import ZooTestSupport

/// Curves between networks: weights, the closed form of a ring, and trained networks.
@Suite struct ConnectivityTests {
    @Test func weightsOfControlPoints() {
        func near(_ a: [Double], _ b: [Double]) -> Bool { zip(a, b).allSatisfy { abs($0 - $1) < 1e-15 } }
        #expect(near(CurveForm.bezier.weights(0.25, count: 3), [0.5625, 0.375, 0.0625]))
        #expect(near(CurveForm.bezier.weights(0.5, count: 5), [1, 4, 6, 4, 1].map { $0 / 16 }))
        #expect(near(CurveForm.chain.weights(0.25, count: 3), [0.5, 0.5, 0]))
        #expect(near(CurveForm.chain.weights(0.75, count: 5), [0, 0, 0, 1, 0]))
        for form in CurveForm.allCases {
            #expect(form.weights(0, count: 4) == [1, 0, 0, 0] && form.weights(1, count: 4) == [0, 0, 0, 1])
            for t in stride(from: 0, through: 1, by: 0.1) {
                #expect(abs(form.weights(t, count: 4).reduce(0, +) - 1) < 1e-14)
            }
        }
    }

    @Test func theScheduleIsTheTaxonomys() {
        let factors = [0, 25, 26, 35, 45, 46, 49].map { CurveOptions.rateFactor(epoch: $0, of: 50) }
        let wanted = [1, 1, 1 - 0.02 / 0.4 * 0.99, 1 - 0.2 / 0.4 * 0.99, 0.01, 0.01, 0.01]
        #expect(zip(factors, wanted).allSatisfy { abs($0 - $1) < 1e-12 })
        var options = CurveOptions()
        #expect(options.epochs(stepsPerEpoch: 7) == 286 && options.epochs(stepsPerEpoch: 390) == 50)
        options.epochs = 3
        #expect(options.epochs(stepsPerEpoch: 7) == 3)
    }

    @Test func connectivityOfValues() {
        let t = [0, 0.25, 0.5, 0.75, 1.0]
        let barrier = ModeConnectivity(t, [2, 5, 9, 9, 4], lengths: [1, 1, 2, 2])
        #expect(barrier.connectivity == -6 && barrier.location == 0.5)
        #expect(barrier.maximum == 9 && barrier.minimum == 2 && barrier.mean == 5.8)
        #expect(abs(barrier.lengthMean - (3.5 + 7 + 18 + 13) / 6) < 1e-12)
        let valley = ModeConnectivity(t, [6, 5, 1, 5, 6])
        #expect(valley.connectivity == 5 && valley.location == 0.5)
        // Neither barrier nor valley: the ends themselves differ from their mean; the first place wins.
        #expect(ModeConnectivity([0, 1], [1, 3]).location == 0)
        #expect(ModeConnectivity([0, 1], [1, .nan]).connectivity.isNaN)
    }

    /// L(u, v) = (u² + v² − 1)², full batches.
    private struct Ring: CurveObjective {
        let dimension = 2
        let stepsPerEpoch = 10

        static func loss(_ u: Double, _ v: Double) -> Double { (u * u + v * v - 1) * (u * u + v * v - 1) }

        func gradient(
            at point: UnsafePointer<Float>, epoch: Int, step: Int, into gradient: UnsafeMutablePointer<Float>
        ) throws -> Double {
            let u = point[0], v = point[1], excess = u * u + v * v - 1
            gradient[0] = 4 * excess * u
            gradient[1] = 4 * excess * v
            return Self.loss(Double(u), Double(v))
        }
    }

    private func largest(_ controls: [[Float]], _ form: CurveForm = .bezier) -> Double {
        (0...200).map { place in
            let weights = form.weights(Double(place) / 200, count: controls.count)
            func sum(_ axis: Int) -> Double { zip(weights, controls).reduce(0) { $0 + $1.0 * Double($1.1[axis]) } }
            return Ring.loss(sum(0), sum(1))
        }.max() ?? .nan
    }

    @Test func theRingInClosedForm() throws {
        #expect(abs(largest([[1, 0], [0.5, 0.5], [0, 1]]) - 0.25) < 1e-6)
        let s = Float(2.0.squareRoot() - 0.5)
        #expect(abs(largest([[1, 0], [s, s], [0, 1]]) - 4.596e-4) < 1e-6)
        var options = CurveOptions()
        options.weightDecay = 0
        options.epochs = 100
        var ring = Ring()
        let fit = try CurveFit(from: [1, 0], to: [0, 1], on: &ring, options: options)
        #expect(fit.stepCount == 1_000 && largest(fit.controls) < 2e-3)
        #expect(fit.controls[0] == [1, 0] && fit.controls[2] == [0, 1])
        // Three bends, and a chain.
        options.bendCount = 3
        #expect(try largest(CurveFit(from: [1, 0], to: [0, 1], on: &ring, options: options).controls) < 2e-3)
        options.form = .chain
        let chain = try CurveFit(from: [1, 0], to: [0, 1], on: &ring, options: options)
        // Four chords cut the circle at most so far.
        #expect(largest(chain.controls, .chain) < 0.02)
    }

    /// One step of SGD moves the bend by rate · weight · (∇L + λφ), and a second one adds momentum.
    @Test func theFirstStepIsTheGradient() throws {
        struct Bowl: CurveObjective {
            let dimension = 1
            let stepsPerEpoch: Int
            var points: [Float] = []
            mutating func gradient(
                at point: UnsafePointer<Float>, epoch: Int, step: Int, into gradient: UnsafeMutablePointer<Float>
            ) throws -> Double {
                points.append(point[0])
                gradient[0] = 3
                return 0
            }
        }
        var options = CurveOptions()
        options.epochs = 1
        options.learningRate = 0.5
        options.weightDecay = 0.1
        // From 2 to 2: the point is 2 whatever t is, and the weight follows from how far the bend moved.
        var bowl = Bowl(stepsPerEpoch: 2)
        let two = try CurveFit(from: [2], to: [2], on: &bowl, options: options).controls[1][0]
        #expect(bowl.points[0] == 2)
        var single = Bowl(stepsPerEpoch: 1)
        let one = try CurveFit(from: [2], to: [2], on: &single, options: options).controls[1][0]
        let first = (2 - one) / (0.5 * (3 + 0.1 * 2))
        #expect(first > 0 && first <= 0.5)
        let second = (bowl.points[1] - 2) / (one - 2)
        let moved = 0.9 * first * 3.2 + second * (3 + 0.1 * bowl.points[1])
        #expect(abs((one - two) - 0.5 * moved) < 1e-5)
    }

    // MARK: Networks

    private func finder(_ model: ReferenceZoo.Model, _ samples: Samples, _ options: CurveOptions) throws -> CurveFinder
    {
        let request = ArchitectureRequest(
            tensors: model.source.tensorInfos, inputShape: samples.inputShape, config: model.config)
        return try CurveFinder(
            ReferenceZoo.resolver().choose(request).graph, tensors: request.tensors, training: samples,
            samples: samples, options: options)
    }

    private func cell(_ text: String) throws -> [ReferenceZoo.Model] {
        try ReferenceZoo.models("digits-phases.tar.gz").filter { $0.trial.contains(text) }
    }

    /// A curve is far below the straight line, its ends are the networks with statistics estimated anew, and threads
    /// change nothing.
    @Test func curvesOfBatchNormNetworks() throws {
        let samples = try ReferenceZoo.samples("data/digits.safetensors", "train", labels: "y_train_noisy")
        let models = try cell("width=4,").filter { $0.trial.contains("batchsize=64_") }
        #expect(models.count == 3)
        var options = CurveOptions()
        options.epochs = 60
        let finder = try finder(models[0], samples, options)
        let curve = try finder.curve(from: models[0].source, to: models[1].source)
        #expect(curve.points.map(\.t) == [0, 0.25, 0.5, 0.75, 1] && curve.stepCount == 60 * 7)
        let again = try finder.curve(from: models[0].source, to: models[1].source, jobs: 3)
        #expect(again.points == curve.points && (again.controls == curve.controls) == true)
        let error = curve.error
        // The straight line goes through more than 60 points of error here.
        #expect(error.maximum < 45 && error.minimum > 0)
        #expect(abs(error.connectivity) < 30)
        let request = ArchitectureRequest(
            tensors: models[0].source.tensorInfos, inputShape: samples.inputShape, config: models[0].config)
        let graph = try ReferenceZoo.resolver().choose(request).graph
        let evaluator = try Evaluator(graph, tensors: request.tensors, samples: samples)
        let own = try evaluator.evaluate(count: 1, jobs: 1) { _ in models[0].source }[0].get()
        #expect(abs(own.accuracy - curve.points[0].evaluation.accuracy) <= 0.02)
        #expect(curve.measurements.map(\.name).prefix(3) == ["curve_mc", "curve_mc_loss", "curve_max_error"])
    }

    @Test func equalEndsAreConnected() throws {
        let samples = try ReferenceZoo.samples("data/digits.safetensors", "train").subset(0..<500)
        let model = try #require(
            try ReferenceZoo.models("digits-cnn.zip").first { $0.epoch == 25 && $0.trial.contains("nlin=relu") })
        var options = CurveOptions()
        options.epochs = 20
        let curve = try finder(model, samples, options).curve(from: model.source, to: model.source)
        #expect(abs(curve.error.connectivity) < 1.5)
    }

    @Test func brokenNetworksHaveNoCurve() throws {
        let samples = try ReferenceZoo.samples("data/digits.safetensors", "train").subset(0..<200)
        let models = try ReferenceZoo.models("digits-cnn.zip").filter { $0.epoch == 25 }
        let good = try #require(models.first { $0.trial.contains("nlin=relu") })
        var options = CurveOptions()
        options.epochs = 1
        var state = try good.source.stateDict()
        let name = state.tensorInfos[0].name
        let old = try good.source.tensor(named: name)
        state[name] = Tensor([Float](repeating: .nan, count: old.elementCount), shape: old.shape)
        let broken = state
        #expect(throws: ZooError.self) {
            _ = try self.finder(good, samples, options).curve(from: good.source, to: broken).stepCount
        }
        // A rate that blows up is an error, not a number.
        options.learningRate = 1e30
        options.epochs = 3
        #expect(throws: ZooError.self) {
            _ = try self.finder(good, samples, options).curve(from: good.source, to: models[1].source).stepCount
        }
        let words = try Samples(inputs: [1, 2], inputShape: [1], labels: [0, 0], count: 2)
        #expect(throws: ZooError.self) { _ = try self.finder(good, words, options).epochs }
    }
}
