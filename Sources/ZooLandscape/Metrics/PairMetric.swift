import ZooBase
import ZooNN
import ZooTensor

/// A metric of two networks on the same samples.
public enum PairMetric: String, Sendable, CaseIterable {
    /// Linear CKA of the logits.
    case cka
    /// Of the probabilities.
    case ckaSoftmax = "cka_softmax"
    /// Of the input of the last layer.
    case ckaPenultimate = "cka_penultimate"
    /// Of the logits, with the unbiased estimate of HSIC over all samples.
    case ckaDebiased = "cka_debiased"
    /// The same summed over batches of 128.
    case ckaMinibatch = "cka_minibatch"
    /// The taxonomy's: of the probabilities on mixtures of two batches.
    case ckaMixup = "cka_mixup"
    /// Share of samples that get equal classes.
    case agreement
    /// Share of samples that get different classes.
    case disagreement
    /// Mean Jensen–Shannon divergence of the probabilities.
    case divergence
    /// Mean cosine of the logits.
    case cosine
    /// Accuracy of the mean probabilities less the mean accuracy.
    case ensembleGain = "ensemble_gain"
    /// Euclidean distance of the trained weights; networks of one architecture only.
    case distance
    /// That distance over the mean norm.
    case relativeDistance = "relative_distance"
    /// Cosine of the weights.
    case weightCosine = "weight_cosine"
    /// Share of the weights with equal signs.
    case signAgreement = "sign_agreement"
    /// Distance tensor by tensor.
    case layerDistance = "layer_distance"

    /// One line that says what it is.
    public var summary: String {
        switch self {
        case .cka: "linear CKA of the logits"
        case .ckaSoftmax: "linear CKA of the probabilities"
        case .ckaPenultimate: "linear CKA of the last layer's inputs"
        case .ckaDebiased: "CKA of the logits with the unbiased estimate over all samples; may be negative"
        case .ckaMinibatch: "the same summed over batches of 128"
        case .ckaMixup: "the taxonomy's: CKA of the probabilities on mixtures of 5 × 128 pairs of samples"
        case .agreement: "share of samples that get equal classes"
        case .disagreement: "share of samples that get different classes"
        case .divergence: "mean Jensen–Shannon divergence of the probabilities, natural logarithm"
        case .cosine: "mean cosine of the logits"
        case .ensembleGain: "accuracy of the mean probabilities less the mean accuracy"
        case .distance: "Euclidean distance of the trained weights, of networks of one architecture"
        case .relativeDistance: "that distance over the mean norm"
        case .weightCosine: "cosine of the weights"
        case .signAgreement: "share of the weights with equal signs"
        case .layerDistance: "Euclidean distance tensor by tensor"
        }
    }

    /// Whether it runs networks on mixtures of samples.
    public var readsMixedInputs: Bool { self == .ckaMixup }

    var readsWeights: Bool {
        switch self {
        case .distance, .relativeDistance, .weightCosine, .signAgreement, .layerDistance: true
        default: false
        }
    }
}

/// What pairs of networks are compared by: computed once per network.
public struct PairSubject: Sendable {
    /// Readings of the outputs; nil for outputs that are not finite.
    private struct Readings: Sendable {
        var logits: Representation
        var predictions: Predictions
        var softmax: Representation?
        var batches: [Representation]
        var rows: [Double]
        var accuracy: Double?
    }

    private let readings: Readings?
    private let penultimate: Representation?
    private let mixed: Representation?
    private let weights: [Double]
    private let layout: ParameterLayout
    private let labels: [Int32]

    /// Samples of a batch of `cka_minibatch`.
    static let minibatch = 128

    /// Runs a network once on the samples, and once on mixtures where they are given.
    ///
    /// - Parameters:
    ///   - mixed: the same network on mixtures of samples.
    ///   - metrics: what will be asked for; nothing else is kept.
    /// - Throws: `interrupted`, and what is no matter of this network's numbers.
    public init(
        _ problem: LossProblem, mixed: LossProblem? = nil, metrics: [PairMetric] = PairMetric.allCases
    ) throws {
        weights = metrics.contains(where: \.readsWeights) ? problem.initial : []
        layout = problem.layout
        labels = problem.hasAccuracy ? problem.rowLabels : []
        readings =
            try metrics.allSatisfy(\.readsWeights)
            ? nil
            : Self.finite {
                try Self.readings(try problem.logitRows(at: problem.initial), problem.rowLabels, metrics)
            }
        penultimate =
            try metrics.contains(.ckaPenultimate)
            ? Self.finite { try Representation(problem.output("features", at: problem.initial)) } : nil
        self.mixed = try mixed.flatMap { problem in
            try Self.finite {
                let logits = try problem.logitRows(at: problem.initial)
                return try Representation(Predictions(logits: logits).probabilityTensor)
            }
        }
    }

    /// Nil for outputs that are not finite.
    private static func finite<T>(_ body: () throws -> T) throws -> T? {
        do { return try body() } catch let error as ZooError where error.code == .numeric { return nil }
    }

    private static func readings(_ logits: Tensor, _ labels: [Int32], _ metrics: [PairMetric]) throws -> Readings {
        let predictions = try Predictions(logits: logits)
        return Readings(
            logits: try Representation(logits), predictions: predictions,
            softmax: metrics.contains(.ckaSoftmax) ? try Representation(predictions.probabilityTensor) : nil,
            batches: metrics.contains(.ckaMinibatch) ? try Representation.batches(of: logits, size: minibatch) : [],
            rows: metrics.contains(.cosine) ? logits.doubles() : [],
            accuracy: labels.isEmpty ? nil : predictions.accuracy(labels))
    }

    /// Compares.
    public func measure(_ metric: PairMetric, with other: PairSubject) throws -> [Measurement] {
        let name = metric.rawValue
        if metric.readsWeights {
            guard layout == other.layout else {
                return [Measurement(name, nil, reason: "the networks have different parameters")]
            }
            return weightMeasurements(metric, other)
        }
        switch metric {
        case .ckaMixup: return [try Self.similarity(name, mixed, other.mixed)]
        case .ckaPenultimate: return [try Self.similarity(name, penultimate, other.penultimate)]
        default: break
        }
        guard let a = readings, let b = other.readings else { return [Self.diverged(name)] }
        switch metric {
        case .cka: return [try Self.similarity(name, a.logits, b.logits)]
        case .ckaSoftmax: return [try Self.similarity(name, a.softmax, b.softmax)]
        case .ckaDebiased: return [Self.constant(name, try a.logits.debiasedCKA(b.logits))]
        case .ckaMinibatch: return [Self.constant(name, try Representation.debiasedCKA(a.batches, b.batches))]
        default: break
        }
        guard a.predictions.classCount == b.predictions.classCount else {
            return [Measurement(name, nil, reason: "the networks have different classes")]
        }
        switch metric {
        case .agreement: return [Measurement(name, 1 - (try a.predictions.disagreement(b.predictions)))]
        case .disagreement: return [Measurement(name, try a.predictions.disagreement(b.predictions))]
        case .divergence: return [Measurement(name, try a.predictions.divergence(b.predictions))]
        case .cosine:
            let value = Self.meanCosine(a.rows, b.rows, columns: a.predictions.classCount)
            return [Measurement(name, value, reason: value == nil ? "an output is zero everywhere" : nil)]
        default:
            guard let first = a.accuracy, let second = b.accuracy else {
                return [Measurement(name, nil, reason: "the samples have no labels")]
            }
            let ensemble = try Predictions.ensemble([a.predictions, b.predictions]).accuracy(labels)
            return [Measurement(name, ensemble - (first + second) / 2)]
        }
    }

    private static func similarity(_ name: String, _ a: Representation?, _ b: Representation?) throws -> Measurement {
        guard let a, let b else { return diverged(name) }
        return constant(name, try a.cka(b))
    }

    private static func constant(_ name: String, _ value: Double?) -> Measurement {
        Measurement(name, value, reason: value == nil ? "an output is constant" : nil)
    }

    private static func diverged(_ name: String) -> Measurement {
        Measurement(name, nil, reason: "a network diverged: its outputs are not finite")
    }

    /// The mean over samples of the cosine of two rows; rows of zeros are left out.
    private static func meanCosine(_ a: [Double], _ b: [Double], columns: Int) -> Double? {
        var total = 0.0, count = 0
        for start in stride(from: 0, to: a.count, by: columns) {
            let x = Array(a[start..<start + columns]), y = Array(b[start..<start + columns])
            let size = Vectors.norm(x) * Vectors.norm(y)
            guard size > 0 else { continue }
            total += Vectors.dot(x, y) / size
            count += 1
        }
        return count > 0 ? total / Double(count) : nil
    }

    // MARK: Weights

    private func weightMeasurements(_ metric: PairMetric, _ other: PairSubject) -> [Measurement] {
        var difference = weights
        Vectors.add(-1, other.weights, to: &difference)
        func checked(_ name: String, _ value: Double) -> Measurement {
            Measurement(name, value.isFinite ? value : nil, reason: value.isFinite ? nil : "not finite")
        }
        let name = metric.rawValue
        let norms = (Vectors.norm(weights), Vectors.norm(other.weights))
        switch metric {
        case .relativeDistance: return [checked(name, Vectors.norm(difference) / ((norms.0 + norms.1) / 2))]
        case .weightCosine: return [checked(name, Vectors.dot(weights, other.weights) / (norms.0 * norms.1))]
        case .signAgreement:
            guard norms.0.isFinite, norms.1.isFinite else { return [checked(name, .nan)] }
            let equal = zip(weights, other.weights).filter { ($0 > 0) == ($1 > 0) && ($0 < 0) == ($1 < 0) }.count
            return [checked(name, Double(equal) / Double(max(1, weights.count)))]
        case .layerDistance:
            return layout.entries.map { checked("\(name)/\($0.name)", Vectors.norm(Array(difference[$0.range]))) }
        default: return [checked(name, Vectors.norm(difference))]
        }
    }
}
