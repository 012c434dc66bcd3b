/// Distance of class prototypes, without any training: φ-means of the query's classes against those of the probes that
/// the model gives to each of its classes, assigned one to one. The baseline that learned vectors must beat.
public struct NearestKnowledge: Ranker {
    /// The name.
    public static let name = "prototype"
    /// One line for help.
    public static let summary = "distance of class means to the model's own classes of probes; no model pass"
    /// What the score is, with its unit.
    public static let meaning = "mean cosine of matched classes, -1 to 1"
    /// What it looks at.
    public static let needs: Set<RankerNeed> = [.answers]

    /// With default settings.
    public init() {}

    /// The score; see `Ranker`.
    public func score(_ evidence: Evidence) throws -> Double {
        let (query, answers) = try evidence.requireAnswers(Self.name)
        let p = answers.probabilities
        var similarity = Matrix(rows: evidence.classCount, columns: p.columns)
        for z in 0..<p.columns {
            let members = (0..<p.rows).filter { row in
                (0..<p.columns).allSatisfy { p[row, $0] < p[row, z] || ($0 >= z && p[row, $0] == p[row, z]) }
            }
            guard !members.isEmpty else {
                for c in 0..<evidence.classCount { similarity[c, z] = -1 }
                continue
            }
            for c in 0..<evidence.classCount {
                similarity[c, z] = members.reduce(0) { $0 + query.similarity[c, $1] } / Double(members.count)
            }
        }
        return ClassAssignment.maximum(similarity).enumerated().reduce(0.0) { sum, entry in
            sum + (entry.element.map { similarity[entry.offset, $0] } ?? -1)
        } / Double(evidence.classCount)
    }
}
