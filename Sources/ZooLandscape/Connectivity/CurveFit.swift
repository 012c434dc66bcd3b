import ZooBase

/// The loss that a curve is trained on: a gradient at points of a vector space, one mini-batch after the other.
public protocol CurveObjective {
    /// Numbers of a point.
    var dimension: Int { get }
    /// Mini-batches of an epoch.
    var stepsPerEpoch: Int { get }

    /// The loss at a point on a mini-batch, and its gradient.
    ///
    /// - Parameters:
    ///   - epoch: from zero on; with `step` it says which samples.
    ///   - step: below `stepsPerEpoch`.
    mutating func gradient(
        at point: UnsafePointer<Float>, epoch: Int, step: Int, into gradient: UnsafeMutablePointer<Float>
    ) throws -> Double
}

/// A curve of low loss between two fixed ends, found by moving its bends (arXiv 1802.10026, equation 4).
///
/// The bends begin on the straight line. A step draws t evenly from [0, 1], takes the gradient of
/// L(φ(t)) + ½λ‖φ(t)‖² at the point φ(t) and moves every bend by its share, the weight of the bend at t.
public struct CurveFit: Sendable {
    /// The ends and, between them, the bends.
    public let controls: [[Float]]
    /// Steps taken.
    public let stepCount: Int
    /// The mean loss of the last epoch's steps; not finite when training diverged, and then it stopped there.
    public let lastLoss: Double

    /// Trains a curve.
    ///
    /// - Throws: `mismatch` for ends of another size; what gradients throw; `interrupted`.
    public init(
        from a: [Float], to b: [Float], on objective: inout some CurveObjective, options: CurveOptions = CurveOptions()
    ) throws {
        guard a.count == b.count, a.count == objective.dimension else {
            throw ZooError(.mismatch, "the ends of a curve have \(a.count) and \(b.count) numbers")
        }
        var trainer = CurveTrainer(a, b, options)
        let epochs = options.epochs(stepsPerEpoch: objective.stepsPerEpoch)
        var stream = RandomStream(seed: options.seed, "curve t")
        var steps = 0, loss = 0.0
        training: for epoch in 0..<epochs {
            let rate = options.learningRate * CurveOptions.rateFactor(epoch: epoch, of: epochs)
            loss = 0
            for step in 0..<objective.stepsPerEpoch {
                try Cancellation.check()
                let t = Double.random(in: 0..<1, using: &stream)
                loss += try trainer.step(t, rate) { try objective.gradient(at: $0, epoch: epoch, step: step, into: $1) }
                steps += 1
                guard loss.isFinite else { break training }
            }
        }
        controls = trainer.controls
        stepCount = steps
        lastLoss = loss / Double(max(1, objective.stepsPerEpoch))
    }
}

/// The state of SGD over the bends.
private struct CurveTrainer {
    private(set) var controls: [[Float]]
    private var buffers: [[Float]]
    private var point: [Float]
    private var gradient: [Float]
    private var isFirst = true
    private let options: CurveOptions

    init(_ a: [Float], _ b: [Float], _ options: CurveOptions) {
        let last = options.bendCount + 1
        controls = (0...last).map { place in
            guard place > 0 else { return a }
            guard place < last else { return b }
            let share = Float(place) / Float(last)
            return zip(a, b).map { $0 + share * ($1 - $0) }
        }
        buffers = (0..<options.bendCount).map { _ in [Float](repeating: 0, count: a.count) }
        point = a
        gradient = [Float](repeating: 0, count: a.count)
        self.options = options
    }

    mutating func step(
        _ t: Double, _ rate: Double,
        _ evaluate: (UnsafePointer<Float>, UnsafeMutablePointer<Float>) throws -> Double
    ) throws -> Double {
        let weights = options.form.weights(t, count: controls.count)
        combine(weights)
        let loss = try point.withUnsafeBufferPointer { point in
            try gradient.withUnsafeMutableBufferPointer { gradient -> Double in
                guard let point = point.baseAddress, let gradient = gradient.baseAddress else { return 0 }
                return try evaluate(point, gradient)
            }
        }
        guard loss.isFinite else { return loss }
        for bend in buffers.indices { move(bend, Float(weights[bend + 1]), Float(rate)) }
        isFirst = false
        return loss
    }

    /// φ(t).
    private mutating func combine(_ weights: [Double]) {
        point.withUnsafeMutableBufferPointer { point in
            for (place, control) in controls.enumerated() {
                let weight = Float(weights[place])
                control.withUnsafeBufferPointer { control in
                    if place == 0 {
                        for i in point.indices { point[i] = weight * control[i] }
                    } else {
                        for i in point.indices { point[i] += weight * control[i] }
                    }
                }
            }
        }
    }

    /// PyTorch's SGD: buffer ← m·buffer + g, θ ← θ − rate·buffer, where g = weight·(∇L + λφ).
    private mutating func move(_ bend: Int, _ weight: Float, _ rate: Float) {
        let decay = Float(options.weightDecay), keep = isFirst ? 0 : Float(options.momentum)
        point.withUnsafeBufferPointer { point in
            gradient.withUnsafeBufferPointer { gradient in
                buffers[bend].withUnsafeMutableBufferPointer { buffer in
                    controls[bend + 1].withUnsafeMutableBufferPointer { control in
                        for i in buffer.indices {
                            let moving = keep * buffer[i] + weight * (gradient[i] + decay * point[i])
                            buffer[i] = moving
                            control[i] -= rate * moving
                        }
                    }
                }
            }
        }
    }
}
