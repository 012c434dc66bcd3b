/// TransRate (Huang et al., arXiv 2106.09362): coding rate of the features minus that of each class. Classes are not
/// centred again; their shares are weights (the published code takes the plain mean, the same for balanced classes).
///
/// It depends on the scale of features and on ε: the published 1e-4 is far too small for few samples. The default is 1.
public struct TransRate: Ranker {
    /// The name.
    public static let name = "transrate"
    /// One line for help.
    public static let summary = "coding rate of features minus that within classes, epsilon 1 (2106.09362)"
    /// What the score is, with its unit.
    public static let meaning = "coding rate gained by the classes, nats"
    /// What it looks at.
    public static let needs: Set<RankerNeed> = [.features]

    /// The distortion ε.
    public var epsilon = 1.0

    /// With default settings.
    public init() {}

    /// The score; see `Ranker`.
    public func score(_ evidence: Evidence) throws -> Double {
        let z = try evidence.requireFeatures(Self.name).centred()
        var value = try rate(z)
        for c in 0..<evidence.classCount {
            let members = evidence.labels.indices.filter { evidence.labels[$0] == c }
            value -= Double(members.count) / Double(z.rows) * (try rate(z.selecting(members)))
        }
        return value
    }

    /// ½ ln det(I + AᵀA/(n ε)).
    private func rate(_ a: Matrix) throws -> Double {
        try a.singularValues().reduce(0) { $0 + Elementary.log1p($1 * $1 / (Double(a.rows) * epsilon)) / 2 }
    }
}
