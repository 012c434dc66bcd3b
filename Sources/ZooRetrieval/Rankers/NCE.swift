/// Negative conditional entropy −H(Y|Z) of labels given predicted classes (Tran et al., arXiv 1908.08142). Zero when
/// every predicted class has one label.
public struct NCE: Ranker {
    /// The name.
    public static let name = "nce"
    /// One line for help.
    public static let summary = "negative conditional entropy of labels given predicted classes (1908.08142)"
    /// What the score is, with its unit.
    public static let meaning = "minus the conditional entropy of classes, nats, 0 at best"
    /// What it looks at.
    public static let needs: Set<RankerNeed> = [.probabilities]

    /// With default settings.
    public init() {}

    /// The score; see `Ranker`.
    public func score(_ evidence: Evidence) throws -> Double {
        let p = try evidence.requireProbabilities(Self.name)
        let predicted = (0..<p.rows).map { row in
            (0..<p.columns).reduce(0) { p[row, $1] > p[row, $0] ? $1 : $0 }
        }
        return Self.value(predicted, evidence.labels)
    }

    /// The score of predicted classes.
    package static func value(_ predicted: [Int], _ labels: [Int]) -> Double {
        let zs = (predicted.max() ?? 0) + 1, ys = (labels.max() ?? 0) + 1
        var joint = Matrix(rows: ys, columns: zs)
        for (z, y) in zip(predicted, labels) { joint[y, z] += 1 / Double(labels.count) }
        var sum = 0.0
        for z in 0..<zs {
            let total = (0..<ys).reduce(0) { $0 + joint[$1, z] }
            for y in 0..<ys where joint[y, z] > 0 { sum += joint[y, z] * Elementary.log(joint[y, z] / total) }
        }
        return sum
    }
}
