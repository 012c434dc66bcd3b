/// Training-free logit probing in the manner of ProbeLog (arXiv 2502.09619): a model's class is the vector of its
/// standardised logits over the probe pool, a query's class that of its standardised similarities to the probes.
/// Compared on the 50 probes most similar to the query's class; classes are assigned one to one.
public struct LogitProbing: Ranker {
    /// The name.
    public static let name = "logit"
    /// One line for help.
    public static let summary = "logits over the probe pool against similarities to it; no model pass (2502.09619)"
    /// What the score is, with its unit.
    public static let meaning = "minus the mean squared distance of standardised logits, summed over classes, 0 at best"
    /// What it looks at.
    public static let needs: Set<RankerNeed> = [.answers]

    /// Probes per class that are compared.
    public var probeCount = 50

    /// With default settings.
    public init() {}

    /// The score; see `Ranker`.
    public func score(_ evidence: Evidence) throws -> Double {
        let (query, answers) = try evidence.requireAnswers(Self.name)
        let scores = answers.scores
        let logits = (0..<scores.columns).map { z in
            Self.standardised((0..<scores.rows).map { scores[$0, z] })
        }
        var cost = Matrix(rows: evidence.classCount, columns: scores.columns)
        for c in 0..<evidence.classCount {
            let similarity = Self.standardised(Array(query.similarity.row(c)))
            let chosen = similarity.indices.sorted { (-similarity[$0], $0) < (-similarity[$1], $1) }.prefix(probeCount)
            for z in 0..<scores.columns {
                cost[c, z] =
                    chosen.reduce(0) { sum, probe in
                        let gap = logits[z][probe] - similarity[probe]
                        return sum + gap * gap
                    } / Double(chosen.count)
            }
        }
        // A class without a partner costs as much as the worst pair, so that models with few classes gain nothing.
        let worst = cost.values.max() ?? 0
        let total = ClassAssignment.minimum(cost).enumerated().reduce(0.0) { sum, entry in
            sum + (entry.element.map { cost[entry.offset, $0] } ?? worst)
        }
        return -total
    }

    static func standardised(_ values: [Double]) -> [Double] {
        let n = Double(values.count)
        let mean = values.reduce(0, +) / n
        let deviation = (values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / n).squareRoot()
        return values.map { ($0 - mean) / (deviation + 1e-9) }
    }
}
