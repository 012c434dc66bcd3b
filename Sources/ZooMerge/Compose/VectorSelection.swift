import ZooBase

/// Which task vectors are used when there is room for b of them only (arXiv 2407.02880, appendix on budgets).
public enum VectorSelection: String, Sendable, CaseIterable {
    /// b at random.
    case random
    /// The b whose data look most like the target's to the base: cosine of mean features.
    case features
    /// The b with the largest Σⱼ |∂L/∂λᵢ⁽ʲ⁾| at zero.
    case gradientWhole = "gradient-whole"
    /// For every group the b with the largest |∂L/∂λᵢ⁽ʲ⁾| at zero.
    case gradientBlockwise = "gradient-blockwise"

    /// For each vector the groups it may move.
    ///
    /// - Parameters:
    ///   - gradient: at zero coefficients, `[vectors, groups]`; for the two kinds that look at it.
    ///   - similarity: one per vector, for `features`.
    ///   - vectors: how many there are.
    /// Of equal ones the first wins.
    public func choose(
        budget: Int, vectors: Int, groups: Int, gradient: [Double] = [], similarity: [Double] = [], seed: UInt64 = 0
    ) -> [Set<Int>] {
        let all = Set(0..<groups)
        func whole(_ scores: [Double]) -> [Set<Int>] {
            let chosen = Set(Self.largest(scores, budget))
            return (0..<vectors).map { chosen.contains($0) ? all : [] }
        }
        switch self {
        case .random:
            var generator = SeededGenerator(seed: seed)
            let chosen = Set(generator.permutation(vectors).prefix(budget))
            return (0..<vectors).map { chosen.contains($0) ? all : [] }
        case .features: return whole(similarity)
        case .gradientWhole:
            return whole(
                (0..<vectors).map { vector in
                    gradient[vector * groups..<(vector + 1) * groups].reduce(0) { $0 + abs($1) }
                })
        case .gradientBlockwise:
            var sets = [Set<Int>](repeating: [], count: vectors)
            for group in 0..<groups {
                let scores = (0..<vectors).map { abs(gradient[$0 * groups + group]) }
                // A vector without a gradient here is zero here: nothing is lost without it.
                for vector in Self.largest(scores, budget) where scores[vector] > 0 { sets[vector].insert(group) }
            }
            return sets
        }
    }

    private static func largest(_ scores: [Double], _ count: Int) -> [Int] {
        Array(scores.indices.sorted { scores[$0] != scores[$1] ? scores[$0] > scores[$1] : $0 < $1 }.prefix(count))
    }
}
