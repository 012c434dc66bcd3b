import ZooBase

/// Pairs of texts with how alike people find them: Spearman's correlation of the cosines with that.
///
/// A line is `{"sentence1": …, "sentence2": …, "score": …}`.
public struct SimilarityTask: Sendable {
    /// What the task is called: the file.
    public let name: String
    /// The first text of each pair.
    public let first: [String]
    /// The second.
    public let second: [String]
    /// How alike they are.
    public let scores: [Double]

    private static let lineLimit = 1 << 20

    /// Reads a file.
    ///
    /// - Throws: `corrupt` or `mismatch` naming file and line; `mismatch` for fewer than three pairs.
    public static func read(_ path: String) throws -> SimilarityTask {
        try records(Bytes(mapping: path), name: path)
    }

    /// Reads the bytes of such a file.
    public static func records(_ bytes: Bytes, name: String) throws -> SimilarityTask {
        var first: [String] = [], second: [String] = [], scores: [Double] = []
        try JSONLines.forEach(bytes, name: name, lineLimit: lineLimit) { _, value in
            for key in ["sentence1", "sentence2"] {
                let text = try JSONLines.text(value, key)
                guard !TripletSet.trimmed(text).isEmpty else { throw ZooError(.mismatch, "'\(key)' is an empty text") }
                if key == "sentence1" { first.append(text) } else { second.append(text) }
            }
            guard let score = value["score"]?.double, score.isFinite else {
                throw ZooError(.mismatch, "'score' is missing or no finite number")
            }
            scores.append(score)
        }
        guard scores.count >= 3 else {
            throw ZooError(.mismatch, "\(name): expected at least 3 pairs for a correlation, found \(scores.count)")
        }
        return SimilarityTask(name: name, first: first, second: second, scores: scores)
    }

    /// Spearman's correlation; nil when all cosines (or all scores) are the same.
    public func correlation(first: [[Float]], second: [[Float]]) -> Double? {
        RankCorrelation.spearman(zip(first, second).map { Geometry.cosine($0, $1) }, scores)
    }
}

/// Correlation of ranks.
public enum RankCorrelation {
    /// Pearson's correlation of the ranks, equal values having the mean of their ranks; nil when a side is constant.
    ///
    /// - Precondition: as many values on both sides.
    public static func spearman(_ x: [Double], _ y: [Double]) -> Double? {
        precondition(x.count == y.count)
        let a = ranks(x), b = ranks(y), mean = Double(x.count + 1) / 2
        var both = 0.0, first = 0.0, second = 0.0
        for (p, q) in zip(a, b) {
            both += (p - mean) * (q - mean)
            first += (p - mean) * (p - mean)
            second += (q - mean) * (q - mean)
        }
        return first > 0 && second > 0 ? both / (first * second).squareRoot() : nil
    }

    /// Ranks from one on, equal values having the mean of theirs.
    public static func ranks(_ values: [Double]) -> [Double] {
        let order = values.indices.sorted { (values[$0], $0) < (values[$1], $1) }
        var ranks = [Double](repeating: 0, count: values.count)
        var start = 0
        while start < order.count {
            var end = start + 1
            while end < order.count, values[order[end]] == values[order[start]] { end += 1 }
            for place in order[start..<end] { ranks[place] = Double(start + end + 1) / 2 }
            start = end
        }
        return ranks
    }
}
