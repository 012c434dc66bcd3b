/// Log expected empirical prediction (Nguyen et al., arXiv 2002.12462): how well labels follow from the model's
/// probabilities through the empirical conditional distribution. At most zero.
public struct LEEP: Ranker {
    /// The name.
    public static let name = "leep"
    /// One line for help.
    public static let summary = "log expected empirical prediction on class probabilities (2002.12462)"
    /// What the score is, with its unit.
    public static let meaning = "mean log-likelihood of a sample's class, nats, 0 at best"
    /// What it looks at.
    public static let needs: Set<RankerNeed> = [.probabilities]

    /// With default settings.
    public init() {}

    /// The score; see `Ranker`.
    public func score(_ evidence: Evidence) throws -> Double {
        Self.value(try evidence.requireProbabilities(Self.name), evidence.labels, classCount: evidence.classCount)
    }

    /// The score of probabilities `[N, Z]`; columns that are zero everywhere are left out.
    package static func value(_ p: Matrix, _ labels: [Int], classCount: Int) -> Double {
        let n = Double(p.rows)
        var conditional = Matrix(rows: classCount, columns: p.columns)
        for row in 0..<p.rows { for z in 0..<p.columns { conditional[labels[row], z] += p[row, z] / n } }
        for z in 0..<p.columns {
            let total = (0..<classCount).reduce(0) { $0 + conditional[$1, z] }
            for c in 0..<classCount { conditional[c, z] = total > 0 ? conditional[c, z] / total : 0 }
        }
        var sum = 0.0
        for row in 0..<p.rows {
            let expected = (0..<p.columns).reduce(0) { $0 + conditional[labels[row], $1] * p[row, $1] }
            sum += Elementary.log(max(expected, 1e-300))
        }
        return sum / n
    }
}
