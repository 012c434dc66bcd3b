import ZooBase

/// Scores of rankings against known truth.
public enum RetrievalMetrics {
    /// The place from one on of the first correct model; ties are broken against the ranker (a correct model comes after
    /// all wrong ones of its score), so that constant scores gain nothing. Nil when no model is correct.
    public static func rank(of correct: Set<Int>, scores: [Double]) -> Int? {
        guard let best = correct.map({ scores[$0] }).max() else { return nil }
        return 1 + scores.indices.count { scores[$0] >= best && !correct.contains($0) }
    }

    /// Vigna's weighted tau with hyperbolic weights by true rank: w = 1/(r_i + 1) + 1/(r_j + 1), r the place in
    /// decreasing truth (of equal values the earlier first). Nil when a side is constant.
    ///
    /// - Precondition: as many scores as truths.
    public static func weightedTau(truth: [Double], scores: [Double]) -> Double? {
        precondition(truth.count == scores.count)
        let order = truth.indices.sorted { (-truth[$0], $0) < (-truth[$1], $1) }
        var place = [Int](repeating: 0, count: truth.count)
        for (r, index) in order.enumerated() { place[index] = r }
        return tau(truth, scores) { 1 / Double(place[$0] + 1) + 1 / Double(place[$1] + 1) }
    }

    /// Kendall's tau-b. Nil when a side is constant.
    public static func tau(truth: [Double], scores: [Double]) -> Double? { tau(truth, scores) { _, _ in 1 } }

    private static func tau(_ x: [Double], _ y: [Double], _ weight: (Int, Int) -> Double) -> Double? {
        var both = 0.0, first = 0.0, second = 0.0
        for i in x.indices {
            for j in x.indices where j > i {
                let w = weight(i, j)
                let dx = sign(x[i] - x[j]), dy = sign(y[i] - y[j])
                both += w * dx * dy
                first += w * dx * dx
                second += w * dy * dy
            }
        }
        return first > 0 && second > 0 ? both / (first * second).squareRoot() : nil
    }

    private static func sign(_ x: Double) -> Double { x > 0 ? 1 : x < 0 ? -1 : 0 }
}

/// Means over queries with bootstrap intervals; queries are drawn with replacement.
public enum Bootstrap {
    /// Times that queries are drawn.
    public static let defaultDraws = 1000

    /// The mean and the bounds of a 95 % interval (2.5 and 97.5 percentiles). Nil for no values.
    public static func interval(
        _ values: [Double], draws: Int = defaultDraws, seed: UInt64
    ) -> (mean: Double, low: Double, high: Double)? {
        guard !values.isEmpty else { return nil }
        let means = resampled(values, draws, seed).sorted()
        let mean = values.reduce(0, +) / Double(values.count)
        let cut = Int((0.025 * Double(means.count)).rounded(.down))
        return (mean, means[cut], means[means.count - 1 - cut])
    }

    /// Paired test of two rankers on the same queries: the mean difference with its 95 % interval, and twice the share of
    /// draws whose mean difference has the other sign or is zero (add-one, so never zero).
    ///
    /// - Precondition: as many values on both sides.
    public static func paired(
        _ a: [Double], _ b: [Double], draws: Int = defaultDraws, seed: UInt64
    ) -> (difference: Double, low: Double, high: Double, p: Double)? {
        precondition(a.count == b.count)
        guard !a.isEmpty else { return nil }
        let differences = zip(a, b).map { $0 - $1 }
        let mean = differences.reduce(0, +) / Double(differences.count)
        let means = resampled(differences, draws, seed).sorted()
        let against = means.count { mean > 0 ? $0 <= 0 : $0 >= 0 }
        let cut = Int((0.025 * Double(means.count)).rounded(.down))
        return (mean, means[cut], means[means.count - 1 - cut], min(1, 2 * Double(against + 1) / Double(draws + 1)))
    }

    private static func resampled(_ values: [Double], _ draws: Int, _ seed: UInt64) -> [Double] {
        var generator = SeededGenerator(seed: seed)
        return (0..<max(1, draws)).map { _ in
            var sum = 0.0
            for _ in values { sum += values[generator.below(values.count)] }
            return sum / Double(values.count)
        }
    }
}
