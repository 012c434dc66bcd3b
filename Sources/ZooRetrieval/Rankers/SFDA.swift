import ZooAutodiff
import ZooBase
import ZooTensor

/// Self-challenging Fisher discriminant analysis (Shao et al., arXiv 2207.03036): mean probability of the true class
/// under a shrunk discriminant, after samples were moved towards the other classes.
///
/// With all generalised eigenvectors U of (S_B, S_W), U Uᵀ is the inverse of S_W, so no eigenproblem is solved.
public struct SFDA: Ranker {
    /// The name.
    public static let name = "sfda"
    /// One line for help.
    public static let summary = "Fisher discriminant on features made harder by its own confidence (2207.03036)"
    /// What the score is, with its unit.
    public static let meaning = "mean probability of a sample's class, 0 to 1"
    /// What it looks at.
    public static let needs: Set<RankerNeed> = [.features]

    /// With default settings.
    public init() {}

    /// The score; see `Ranker`.
    public func score(_ evidence: Evidence) throws -> Double {
        let features = try evidence.requireFeatures(Self.name)
        try BLASLibrary.load()
        let scatter = try Self.within(features, evidence)
        let largest = try scatter.singularValues().first ?? 0
        let lambda = max(Elementary.exp(-5 * largest), 1e-10)
        let first = try Self.probabilities(features, evidence, lambda)
        let (means, _) = features.classMeans(evidence.labels, classCount: evidence.classCount)
        var moved = features
        for row in 0..<features.rows {
            let y = evidence.labels[row], p = first[row, y]
            for k in 0..<features.columns {
                let others = (0..<evidence.classCount).reduce(0) { $1 == y ? $0 : $0 + means[$1, k] }
                moved[row, k] = p * features[row, k] + (1 - p) * others / Double(max(1, evidence.classCount - 1))
            }
        }
        let second = try Self.probabilities(moved, evidence, lambda)
        return evidence.labels.indices.reduce(0) { $0 + second[$1, evidence.labels[$1]] } / Double(features.rows)
    }

    /// Σ_c n_c/N cov_c.
    private static func within(_ features: Matrix, _ evidence: Evidence) throws -> Matrix {
        let (means, _) = features.classMeans(evidence.labels, classCount: evidence.classCount)
        var residuals = features
        for row in 0..<features.rows {
            for k in 0..<features.columns { residuals[row, k] -= means[evidence.labels[row], k] }
        }
        var scatter = try residuals.gram()
        for place in scatter.values.indices { scatter.values[place] /= Double(features.rows) }
        return scatter
    }

    /// Class probabilities of the shrunk discriminant fitted on the samples themselves.
    private static func probabilities(_ features: Matrix, _ evidence: Evidence, _ lambda: Double) throws -> Matrix {
        var scatter = try within(features, evidence)
        let d = scatter.columns
        let trace = (0..<d).reduce(0) { $0 + scatter[$1, $1] }
        for place in scatter.values.indices { scatter.values[place] *= 1 - lambda }
        for k in 0..<d { scatter[k, k] += lambda * trace / Double(d) }
        let (means, counts) = features.classMeans(evidence.labels, classCount: evidence.classCount)
        guard trace > 0,
            let solved = DenseAlgebra.solve(scatter.values, size: d, rightSides: means.values, rows: means.rows)
        else { throw ZooError(.numeric, "the scatter within classes is singular; \(name) has no value") }
        let weights = Matrix(solved, rows: means.rows, columns: d)
        var scores = try features.times(weights, transposed: true)
        for c in 0..<means.rows {
            let half = (0..<d).reduce(0) { $0 + weights[c, $1] * means[c, $1] } / 2
            let prior = Elementary.log(Double(counts[c]) / Double(features.rows))
            for row in 0..<features.rows { scores[row, c] += prior - half }
        }
        return Matrix(Softmax.rows(scores.values, columns: scores.columns), rows: scores.rows, columns: scores.columns)
    }
}
