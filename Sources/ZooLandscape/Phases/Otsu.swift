/// Otsu's threshold: the cut of a sample into two groups with the largest variance between them (N. Otsu, 1979).
public struct Otsu: Sendable, Hashable {
    /// Halfway between the two values around the cut.
    public let threshold: Double
    /// Variance between the groups over the whole variance: 1 for two points, 0.75 for an even spread, 0.64 for a
    /// normal distribution.
    public let separability: Double

    /// Cuts a sample; nil when all values are equal or there are fewer than two.
    public init?(_ values: [Double]) {
        let sorted = values.sorted()
        guard let first = sorted.first, let last = sorted.last, first < last else { return nil }
        let n = Double(sorted.count)
        let mean = sorted.reduce(0, +) / n
        let variance = sorted.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / n
        let total = sorted.reduce(0, +)
        var best = (between: -1.0, threshold: 0.0)
        var left = 0.0
        for k in 1..<sorted.count {
            left += sorted[k - 1]
            guard sorted[k - 1] < sorted[k] else { continue }
            let count = Double(k)
            let difference = left / count - (total - left) / (n - count)
            let between = count * (n - count) / (n * n) * difference * difference
            if between > best.between { best = (between, (sorted[k - 1] + sorted[k]) / 2) }
        }
        threshold = best.threshold
        separability = best.between / variance
    }
}
