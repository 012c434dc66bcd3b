/// An opaque picture of square pixels that shapes are painted on with smooth edges.
///
/// Coverage of a pixel is computed, not sampled: exactly for boxes, by distance to the outline for strokes and dots,
/// and from four exact scan lines per row for polygons.
struct Canvas {
    let width: Int
    let height: Int
    /// Red, green, blue of each pixel, row by row.
    private(set) var pixels: [UInt8]

    /// A white picture.
    init(width: Int, height: Int) {
        self.width = width
        self.height = height
        pixels = [UInt8](repeating: 255, count: width * height * 3)
    }

    /// Fills a box.
    mutating func fill(_ box: Box, _ color: Color, opacity: Double) {
        guard let area = pixelArea(box) else { return }
        for row in area.rows {
            let high = min(box.bottom, Double(row + 1)) - max(box.y, Double(row))
            for column in area.columns {
                let wide = min(box.right, Double(column + 1)) - max(box.x, Double(column))
                blend(column, row, color, max(0, wide) * max(0, high) * opacity)
            }
        }
    }

    /// Fills a disc.
    mutating func fillDot(_ center: Point, radius: Double, _ color: Color, opacity: Double, clip: Box) {
        let reach = radius + 1
        guard
            let area = pixelArea(
                Box(x: center.x - reach, y: center.y - reach, width: 2 * reach, height: 2 * reach), clip)
        else { return }
        for row in area.rows {
            for column in area.columns {
                let (dx, dy) = (Double(column) + 0.5 - center.x, Double(row) + 0.5 - center.y)
                blend(column, row, color, min(1, radius + 0.5 - (dx * dx + dy * dy).squareRoot()) * opacity)
            }
        }
    }

    /// Draws lines of one thickness with round ends and corners. Where they cross, the colour is laid on once.
    mutating func stroke(_ lines: [[Point]], width: Double, _ color: Color, clip: Box) {
        let radius = width / 2
        let all = lines.joined()
        guard let left = all.map(\.x).min(), let right = all.map(\.x).max(), let top = all.map(\.y).min(),
            let bottom = all.map(\.y).max()
        else { return }
        let reach = radius + 1
        let bounds = Box(
            x: left - reach, y: top - reach, width: right - left + 2 * reach, height: bottom - top + 2 * reach)
        guard let area = pixelArea(bounds, clip) else { return }
        var coverage = [Float](repeating: 0, count: area.columns.count * area.rows.count)
        for line in lines {
            if line.count == 1 { cover(line[0], line[0], radius, area, &coverage) }
            for (start, end) in zip(line, line.dropFirst()) { cover(start, end, radius, area, &coverage) }
        }
        for row in area.rows {
            for column in area.columns {
                let share = coverage[
                    (row - area.rows.lowerBound) * area.columns.count + column - area.columns.lowerBound]
                if share > 0 { blend(column, row, color, Double(share)) }
            }
        }
    }

    /// Fills the inside of an outline, by the even-odd rule.
    mutating func fill(_ outline: [Point], _ color: Color, opacity: Double, clip: Box) {
        guard let left = outline.map(\.x).min(), let right = outline.map(\.x).max(), let top = outline.map(\.y).min(),
            let bottom = outline.map(\.y).max(),
            let area = pixelArea(Box(x: left, y: top, width: right - left, height: bottom - top), clip)
        else { return }
        let scans = 4
        for row in area.rows {
            var coverage = [Double](repeating: 0, count: area.columns.count)
            for scan in 0..<scans {
                let height = Double(row) + (Double(scan) + 0.5) / Double(scans)
                let crossings = Self.crossings(outline, at: height)
                for pair in stride(from: 0, to: crossings.count - 1, by: 2) {
                    let (start, end) = (crossings[pair], crossings[pair + 1])
                    let first = max(area.columns.lowerBound, Int(start.rounded(.down)))
                    let last = min(area.columns.upperBound - 1, Int(end.rounded(.down)))
                    guard first <= last else { continue }
                    for column in first...last {
                        let wide = min(end, Double(column + 1)) - max(start, Double(column))
                        coverage[column - area.columns.lowerBound] += max(0, wide) / Double(scans)
                    }
                }
            }
            for column in area.columns {
                blend(column, row, color, coverage[column - area.columns.lowerBound] * opacity)
            }
        }
    }

    private static func crossings(_ outline: [Point], at height: Double) -> [Double] {
        var crossings: [Double] = []
        for (index, start) in outline.enumerated() {
            let end = outline[(index + 1) % outline.count]
            guard (start.y <= height) != (end.y <= height) else { continue }
            crossings.append(start.x + (height - start.y) / (end.y - start.y) * (end.x - start.x))
        }
        return crossings.sorted()
    }

    private func cover(
        _ start: Point, _ end: Point, _ radius: Double, _ area: (columns: Range<Int>, rows: Range<Int>),
        _ coverage: inout [Float]
    ) {
        let reach = radius + 1
        let box = Box(
            x: min(start.x, end.x) - reach, y: min(start.y, end.y) - reach, width: abs(end.x - start.x) + 2 * reach,
            height: abs(end.y - start.y) + 2 * reach)
        let (dx, dy) = (end.x - start.x, end.y - start.y)
        let squared = dx * dx + dy * dy
        let rows = area.rows.clamped(to: Self.pixels(box.y, box.bottom))
        let columns = area.columns.clamped(to: Self.pixels(box.x, box.right))
        for row in rows {
            for column in columns {
                let (px, py) = (Double(column) + 0.5 - start.x, Double(row) + 0.5 - start.y)
                let along = squared > 0 ? min(1, max(0, (px * dx + py * dy) / squared)) : 0
                let (ox, oy) = (px - along * dx, py - along * dy)
                let share = Float(min(1, radius + 0.5 - (ox * ox + oy * oy).squareRoot()))
                let index = (row - area.rows.lowerBound) * area.columns.count + column - area.columns.lowerBound
                coverage[index] = max(coverage[index], share)
            }
        }
    }

    private static func pixels(_ low: Double, _ high: Double) -> Range<Int> {
        let limit = 1e6
        let first = Int(max(-limit, min(limit, low.rounded(.down))))
        return first..<max(first, Int(max(-limit, min(limit, high.rounded(.up)))))
    }

    private func pixelArea(_ box: Box, _ clip: Box? = nil) -> (columns: Range<Int>, rows: Range<Int>)? {
        var columns = Self.pixels(box.x, box.right).clamped(to: 0..<width)
        var rows = Self.pixels(box.y, box.bottom).clamped(to: 0..<height)
        if let clip {
            columns = columns.clamped(to: Int(clip.x.rounded())..<Int(max(clip.x, clip.right).rounded()))
            rows = rows.clamped(to: Int(clip.y.rounded())..<Int(max(clip.y, clip.bottom).rounded()))
        }
        return columns.isEmpty || rows.isEmpty ? nil : (columns, rows)
    }

    private mutating func blend(_ column: Int, _ row: Int, _ color: Color, _ share: Double) {
        guard share > 0 else { return }
        let weight = min(1, share)
        let index = (row * width + column) * 3
        let parts = (color.red * 255, color.green * 255, color.blue * 255)
        pixels[index] = Self.mix(pixels[index], parts.0, weight)
        pixels[index + 1] = Self.mix(pixels[index + 1], parts.1, weight)
        pixels[index + 2] = Self.mix(pixels[index + 2], parts.2, weight)
    }

    private static func mix(_ old: UInt8, _ new: Double, _ weight: Double) -> UInt8 {
        UInt8(min(255, max(0, (Double(old) + (new - Double(old)) * weight).rounded())))
    }
}
