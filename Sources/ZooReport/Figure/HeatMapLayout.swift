/// Draws the cells of a heat map: colours, words, hatches where there is no value, lines between groups.
struct HeatMapLayout {
    private static let hatchStep = 7.0

    private let map: HeatMap
    private let heat: HeatColors
    private let plot: Box
    /// Borders of the columns and rows on the page, one more than there are.
    private let columns: [Double]
    private let rows: [Double]

    /// nil when a coordinate has no place on its axis.
    init?(_ map: HeatMap, _ heat: HeatColors, _ x: ScaledAxis, _ y: ScaledAxis, _ plot: Box) {
        self.map = map
        self.heat = heat
        self.plot = plot
        columns = Self.edges(map.x, x).map { plot.x + $0 * plot.width }
        rows = Self.edges(map.y, y).map { plot.bottom - $0 * plot.height }
        guard columns.count == map.x.count + 1, rows.count == map.y.count + 1 else { return nil }
    }

    /// Borders half-way between centres, on the axis's scale; the outer cells reach as far as their inner side.
    private static func edges(_ centers: [Double], _ axis: ScaledAxis) -> [Double] {
        let places = centers.compactMap { axis.position($0) }
        guard places.count == centers.count, let first = places.first, let last = places.last else { return [] }
        guard places.count > 1 else { return [first - 0.5, first + 0.5].map { min(1, max(0, $0)) } }
        let middles = zip(places, places.dropFirst()).map { ($0 + $1) / 2 }
        let before = first - (middles[0] - first)
        let after = last + (last - middles[middles.count - 1])
        return [before] + middles + [after]
    }

    private func box(_ row: Int, _ column: Int) -> Box {
        Box(
            x: min(columns[column], columns[column + 1]), y: min(rows[row], rows[row + 1]),
            width: abs(columns[column + 1] - columns[column]), height: abs(rows[row + 1] - rows[row]))
    }

    func draw(into scene: inout Scene) {
        let format = CellFormat(.init("", .double, digits: 3), seeing: map.values.lazy.map(Table.Cell.double))
        for row in map.y.indices {
            for column in map.x.indices {
                let place = row * map.x.count + column, value = map.values[place], cell = box(row, column)
                let color = heat.color(value)
                scene.add(.box(cell, color, opacity: 1), clip: plot)
                if !heat.isShown(value) { hatch(cell, into: &scene) }
                guard let text = text(place, format) else { continue }
                let at = Point(cell.x + cell.width / 2, cell.y + cell.height / 2 + 3.6)
                scene.add(
                    .label(
                        .init(
                            text: RichText(text), at: at, size: 10, anchor: .middle,
                            color: color.luminance > 0.55 ? .text : .white)))
            }
        }
        drawBorders(into: &scene)
    }

    private func text(_ place: Int, _ format: CellFormat) -> String? {
        if !map.cellLabels.isEmpty { return map.cellLabels[place].isEmpty ? nil : map.cellLabels[place] }
        guard map.showsValues else { return nil }
        let value = map.values[place]
        return value.isFinite ? format.text(.double(value)).withMinus : "–"
    }

    /// Slanted lines over a cell: nothing was measured here.
    private func hatch(_ cell: Box, into scene: inout Scene) {
        var offset = -cell.height + Self.hatchStep / 2
        while offset < cell.width {
            let from = max(0, -offset), to = min(cell.height, cell.width - offset)
            if from < to {
                let ends = [
                    Point(cell.x + offset + from, cell.bottom - from), Point(cell.x + offset + to, cell.bottom - to),
                ]
                scene.add(.line(ends, .hatch, width: 1, isDashed: false), clip: plot)
            }
            offset += Self.hatchStep
        }
    }

    // MARK: Groups

    private func drawBorders(into scene: inout Scene) {
        guard !map.groups.isEmpty else { return }
        let lines = borders
        // A light rim lets the dark line be seen on dark cells too.
        for line in lines { scene.add(.line(line, .white, width: 4, isDashed: false), clip: plot) }
        for line in lines { scene.add(.line(line, .text, width: 1.8, isDashed: false), clip: plot) }
    }

    /// One line for each stretch of a border.
    private var borders: [[Point]] {
        let width = map.x.count
        func group(_ row: Int, _ column: Int) -> Int { map.groups[row * width + column] }
        var lines: [[Point]] = []
        for column in map.x.indices.dropLast() {
            for run in runs(map.y.count, where: { group($0, column) != group($0, column + 1) }) {
                lines.append([
                    Point(columns[column + 1], rows[run.lowerBound]), Point(columns[column + 1], rows[run.upperBound]),
                ])
            }
        }
        for row in map.y.indices.dropLast() {
            for run in runs(width, where: { group(row, $0) != group(row + 1, $0) }) {
                lines.append([
                    Point(columns[run.lowerBound], rows[row + 1]), Point(columns[run.upperBound], rows[row + 1]),
                ])
            }
        }
        return lines
    }

    private func runs(_ count: Int, where holds: (Int) -> Bool) -> [Range<Int>] {
        var found: [Range<Int>] = []
        var start: Int?
        for place in 0...count {
            let isIn = place < count && holds(place)
            if isIn, start == nil { start = place }
            if !isIn, let first = start {
                found.append(first..<place)
                start = nil
            }
        }
        return found
    }
}
