import ZooBase
import ZooNN
import ZooTensor

/// A metric of two networks on the same samples.
public enum PairMetric: String, Sendable, CaseIterable {
    /// Linear CKA of the logits.
    case cka
    /// Share of samples that get different classes.
    case disagreement
    /// Mean Jensen–Shannon divergence of the probabilities.
    case divergence
    /// Euclidean distance of the trained weights; networks of one architecture only.
    case distance

    /// One line that says what it is.
    public var summary: String {
        switch self {
        case .cka: "linear CKA of the logits"
        case .disagreement: "share of samples that get different classes"
        case .divergence: "mean Jensen–Shannon divergence of the probabilities, natural logarithm"
        case .distance: "Euclidean distance of the trained weights, of networks of one architecture"
        }
    }
}

/// What pairs of networks are compared by: computed once per network.
public struct PairSubject: Sendable {
    private let representation: Representation?
    private let predictions: Predictions?
    private let weights: [Double]
    private let layout: ParameterLayout

    /// Runs a network once.
    ///
    /// - Throws: `interrupted`, and what is no matter of this network's numbers.
    public init(_ problem: LossProblem) throws {
        weights = problem.initial
        layout = problem.layout
        let logits = try problem.output("logits", at: problem.initial)
        let found = try Self.readings(of: logits)
        representation = found?.representation
        predictions = found?.predictions
    }

    /// Nil for outputs that are not finite.
    private static func readings(
        of logits: Tensor
    ) throws -> (representation: Representation, predictions: Predictions)? {
        do { return (try Representation(logits), try Predictions(logits: logits)) } catch let error as ZooError
            where error.code == .numeric
        { return nil }
    }

    /// Compares.
    public func measure(_ metric: PairMetric, with other: PairSubject) throws -> Measurement {
        switch metric {
        case .distance:
            guard layout == other.layout else {
                return Measurement(metric.rawValue, nil, reason: "the networks have different parameters")
            }
            var difference = weights
            Vectors.add(-1, other.weights, to: &difference)
            let value = Vectors.norm(difference)
            return Measurement(
                metric.rawValue, value.isFinite ? value : nil, reason: value.isFinite ? nil : "not finite")
        case .cka:
            guard let a = representation, let b = other.representation else { return Self.diverged(metric) }
            let value = try a.cka(b)
            return Measurement(metric.rawValue, value, reason: value == nil ? "an output is constant" : nil)
        case .disagreement, .divergence:
            guard let a = predictions, let b = other.predictions else { return Self.diverged(metric) }
            guard a.classCount == b.classCount else {
                return Measurement(metric.rawValue, nil, reason: "the networks have different classes")
            }
            return Measurement(
                metric.rawValue, metric == .divergence ? try a.divergence(b) : try a.disagreement(b))
        }
    }

    private static func diverged(_ metric: PairMetric) -> Measurement {
        Measurement(metric.rawValue, nil, reason: "a network diverged: its outputs are not finite")
    }
}
