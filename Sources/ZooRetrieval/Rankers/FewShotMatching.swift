/// The share of probability that falls on the best one-to-one matching of the query's classes to the model's: strong,
/// cheap, and it gives the class mapping with which the model can be used at once.
public struct FewShotMatching: Ranker {
    /// The name.
    public static let name = "fewshot"
    /// One line for help.
    public static let summary = "probability mass under the best matching of classes"
    /// What the score is, with its unit.
    public static let meaning = "share of the samples' probability on the matched classes, 0 to 1"
    /// What it looks at.
    public static let needs: Set<RankerNeed> = [.probabilities]

    /// With default settings.
    public init() {}

    /// The score; see `Ranker`.
    public func score(_ evidence: Evidence) throws -> Double {
        let p = try evidence.requireProbabilities(Self.name)
        return Self.matching(p, evidence.labels, classCount: evidence.classCount).score
    }

    /// The share, and the model's class for each of the query's (nil when the model has fewer).
    public static func matching(_ p: Matrix, _ labels: [Int], classCount: Int) -> (score: Double, classes: [Int?]) {
        var mass = Matrix(rows: classCount, columns: p.columns)
        for row in 0..<p.rows { for z in 0..<p.columns { mass[labels[row], z] += p[row, z] } }
        let classes = ClassAssignment.maximum(mass)
        let matched = classes.enumerated().reduce(0.0) { sum, entry in
            entry.element.map { sum + mass[entry.offset, $0] } ?? sum
        }
        return (matched / Double(max(1, p.rows)), classes)
    }
}
