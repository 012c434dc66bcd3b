/// 3 × 3 medians of every measurement of a grid, edges repeated: takes out single odd cells.
struct GridMedian {
    /// The smoothed cells, row by row. A cell keeps a missing measurement.
    let cells: [PhaseCell]

    init(_ grid: [[PhaseCell]]) {
        func median(_ row: Int, _ column: Int, _ value: (PhaseCell) -> Double?) -> Double? {
            guard value(grid[row][column]) != nil else { return nil }
            var around: [Double] = []
            for i in -1...1 {
                for j in -1...1 {
                    let r = min(max(row + i, 0), grid.count - 1), c = min(max(column + j, 0), grid[row].count - 1)
                    if let found = value(grid[r][c]), found.isFinite { around.append(found) }
                }
            }
            around.sort()
            guard !around.isEmpty else { return nil }
            let middle = around.count / 2
            return around.count % 2 == 1 ? around[middle] : (around[middle - 1] + around[middle]) / 2
        }
        cells = grid.indices.flatMap { row in
            grid[row].indices.map { column in
                PhaseCell(
                    trainLoss: grid[row][column].trainLoss, sharpness: median(row, column, \.sharpness),
                    connectivity: median(row, column, \.connectivity),
                    similarity: median(row, column, \.similarity))
            }
        }
    }
}
