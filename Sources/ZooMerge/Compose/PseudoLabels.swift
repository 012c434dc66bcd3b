import ZooBase

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// What unlabelled samples are taught from: trusted samples per class and sharpened predictions ("unsupervised
/// FixMatch", arXiv 2407.02880, section 5.2 and appendix).
public enum PseudoLabels {
    /// exp(z) / Σ exp(z).
    public static func softmax(_ logits: [Double]) -> [Double] {
        let largest = logits.max() ?? 0
        let powers = logits.map { exp($0 - largest) }
        let sum = powers.reduce(0, +)
        return powers.map { $0 / sum }
    }

    /// p^e / Σ p^e. An exponent above one sharpens (2 is a temperature of ½), one below flattens (½ as printed).
    public static func sharpened(_ p: [Double], exponent: Double) -> [Double] {
        let powers = p.map { pow($0, exponent) }
        let sum = powers.reduce(0, +)
        return sum > 0 ? powers.map { $0 / sum } : p
    }

    /// The confidence that a step asks for: from 0.9 to 1 over training.
    public static func threshold(step: Int, of total: Int) -> Double {
        0.9 + 0.1 * Double(step) / Double(max(1, total))
    }

    /// Whether a prediction may teach: both it and the label made of it pass the threshold.
    ///
    /// Of a label that is sharpened, asking the label alone would let predictions of 0.75 pass a threshold of 0.9, and
    /// a model then learns its own mistakes; of one that is flattened, as printed, the label decides.
    public static func isCertain(_ prediction: [Double], label: [Double], threshold: Double) -> Bool {
        min(prediction.max() ?? 0, label.max() ?? 0) > threshold
    }

    /// −Σ q log ŷ where max q exceeds ω; nil where the sample is skipped.
    public static func loss(_ q: [Double], _ prediction: [Double], threshold: Double) -> Double? {
        guard (q.max() ?? 0) > threshold else { return nil }
        return -zip(q, prediction).reduce(0) { $0 + ($1.0 == 0 ? 0 : $1.0 * log($1.1)) }
    }

    /// The trusted samples: for each class the min(N / C, `limit`) samples to which the model gives it the largest
    /// probability, ties by place. A sample may be trusted for one class only: that of its larger probability.
    ///
    /// - Parameter probabilities: `[samples, classes]`.
    /// - Returns: places, ascending, and their classes.
    public static func trusted(_ probabilities: [[Double]], limit: Int = 100) -> [(place: Int, label: Int32)] {
        let classes = probabilities.first?.count ?? 0
        guard classes > 0 else { return [] }
        let wanted = max(1, min(probabilities.count / classes, limit))
        var best: [Int: (label: Int, probability: Double)] = [:]
        for label in 0..<classes {
            let order = probabilities.indices.sorted {
                let (a, b) = (probabilities[$0][label], probabilities[$1][label])
                return a != b ? a > b : $0 < $1
            }
            for place in order.prefix(wanted) {
                let probability = probabilities[place][label]
                if best[place].map({ probability > $0.probability }) ?? true { best[place] = (label, probability) }
            }
        }
        return best.keys.sorted().map { ($0, Int32(best[$0]?.label ?? 0)) }
    }
}
