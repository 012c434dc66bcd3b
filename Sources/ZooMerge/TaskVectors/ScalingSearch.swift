import ZooBase

/// The choice of a scale on validation data (arXiv 2212.04089, section 4 and appendix).
public enum ScalingSearch {
    /// 0, 0.05, …, 1.
    public static let grid = (0...20).map { Double($0) / 20 }

    /// The place of the best score: only strictly greater ones replace, so of equal ones the first wins; NaN never does.
    public static func best(_ scores: [Double]) -> Int? {
        var best: Int?
        for (place, score) in scores.enumerated() where !score.isNaN && score > best.map({ scores[$0] }) ?? -.infinity {
            best = place
        }
        return best
    }

    /// Negation: the place of the lowest target accuracy among scales whose control accuracy is at least `share` of the
    /// base's; nil when none is better than the base (α = 0).
    public static func bestNegation(
        target: [Double], control: [Double], baseControl: Double, share: Double = 0.95
    ) -> Int? {
        var best: Int?, lowest = 1.0
        for place in target.indices where control[place] >= share * baseControl && target[place] < lowest {
            (best, lowest) = (place, target[place])
        }
        return best
    }

    /// The mean over tasks of accuracy / accuracy of the task's own fine-tuned network. A task on which that one has no
    /// hit has no normalised accuracy: NaN.
    public static func normalised(_ accuracies: [Double], single: [Double]) -> Double {
        precondition(accuracies.count == single.count)
        let ratios = zip(accuracies, single).map { $1 > 0 ? $0 / $1 : .nan }
        return ratios.reduce(0, +) / Double(max(1, ratios.count))
    }

    /// One scale per task by coordinate descent: each in turn takes the best of the grid, all others held; a sweep that
    /// changes nothing ends it.
    ///
    /// - Parameter evaluate: scores of several choices, in order.
    public static func coordinateDescent(
        tasks: Int, grid: [Double] = grid, sweeps: Int = 2, start: [Double],
        evaluate: ([[Double]]) throws -> [Double]
    ) throws -> (scales: [Double], score: Double) {
        var scales = start
        var score = try evaluate([scales])[0]
        for _ in 0..<sweeps {
            let before = scales
            for task in 0..<tasks {
                let candidates = grid.map { value in
                    var next = scales
                    next[task] = value
                    return next
                }
                let scores = try evaluate(candidates)
                guard let best = best(scores), scores[best] > score else { continue }
                (scales, score) = (candidates[best], scores[best])
            }
            if scales == before { break }
        }
        return (scales, score)
    }
}

/// Weight disentanglement: how much adding one task's vector changes what the network says of another task's data
/// (arXiv 2305.12827, section 4; arXiv 2407.02880, section 5.1).
public enum DisentanglementError {
    /// The share of samples whose predicted class differs.
    public static func share(_ alone: [Int32], _ together: [Int32]) -> Double {
        precondition(alone.count == together.count)
        guard !alone.isEmpty else { return 0 }
        return Double(zip(alone, together).count { $0 != $1 }) / Double(alone.count)
    }

    /// The mean of a square matrix without its diagonal; nil for fewer than two tasks.
    public static func mean(_ matrix: [[Double]]) -> Double? {
        guard matrix.count > 1 else { return nil }
        var sum = 0.0
        for (i, row) in matrix.enumerated() { for (j, value) in row.enumerated() where i != j { sum += value } }
        return sum / Double(matrix.count * (matrix.count - 1))
    }
}
