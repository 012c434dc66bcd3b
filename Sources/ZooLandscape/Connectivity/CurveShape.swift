/// How control points make a curve between two networks (Garipov et al., arXiv 1802.10026).
public enum CurveForm: String, Sendable, CaseIterable {
    /// Σ C(n−1,i) tⁱ (1−t)^(n−1−i) θᵢ: with one bend (1−t)² a + 2t(1−t) θ + t² b.
    case bezier
    /// Straight pieces from control point to control point: Σ max(0, 1 − |t(n−1) − i|) θᵢ.
    case chain

    /// The weight of each of `count` control points at t; they sum to one.
    ///
    /// - Precondition: at least two control points.
    public func weights(_ t: Double, count: Int) -> [Double] {
        precondition(count >= 2)
        let last = count - 1
        switch self {
        case .chain: return (0..<count).map { max(0, 1 - abs(t * Double(last) - Double($0))) }
        case .bezier:
            // de Casteljau's scheme on unit vectors: no binomials that overflow.
            var weights = [1.0]
            for _ in 0..<last {
                var next = [Double](repeating: 0, count: weights.count + 1)
                for (place, weight) in weights.enumerated() {
                    next[place] += (1 - t) * weight
                    next[place + 1] += t * weight
                }
                weights = next
            }
            return weights
        }
    }
}

/// How a curve is trained and measured.
public struct CurveOptions: Sendable, Hashable {
    /// What the control points mean.
    public var form = CurveForm.bezier
    /// Control points between the ends.
    public var bendCount = 1
    /// Passes over the data; nil for 50, and more on small data until there are `leastSteps`.
    public var epochs: Int?
    /// The learning rate before it decays.
    public var learningRate = 0.01
    /// Samples of a step; an incomplete last batch is left out.
    public var batch = 128
    /// SGD's momentum.
    public var momentum = 0.9
    /// λ of ½λ‖φ(t)‖², on the point of the curve.
    public var weightDecay = 5e-4
    /// Places on the curve that are evaluated, the ends among them.
    public var pointCount = 5
    /// Seed of batches and of t.
    public var seed: UInt64 = 0

    /// Steps that a curve gets at least when the number of epochs is left open: shorter ones stop while the path is
    /// still higher than it need be.
    public static let leastSteps = 2_000
    /// Epochs at least when their number is left open.
    public static let leastEpochs = 50

    /// The settings of the loss-landscape taxonomy (arXiv 2107.11228).
    public init() {}

    /// The passes over data that make `steps` steps each.
    public func epochs(stepsPerEpoch: Int) -> Int {
        epochs ?? max(Self.leastEpochs, (Self.leastSteps + stepsPerEpoch - 1) / max(1, stepsPerEpoch))
    }

    /// The factor of the learning rate: one for half of the epochs, down to 0.01 at nine tenths, then constant.
    public static func rateFactor(epoch: Int, of epochs: Int) -> Double {
        let share = Double(epoch) / Double(max(1, epochs))
        if share <= 0.5 { return 1 }
        return share <= 0.9 ? 1 - (share - 0.5) / 0.4 * 0.99 : 0.01
    }

    /// All that a result depends on, as text.
    public var description: String {
        "curve=\(form.rawValue) bends=\(bendCount) epochs=\(epochs.map(String.init) ?? "auto") lr=\(learningRate) "
            + "batch=\(batch) momentum=\(momentum) decay=\(weightDecay) points=\(pointCount) seed=\(seed)"
    }
}
