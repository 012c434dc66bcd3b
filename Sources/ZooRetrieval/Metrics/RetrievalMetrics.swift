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
