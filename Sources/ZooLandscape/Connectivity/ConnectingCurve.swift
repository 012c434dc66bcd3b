import ZooBase
import ZooNN
import ZooTensor

/// Finds curves between networks of one architecture: one compiled program, any number of pairs.
///
/// Bends are trained with batch norm in training mode; a point of the curve is evaluated with its batch-norm
/// statistics estimated anew on the training data, at the ends too, so that all points are measured alike. Buffers are
/// not part of the curve. Batches and t are those of the seed, the same for every pair, so that a result depends on
/// the pair and the settings alone.
public final class CurveFinder: Sendable {
    /// How curves are trained and measured.
    public let options: CurveOptions
    /// Passes over the data per curve, and their steps.
    public let epochs: Int, stepsPerEpoch: Int
    private let ground: Ground

    /// What curves are trained and measured on.
    private enum Ground: Sendable {
        /// Labelled samples, with batch norm.
        case labelled(TrainingGradient, Evaluator, BatchNormStatistics?)
        /// Any loss: sequences of tokens, points of a physics-informed one.
        case sweeps(training: ModelSweep, measured: ModelSweep)
    }

    /// Compiles what curves need.
    ///
    /// - Parameters:
    ///   - tensors: names and shapes of the networks' weights.
    ///   - training: the samples that bends are trained on, and batch-norm statistics estimated on.
    ///   - samples: those that loss and error are measured on.
    /// - Throws: `mismatch` when graph, weights and samples do not fit together; `unsupported` for token inputs.
    public init(
        _ graph: ArchitectureGraph, tensors: [TensorInfo], training: Samples, samples: Samples, options: CurveOptions
    ) throws {
        self.options = options
        let gradient = try TrainingGradient(graph, tensors: tensors, samples: training, batch: options.batch)
        ground = .labelled(
            gradient, try Evaluator(graph, tensors: tensors, samples: samples),
            BatchNormStatistics.applies(to: graph)
                ? try BatchNormStatistics(graph, tensors: tensors, samples: training) : nil)
        stepsPerEpoch = training.count / gradient.batch
        epochs = options.epochs(stepsPerEpoch: stepsPerEpoch)
    }

    /// Curves on any loss that sweeps take: the batches of `training` are the steps of an epoch, in a new order each.
    /// Networks run in evaluation mode, without batch norm's own statistics.
    ///
    /// - Parameter measured: what loss and error are measured on.
    public init(_ training: ModelSweep, measured: ModelSweep, options: CurveOptions) {
        self.options = options
        ground = .sweeps(training: training, measured: measured)
        stepsPerEpoch = training.batchCount
        epochs = options.epochs(stepsPerEpoch: stepsPerEpoch)
    }

    /// Trains and measures the curve between two networks.
    ///
    /// - Parameter progress: told how many steps were taken, now and then.
    /// - Throws: `numeric` when weights are not finite or training diverges; what reading throws; `interrupted`.
    public func curve(
        from a: any TensorSource, to b: any TensorSource, jobs: Int = 1, progress: ((Int) -> Void)? = nil
    ) throws -> ConnectingCurve {
        let places = (0..<options.pointCount).map { Double($0) / Double(options.pointCount - 1) }
        let fit: CurveFit, controls: [[Double]], vectors: [[Double]], found: [Evaluation]
        switch ground {
        case .labelled(let gradient, let evaluator, let statistics):
            let ends = try ends(a, b, gradient.layout)
            var objective = NetworkObjective(
                gradient, stepper: try gradient.stepper(a), seed: options.seed, stepsPerEpoch: stepsPerEpoch)
            objective.progress = progress
            fit = try CurveFit(
                from: gradient.padded(ends[0]), to: gradient.padded(ends[1]), on: &objective, options: options)
            try check(fit)
            controls = fit.controls.map(gradient.flat)
            vectors = places.map { point($0, controls) }
            let points = vectors
            found = try evaluator.evaluate(count: places.count, jobs: jobs) { place in
                let state = try gradient.layout.stateDict(points[place], over: place + 1 < points.count ? a : b)
                return try statistics.map { try $0.recalibrated(state) } ?? state
            }.map { try $0.get() }
        case .sweeps(let training, let measured):
            let ends = try ends(a, b, training.layout)
            var objective = SweepObjective(try training.problem(a), seed: options.seed)
            objective.progress = progress
            fit = try CurveFit(
                from: ends[0].map { Float($0) }, to: ends[1].map { Float($0) }, on: &objective, options: options)
            try check(fit)
            controls = fit.controls.map { $0.map { Double($0) } }
            vectors = places.map { point($0, controls) }
            let problem = try measured.problem(a), points = vectors
            found = try Parallel.map(count: places.count, jobs: jobs) { try problem.pointEvaluation(at: points[$0]) }
        }
        let lengths = zip(vectors, vectors.dropFirst()).map { pair in
            zip(pair.0, pair.1).reduce(0.0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }.squareRoot()
        }
        return ConnectingCurve(
            points: zip(places, found).map { .init(t: $0, evaluation: $1) }, lengths: lengths,
            controls: controls, stepCount: fit.stepCount, trainingLoss: fit.lastLoss)
    }

    private func ends(_ a: any TensorSource, _ b: any TensorSource, _ layout: ParameterLayout) throws -> [[Double]] {
        let ends = try [a, b].map { try layout.flatten($0) }
        guard ends.allSatisfy({ $0.allSatisfy(\.isFinite) }) else {
            throw ZooError(.numeric, "a network diverged: its weights are not finite")
        }
        return ends
    }

    private func check(_ fit: CurveFit) throws {
        guard fit.lastLoss.isFinite else {
            throw ZooError(
                .numeric, "training the curve diverged after \(fit.stepCount) steps",
                hint: "a lower learning rate may help: --curve-lr")
        }
    }

    private func point(_ t: Double, _ controls: [[Double]]) -> [Double] {
        if t == 0 { return controls[0] }
        if t == 1 { return controls[controls.count - 1] }
        var sum = [Double](repeating: 0, count: controls[0].count)
        for (weight, control) in zip(options.form.weights(t, count: controls.count), controls) {
            Vectors.add(weight, control, to: &sum)
        }
        return sum
    }
}

/// A trained curve and what was measured along it.
public struct ConnectingCurve: Sendable, Hashable {
    /// One point.
    public struct Point: Sendable, Hashable {
        /// Place on the curve.
        public var t: Double
        /// Loss and accuracy there.
        public var evaluation: Evaluation
    }

    /// The points in the order of t.
    public let points: [Point]
    /// Distances of neighbouring points.
    public let lengths: [Double]
    /// Ends and bends in the order of the `ParameterLayout`.
    public let controls: [[Double]]
    /// Steps of the training.
    public let stepCount: Int
    /// Mean training loss of the last epoch.
    public let trainingLoss: Double

    /// Connectivity of the error in percentage points.
    public var error: ModeConnectivity {
        ModeConnectivity(points.map(\.t), points.map { 100 * (1 - $0.evaluation.accuracy) }, lengths: lengths)
    }

    /// Connectivity of the mean loss.
    public var loss: ModeConnectivity {
        ModeConnectivity(points.map(\.t), points.map(\.evaluation.loss), lengths: lengths)
    }

    /// The numbers that are kept of a pair: `curve_mc` first.
    public var measurements: [Measurement] {
        let error = error, loss = loss
        let hasError = points.allSatisfy { $0.evaluation.count > 0 }
        return [
            ("curve_mc", error.connectivity), ("curve_mc_loss", loss.connectivity), ("curve_max_error", error.maximum),
            ("curve_min_error", error.minimum), ("curve_mean_error", error.mean),
            ("curve_length_error", error.lengthMean), ("curve_t", hasError ? error.location : loss.location),
            ("curve_max_loss", loss.maximum),
        ].map { name, value in
            Measurement(
                name, value.isFinite ? value : nil, iterations: stepCount,
                reason: value.isFinite
                    ? nil : hasError ? "a point of the curve has no finite value" : "the loss has no error rate")
        }
    }
}

/// Mini-batches of a network: a new order of the samples in every epoch.
private struct NetworkObjective: CurveObjective {
    let dimension: Int
    let stepsPerEpoch: Int
    private let gradient: TrainingGradient
    private let stepper: TrainingGradient.Stepper
    private let seed: UInt64
    private var order: (epoch: Int, places: [Int]) = (-1, [])
    var progress: ((Int) -> Void)?

    init(_ gradient: TrainingGradient, stepper: TrainingGradient.Stepper, seed: UInt64, stepsPerEpoch: Int) {
        dimension = gradient.paddedCount
        self.stepsPerEpoch = stepsPerEpoch
        self.gradient = gradient
        self.stepper = stepper
        self.seed = seed
    }

    mutating func gradient(
        at point: UnsafePointer<Float>, epoch: Int, step: Int, into target: UnsafeMutablePointer<Float>
    ) throws -> Double {
        if order.epoch != epoch {
            if epoch > 0 { progress?(stepsPerEpoch) }
            var stream = RandomStream(seed: seed, "curve order", String(epoch))
            order = (epoch, Array(0..<gradient.samples.count).shuffled(using: &stream))
        }
        let batch = gradient.batch
        return try stepper.gradient(at: point, samples: order.places[step * batch..<(step + 1) * batch], into: target)
    }
}
