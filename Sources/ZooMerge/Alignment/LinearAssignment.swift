import ZooBase

/// The assignment of rows to columns with the largest or smallest sum, exactly, in O(n³).
///
/// Jonker and Volgenant (Computing 38, 1987): column reduction gives first prices and a partial assignment, then one
/// shortest augmenting path per free row. Everything is in double precision; among equal paths the lowest column is
/// taken, so results do not depend on the machine.
public enum LinearAssignment {
    /// The column of each row with Σ values[row, column] as large as possible.
    ///
    /// - Parameter values: `size` × `size`, row-major.
    /// - Throws: `numeric` for a value that is not finite.
    public static func maximum(_ values: [Double], size: Int) throws -> [Int] {
        try minimum(values.map { -$0 }, size: size)
    }

    /// The column of each row with Σ costs[row, column] as small as possible.
    ///
    /// - Throws: `numeric` for a cost that is not finite.
    public static func minimum(_ costs: [Double], size: Int) throws -> [Int] {
        precondition(costs.count == size * size)
        guard costs.allSatisfy(\.isFinite) else {
            throw ZooError(.numeric, "an assignment cost is not finite", hint: "'zoo verify' finds NaN weights")
        }
        return costs.withUnsafeBufferPointer { costs in
            guard let base = costs.baseAddress else { return [] }
            var search = ShortestPaths(base, size)
            return search.solve()
        }
    }
}

private struct ShortestPaths {
    let costs: UnsafePointer<Double>
    let size: Int
    var price: [Double]
    var rowOfColumn: [Int]
    var columnOfRow: [Int]
    var distance: [Double]
    var previous: [Int]
    /// Columns: those with final distance first, then the rest.
    var order: [Int]

    init(_ costs: UnsafePointer<Double>, _ size: Int) {
        self.costs = costs
        self.size = size
        price = [Double](repeating: 0, count: size)
        rowOfColumn = [Int](repeating: -1, count: size)
        columnOfRow = rowOfColumn
        distance = price
        previous = rowOfColumn
        order = Array(0..<size)
    }

    mutating func solve() -> [Int] {
        reduceColumns()
        for row in 0..<size where columnOfRow[row] < 0 { augment(row) }
        return columnOfRow
    }

    /// Prices are column minima; a row that is the minimum of a column takes it.
    private mutating func reduceColumns() {
        var best = [Int](repeating: 0, count: size)
        for column in 0..<size { price[column] = costs[column] }
        for row in 1..<max(size, 1) {
            let line = costs + row * size
            for column in 0..<size where line[column] < price[column] {
                price[column] = line[column]
                best[column] = row
            }
        }
        for column in 0..<size where columnOfRow[best[column]] < 0 {
            columnOfRow[best[column]] = column
            rowOfColumn[column] = best[column]
        }
    }

    /// Dijkstra over reduced costs from a free row to the nearest free column; prices move so that the path is tight.
    private mutating func augment(_ start: Int) {
        let size = size, costs = costs
        let line = costs + start * size
        distance.withUnsafeMutableBufferPointer { distance in
            for column in 0..<size { distance[column] = line[column] - price[column] }
        }
        for column in 0..<size {
            previous[column] = start
            order[column] = column
        }
        var final = 0
        var end = -1
        var reached = 0.0
        while end < 0 {
            let nearest = order.withUnsafeBufferPointer { order in
                distance.withUnsafeBufferPointer { distance in
                    var nearest = final
                    for place in final + 1..<max(size, final + 1)
                    where distance[order[place]] < distance[order[nearest]] { nearest = place }
                    return nearest
                }
            }
            let column = order[nearest]
            reached = distance[column]
            order.swapAt(final, nearest)
            final += 1
            let row = rowOfColumn[column]
            if row < 0 {
                end = column
            } else {
                relax(row, through: column, final, reached)
            }
        }
        for place in 0..<final - 1 {
            let column = order[place]
            price[column] += distance[column] - reached
        }
        var column = end
        while true {
            let row = previous[column]
            rowOfColumn[column] = row
            swap(&column, &columnOfRow[row])
            if row == start { return }
        }
    }

    private mutating func relax(_ row: Int, through column: Int, _ final: Int, _ reached: Double) {
        let line = costs + row * size
        let offset = reached - (line[column] - price[column])
        let size = size
        order.withUnsafeBufferPointer { order in
            price.withUnsafeBufferPointer { price in
                distance.withUnsafeMutableBufferPointer { distance in
                    previous.withUnsafeMutableBufferPointer { previous in
                        for place in final..<size {
                            let next = order[place]
                            let length = offset + line[next] - price[next]
                            if length < distance[next] {
                                distance[next] = length
                                previous[next] = row
                            }
                        }
                    }
                }
            }
        }
    }
}
