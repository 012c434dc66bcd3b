import ZooBase

/// Chooses the lowest scores of groups, exactly as many as asked for, ties by name and place.
public enum MaskSelection {
    /// The scores of one matrix as they lie in its tensor.
    public struct Scored: Sendable {
        /// The matrix.
        public var matrix: CandidateMatrix
        /// A score per weight; −∞ for weights that are zero already, which go first.
        public var scores: [Double]

        /// Scores of a matrix.
        public init(_ matrix: CandidateMatrix, _ scores: [Double]) {
            self.matrix = matrix
            self.scores = scores
        }
    }

    /// A selection: which weights go, and what guards did.
    public struct Result: Sendable {
        /// Whether a weight goes, by matrix, as the tensors lie.
        public var pruned: [String: [Bool]]
        /// Weights that were kept so that no output row is empty, and so that no matrix loses more than 95 %.
        public var restoredRows = 0, restoredInFullMatrices = 0
    }

    /// The largest share of a matrix that a global threshold may take.
    public static let largestShare = 0.95

    /// Selects.
    ///
    /// - Throws: `numeric` for a score that is NaN; `mismatch` for inputs that a pattern does not divide.
    public static func select(_ list: [Scored], sparsity: Double, group: PruneGroup) throws -> Result {
        for entry in list {
            guard let place = entry.scores.firstIndex(where: \.isNaN) else { continue }
            throw ZooError(
                .numeric, "the score of weight \(place) of '\(entry.matrix.name)' is NaN",
                hint: "look for NaN in the weights with 'zoo inspect' and in the scores")
        }
        switch group {
        case .global: return guarded(list, sparsity)
        case .tensor:
            let pruned = list.map { entry in
                (entry.matrix.name, lowest(entry.scores, PruneGroup.zeros(sparsity, of: entry.scores.count)))
            }
            return Result(pruned: Dictionary(pruned, uniquingKeysWith: { first, _ in first }))
        case .row:
            let pruned = list.map { entry in (entry.matrix.name, rows(entry, sparsity)) }
            return Result(pruned: Dictionary(pruned, uniquingKeysWith: { first, _ in first }))
        case .pattern(let keep, let of):
            let pruned = try list.map { entry in (entry.matrix.name, try pattern(entry, keep, of)) }
            return Result(pruned: Dictionary(pruned, uniquingKeysWith: { first, _ in first }))
        }
    }

    /// The `count` lowest scores; among equal ones the first go.
    public static func lowest(_ scores: [Double], _ count: Int) -> [Bool] {
        var pruned = [Bool](repeating: false, count: scores.count)
        guard count > 0, !scores.isEmpty else { return pruned }
        guard count < scores.count else { return [Bool](repeating: true, count: scores.count) }
        var copy = scores
        let threshold = nthElement(&copy, count - 1)
        var taken = 0
        for place in scores.indices where scores[place] < threshold {
            pruned[place] = true
            taken += 1
        }
        for place in scores.indices where taken < count && scores[place] == threshold {
            pruned[place] = true
            taken += 1
        }
        return pruned
    }

    private static func rows(_ entry: Scored, _ sparsity: Double) -> [Bool] {
        let matrix = entry.matrix, count = PruneGroup.zeros(sparsity, of: matrix.columns)
        var pruned = [Bool](repeating: false, count: matrix.count)
        for row in 0..<matrix.rows {
            let own = (0..<matrix.columns).map { entry.scores[matrix.index(row, $0)] }
            for (column, goes) in lowest(own, count).enumerated() where goes {
                pruned[matrix.index(row, column)] = true
            }
        }
        return pruned
    }

    private static func pattern(_ entry: Scored, _ keep: Int, _ of: Int) throws -> [Bool] {
        let matrix = entry.matrix
        try checkPattern(matrix, of)
        var pruned = [Bool](repeating: false, count: matrix.count)
        for row in 0..<matrix.rows {
            for start in stride(from: 0, to: matrix.columns, by: of) {
                let own = (start..<start + of).map { entry.scores[matrix.index(row, $0)] }
                for (place, goes) in lowest(own, of - keep).enumerated() where goes {
                    pruned[matrix.index(row, start + place)] = true
                }
            }
        }
        return pruned
    }

    /// - Throws: `mismatch` when a matrix's inputs are no multiple of the pattern.
    static func checkPattern(_ matrix: CandidateMatrix, _ of: Int) throws {
        guard matrix.columns % of == 0 else {
            throw ZooError(
                .mismatch,
                "'\(matrix.name)' has \(matrix.columns) inputs; expected a multiple of \(of) for groups of \(of)")
        }
    }

    // MARK: One threshold for all

    /// Order by name, so that ties do not depend on the order of the matrices. A matrix that would lose more than
    /// 95 % and a row that would lose everything keep their best; what is then missing is taken elsewhere.
    private static func guarded(_ given: [Scored], _ sparsity: Double) -> Result {
        let list = given.sorted { $0.matrix.name < $1.matrix.name }
        let total = list.reduce(0) { $0 + $1.scores.count }
        let wanted = PruneGroup.zeros(sparsity, of: total)
        let share = max(largestShare, sparsity)
        var flat: [Double] = []
        flat.reserveCapacity(total)
        for entry in list { flat += entry.scores }
        var pruned = lowest(flat, wanted)
        var locked = [Bool](repeating: false, count: total)
        var result = Result(pruned: [:])
        while true {
            var start = 0, restored = 0
            var isFull = [Bool](repeating: false, count: list.count)
            for (place, entry) in list.enumerated() {
                let rows = restoreRows(entry, start, flat, &pruned, &locked)
                let excess = restoreExcess(entry, start, share, flat, &pruned, &locked)
                result.restoredRows += rows
                result.restoredInFullMatrices += excess.restored
                restored += rows + excess.restored
                isFull[place] = excess.isFull
                start += entry.scores.count
            }
            let missing = wanted - pruned.reduce(0) { $0 + ($1 ? 1 : 0) }
            guard restored > 0, missing > 0 else { break }
            // The next lowest where something may still go.
            var places: [Int] = []
            start = 0
            for (place, entry) in list.enumerated() {
                if !isFull[place] {
                    for index in start..<start + entry.scores.count where !pruned[index] && !locked[index] {
                        places.append(index)
                    }
                }
                start += entry.scores.count
            }
            guard !places.isEmpty else { break }
            for (index, goes) in zip(places, lowest(places.map { flat[$0] }, min(missing, places.count))) where goes {
                pruned[index] = true
            }
        }
        var start = 0
        for entry in list {
            result.pruned[entry.matrix.name] = Array(pruned[start..<start + entry.scores.count])
            start += entry.scores.count
        }
        return result
    }

    /// Keeps the best weight of every row that would lose all; rows that were zero before stay so.
    private static func restoreRows(
        _ entry: Scored, _ start: Int, _ flat: [Double], _ pruned: inout [Bool], _ locked: inout [Bool]
    ) -> Int {
        let matrix = entry.matrix
        var restored = 0
        for row in 0..<matrix.rows {
            var best: Int?
            var isEmpty = true
            for column in 0..<matrix.columns {
                let index = start + matrix.index(row, column)
                guard pruned[index] else {
                    isEmpty = false
                    break
                }
                if flat[index] > -.infinity, best.map({ flat[index] > flat[$0] }) ?? true { best = index }
            }
            guard isEmpty, let best else { continue }
            pruned[best] = false
            locked[best] = true
            restored += 1
        }
        return restored
    }

    /// Keeps the best of what a matrix would lose beyond its largest share.
    private static func restoreExcess(
        _ entry: Scored, _ start: Int, _ share: Double, _ flat: [Double], _ pruned: inout [Bool],
        _ locked: inout [Bool]
    ) -> (restored: Int, isFull: Bool) {
        let range = start..<start + entry.scores.count
        let most = PruneGroup.zeros(share, of: range.count)
        let gone = range.filter { pruned[$0] }
        guard gone.count > most else { return (0, gone.count == most) }
        // The lowest go first, so the highest are restored; those that were zero before are not worth it.
        let stays = lowest(gone.map { flat[$0] }, most)
        var restored = 0
        for (index, goes) in zip(gone, stays) where !goes && flat[index] > -.infinity {
            pruned[index] = false
            locked[index] = true
            restored += 1
        }
        return (restored, true)
    }

    // MARK: Selection

    /// The value that would stand at a place after sorting; orders the array around it.
    static func nthElement(_ values: inout [Double], _ place: Int) -> Double {
        values.withUnsafeMutableBufferPointer { v in
            var low = 0, high = v.count - 1
            while low < high {
                // The median of three keeps sorted and constant arrays from taking quadratic time.
                let middle = low + (high - low) / 2
                if v[middle] < v[low] { v.swapAt(middle, low) }
                if v[high] < v[low] { v.swapAt(high, low) }
                if v[high] < v[middle] { v.swapAt(high, middle) }
                let pivot = v[middle]
                var left = low, right = high
                while left <= right {
                    while v[left] < pivot { left += 1 }
                    while v[right] > pivot { right -= 1 }
                    if left <= right {
                        v.swapAt(left, right)
                        left += 1
                        right -= 1
                    }
                }
                if place <= right {
                    high = right
                } else if place >= left {
                    low = left
                } else {
                    break
                }
            }
            return v[place]
        }
    }
}
