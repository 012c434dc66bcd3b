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
