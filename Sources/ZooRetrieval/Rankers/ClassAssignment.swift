/// The one-to-one assignment of a query's classes to a model's that costs least (Kuhn, 1955; shortest augmenting paths
/// with potentials, as in Jonker and Volgenant, 1987). For class matching: rows and columns are classes, O(n²m).
public enum ClassAssignment {
    /// The column of each row; nil for rows that are left over when there are more rows than columns.
    ///
    /// - Parameter cost: `[rows, columns]`, finite.
    public static func minimum(_ cost: Matrix) -> [Int?] {
        guard cost.rows > 0, cost.columns > 0 else { return [Int?](repeating: nil, count: cost.rows) }
        guard cost.rows > cost.columns else { return solve(cost).map { $0 } }
        var turned = Matrix(rows: cost.columns, columns: cost.rows)
        for row in 0..<cost.rows { for column in 0..<cost.columns { turned[column, row] = cost[row, column] } }
        var result = [Int?](repeating: nil, count: cost.rows)
        for (column, row) in solve(turned).enumerated() { result[row] = column }
        return result
    }

    /// The column of each row with the largest total gain.
    public static func maximum(_ gain: Matrix) -> [Int?] {
        minimum(Matrix(gain.values.map { -$0 }, rows: gain.rows, columns: gain.columns))
    }

    /// For at most as many rows as columns. Place 0 of rows and columns is a sentinel.
    private static func solve(_ cost: Matrix) -> [Int] {
        let n = cost.rows, m = cost.columns
        var rowPotential = [Double](repeating: 0, count: n + 1), columnPotential = [Double](repeating: 0, count: m + 1)
        var owner = [Int](repeating: 0, count: m + 1), way = [Int](repeating: 0, count: m + 1)
        for row in 1...n {
            owner[0] = row
            var column = 0
            var slack = [Double](repeating: .infinity, count: m + 1)
            var used = [Bool](repeating: false, count: m + 1)
            repeat {
                used[column] = true
                let current = owner[column]
                var delta = Double.infinity, next = 0
                for j in 1...m where !used[j] {
                    let reduced = cost[current - 1, j - 1] - rowPotential[current] - columnPotential[j]
                    if reduced < slack[j] {
                        slack[j] = reduced
                        way[j] = column
                    }
                    if slack[j] < delta {
                        delta = slack[j]
                        next = j
                    }
                }
                for j in 0...m {
                    if used[j] {
                        rowPotential[owner[j]] += delta
                        columnPotential[j] -= delta
                    } else {
                        slack[j] -= delta
                    }
                }
                column = next
            } while owner[column] != 0
            repeat {
                let previous = way[column]
                owner[column] = owner[previous]
                column = previous
            } while column != 0
        }
        var result = [Int](repeating: 0, count: n)
        for j in 1...m where owner[j] > 0 { result[owner[j] - 1] = j - 1 }
        return result
    }
}
