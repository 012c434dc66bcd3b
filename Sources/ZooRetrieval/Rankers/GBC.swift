/// Gaussian Bhattacharyya coefficient between classes (Pándy et al., arXiv 2111.12780), negated sum over ordered pairs.
///
/// Features are reduced to at most 64 principal components first; classes are spherical Gaussians, since full covariances
/// of a few samples are singular.
public struct GBC: Ranker {
    /// The name.
    public static let name = "gbc"
    /// One line for help.
    public static let summary = "overlap of spherical Gaussians of classes, negated (2111.12780)"
    /// What the score is, with its unit.
    public static let meaning = "minus the summed overlap of class pairs, 0 at best"
    /// What it looks at.
    public static let needs: Set<RankerNeed> = [.features]

    /// Added to every variance.
    public var floor = 1e-6
    /// One variance per class instead of one per class and dimension.
    public var isSpherical = true

    /// With default settings.
    public init() {}

    /// The score; see `Ranker`.
    public func score(_ evidence: Evidence) throws -> Double {
        let features = try evidence.requireFeatures(Self.name)
        let x = try features.principalComponents(limit: min(64, features.rows - 1))
        let (means, counts) = x.classMeans(evidence.labels, classCount: evidence.classCount)
        var variances = Matrix(rows: evidence.classCount, columns: x.columns)
        for row in 0..<x.rows {
            let c = evidence.labels[row]
            for k in 0..<x.columns {
                let distance = x[row, k] - means[c, k]
                variances[c, k] += distance * distance / Double(counts[c])
            }
        }
        for c in 0..<evidence.classCount {
            let mean = variances.row(c).reduce(0, +) / Double(x.columns)
            for k in 0..<x.columns { variances[c, k] = (isSpherical ? mean : variances[c, k]) + floor }
        }
        var sum = 0.0
        for i in 0..<evidence.classCount {
            for j in 0..<evidence.classCount where i != j { sum += Self.overlap(means, variances, i, j) }
        }
        return -sum
    }

    /// exp(−Bhattacharyya distance); zero between classes without any spread.
    private static func overlap(_ means: Matrix, _ variances: Matrix, _ i: Int, _ j: Int) -> Double {
        var distance = 0.0
        for k in 0..<means.columns {
            let vi = variances[i, k], vj = variances[j, k], v = (vi + vj) / 2
            let gap = means[i, k] - means[j, k]
            if v > 0 { distance += gap * gap / v / 8 } else if gap != 0 { return 0 }
            if vi > 0, vj > 0 {
                distance += (Elementary.log(v) - (Elementary.log(vi) + Elementary.log(vj)) / 2) / 2
            }
        }
        return Elementary.exp(-distance)
    }
}
