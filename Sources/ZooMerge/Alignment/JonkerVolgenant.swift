/// One assignment problem in work. Prices stay such that every row's column is its cheapest after prices, which makes the
/// finished assignment the best one.
struct JonkerVolgenant {
    private let costs: UnsafePointer<Double>
    private let size: Int
    private var price: [Double]
    private var rowOfColumn: [Int]
    private var columnOfRow: [Int]
    private var free: [Int] = []
    private var distance: [Double]
    private var previous: [Int]
    /// Columns: those with final distance first, then the rest.
    private var order: [Int]

    /// - Parameter size: at least 2.
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
        for _ in 0..<2 where !free.isEmpty { reduceFreeRows() }
        for row in free { augment(row) }
        return columnOfRow
    }

    /// Prices are column minima; a row that is the minimum of columns takes the first of them. A row with one column lowers
    /// that column's price to its second choice, which makes room for others.
    private mutating func reduceColumns() {
        var best = [Int](repeating: 0, count: size)
        for column in 0..<size { price[column] = costs[column] }
        price.withUnsafeMutableBufferPointer { price in
            for row in 1..<size {
                let line = costs + row * size
                for column in 0..<size where line[column] < price[column] {
                    price[column] = line[column]
                    best[column] = row
                }
            }
        }
        var matches = [Int](repeating: 0, count: size)
        for column in 0..<size {
            let row = best[column]
            matches[row] += 1
            guard matches[row] == 1 else { continue }
            columnOfRow[row] = column
            rowOfColumn[column] = row
        }
        for row in 0..<size {
            if matches[row] == 0 {
                free.append(row)
            } else if matches[row] == 1 {
                let (own, line) = (columnOfRow[row], costs + row * size)
                var least = Double.infinity
                for column in 0..<size where column != own { least = min(least, line[column] - price[column]) }
                price[own] -= least
            }
        }
    }

    /// Each free row takes its cheapest column and lowers the price to its second choice; who stood there is free and goes
    /// on at once while prices move, later otherwise.
    private mutating func reduceFreeRows() {
        var waiting = free
        free = []
        var place = 0
        // Prices that move by rounding alone could go on for ever.
        var budget = 8 * size
        while place < waiting.count {
            let row = waiting[place]
            place += 1
            let (first, second, gap) = cheapest(row)
            var column = first
            let lowered = price[first] - gap
            let moves = lowered < price[first] && budget > 0
            budget -= 1
            if moves {
                price[first] = lowered
            } else if rowOfColumn[first] >= 0, gap == 0 {
                column = second
            }
            let displaced = rowOfColumn[column]
            if !moves, gap > 0, displaced >= 0 {
                free.append(row)
                continue
            }
            columnOfRow[row] = column
            rowOfColumn[column] = row
            guard displaced >= 0 else { continue }
            columnOfRow[displaced] = -1
            if moves {
                place -= 1
                waiting[place] = displaced
            } else {
                free.append(displaced)
            }
        }
    }

    /// The two columns with the smallest reduced costs, and the difference.
    private func cheapest(_ row: Int) -> (first: Int, second: Int, gap: Double) {
        let line = costs + row * size
        return price.withUnsafeBufferPointer { price in
            var (first, second) = (0, 1)
            var (least, next) = (line[0] - price[0], line[1] - price[1])
            if next < least {
                swap(&first, &second)
                swap(&least, &next)
            }
            for column in 2..<max(2, size) {
                let reduced = line[column] - price[column]
                guard reduced < next else { continue }
                if reduced < least {
                    (next, second) = (least, first)
                    (least, first) = (reduced, column)
                } else {
                    (next, second) = (reduced, column)
                }
            }
            return (first, second, next - least)
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
        var nearest = nearestPlace(from: 0)
        while end < 0 {
            let column = order[nearest]
            reached = distance[column]
            order.swapAt(final, nearest)
            final += 1
            let row = rowOfColumn[column]
            if row < 0 {
                end = column
            } else {
                nearest = relax(row, through: column, final, reached)
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

    private func nearestPlace(from final: Int) -> Int {
        order.withUnsafeBufferPointer { order in
            distance.withUnsafeBufferPointer { distance in
                var nearest = final
                for place in final + 1..<max(size, final + 1)
                where distance[order[place]] < distance[order[nearest]] { nearest = place }
                return nearest
            }
        }
    }

    /// Shortens the ways to all columns that are not final through a row; returns the place of the nearest of them.
    private mutating func relax(_ row: Int, through column: Int, _ final: Int, _ reached: Double) -> Int {
        let line = costs + row * size
        let offset = reached - (line[column] - price[column])
        let size = size
        return order.withUnsafeBufferPointer { order in
            price.withUnsafeBufferPointer { price in
                distance.withUnsafeMutableBufferPointer { distance in
                    previous.withUnsafeMutableBufferPointer { previous in
                        var nearest = final, least = Double.infinity
                        for place in final..<size {
                            let next = order[place]
                            let length = offset + line[next] - price[next]
                            if length < distance[next] {
                                distance[next] = length
                                previous[next] = row
                            }
                            if distance[next] < least {
                                least = distance[next]
                                nearest = place
                            }
                        }
                        return nearest
                    }
                }
            }
        }
    }
}
