import ZooBase

/// H-score (Bao et al., ICIP 2019): tr(S⁺ S_b), between 0 and classes − 1. With a rank of N − 1 it is classes − 1 for
/// every model; see `RegularisedHScore`.
public struct HScore: Ranker {
    /// The name.
    public static let name = "hscore"
    /// One line for help.
    public static let summary =
        "H-score of features (ICIP 2019); useless when there are about as many features as samples"
    /// What the score is, with its unit.
    public static let meaning = "H-score, 0 to the number of classes minus one"
    /// What it looks at.
    public static let needs: Set<RankerNeed> = [.features]

    /// With default settings.
    public init() {}

    /// The score; see `Ranker`.
    public func score(_ evidence: Evidence) throws -> Double {
        let features = try evidence.requireFeatures(Self.name).centred()
        // S⁺ = V (N−1)/s² Vᵀ and S_b = Fᵀ P F/(N−1), P the projection on class means: the trace is |P U|².
        let u = try features.decomposition(cutoff: 1e-5).u
        return Between.energies(u, evidence).reduce(0, +)
    }
}

/// H-score with Ledoit and Wolf's shrinkage of the covariance (Ibrahim et al., arXiv 2110.06893).
public struct RegularisedHScore: Ranker {
    /// The name.
    public static let name = "hscore-reg"
    /// One line for help.
    public static let summary = "H-score with a shrunk covariance (2110.06893)"
    /// What the score is, with its unit.
    public static let meaning = "H-score, 0 to the number of classes minus one"
    /// What it looks at.
    public static let needs: Set<RankerNeed> = [.features]

    /// With default settings.
    public init() {}

    /// The score; see `Ranker`.
    public func score(_ evidence: Evidence) throws -> Double {
        try value(evidence.requireFeatures(Self.name), evidence).score
    }

    package func value(_ features: Matrix, _ evidence: Evidence) throws -> (score: Double, shrinkage: Double) {
        let centred = features.centred()
        let n = Double(centred.rows), d = Double(centred.columns)
        let parts = try centred.decomposition(cutoff: 1e-12)
        let variances = parts.values.map { $0 * $0 / n }
        let mu = variances.reduce(0, +) / d
        guard mu > 0, n > 1 else { throw ZooError(.numeric, "all features are equal; \(Self.name) has no value") }
        let squared = variances.reduce(0) { $0 + $1 * $1 }
        let distance = (squared - d * mu * mu) / d
        let fourth = (0..<centred.rows).reduce(0.0) { sum, row in
            let norm = centred.row(row).reduce(0) { $0 + $1 * $1 }
            return sum + norm * norm
        }
        let noise = min(distance, (fourth / n - squared) / (d * n))
        let a = distance > 0 ? max(0, noise / distance) : 0
        var trace = 0.0
        for (energy, variance) in zip(Between.energies(parts.u, evidence), variances) {
            trace += energy * variance * n / (n - 1) / ((1 - a) * variance + a * mu)
        }
        return ((1 - a) * trace, a)
    }
}

/// What class means keep of orthonormal columns.
enum Between {
    /// |P u_k|² for each column u_k, P the projection on class means.
    static func energies(_ u: Matrix, _ evidence: Evidence) -> [Double] {
        let (means, counts) = u.classMeans(evidence.labels, classCount: evidence.classCount)
        return (0..<u.columns).map { k in
            (0..<evidence.classCount).reduce(0) { $0 + Double(counts[$1]) * means[$1, k] * means[$1, k] }
        }
    }
}
