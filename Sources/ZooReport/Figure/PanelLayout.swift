import ZooBase

/// Draws one panel: frame, ticks, layers, annotations, colour bar.
struct PanelLayout {
    private static let tickSize = 10.5
    private static let labelSize = 11.5
    private static let titleSize = 12.5
    private static let tickLength = 4.0
    /// Room between neighbouring labels of given ticks.
    private static let tickGap = 3.0

    private let panel: Panel
    private let outer: Box
    private let styles: SeriesStyles
    private let x: ScaledAxis
    private let y: ScaledAxis
    private let heat: HeatColors?
    /// Where data are drawn.
    private let plot: Box

    init(_ panel: Panel, _ outer: Box, _ styles: SeriesStyles) {
        self.panel = panel
        self.outer = outer
        self.styles = styles
        let extent = PanelExtent(panel)
        x = ScaledAxis(panel.x, values: extent.x, isTight: extent.isTight)
        y = ScaledAxis(panel.y, values: extent.y, includesZero: extent.includesZero, isTight: extent.isTight)
        heat = panel.layers.compactMap { if case .heatMap(let map) = $0 { HeatColors(map) } else { nil } }.first
        let yLabels = y.ticks(about: 6).map { RichText($0.label).width(size: Self.tickSize) }.max() ?? 0
        let left = (panel.y.label.isEmpty ? 2 : Self.labelSize + 8) + yLabels + Self.tickLength + 5
        let bottom = Self.tickLength + 4 + Self.tickSize + (panel.x.label.isEmpty ? 4 : Self.labelSize + 10)
        let top = panel.title.isEmpty ? 8 : Self.titleSize + 12
        let right = heat.map { $0.width(size: Self.tickSize) } ?? 10
        plot = Box(
            x: outer.x + left, y: outer.y + top, width: max(20, outer.width - left - right),
            height: max(20, outer.height - top - bottom))
    }

    func draw(into scene: inout Scene) {
        drawGrid(into: &scene)
        var bars = PanelBars(panel)
        for layer in panel.layers { draw(layer, &bars, into: &scene) }
        drawFrame(into: &scene)
        for annotation in panel.annotations { draw(annotation, into: &scene) }
        heat?.draw(beside: plot, outer.right, size: Self.tickSize, labelSize: Self.labelSize, into: &scene)
        if !panel.title.isEmpty {
            let at = Point(plot.x, outer.y + Self.titleSize)
            scene.add(.label(.init(text: RichText(panel.title), at: at, size: Self.titleSize, isBold: true)))
        }
    }

    // MARK: Axes

    private var xTicks: [ScaledAxis.Tick] {
        let ticks = x.ticks(about: max(2, Int(plot.width / 65)))
        guard panel.x.tickValues.isEmpty else { return thinned(ticks).ticks }
        let widest = ticks.map { RichText($0.label).width(size: Self.tickSize) }.max() ?? 0
        // Labels that would run into each other are thinned out.
        let room = plot.width / Double(max(1, ticks.count))
        let step = max(1, Int(((widest + 6) / room).rounded(.up)))
        return ticks.enumerated().filter { $0.offset % step == 0 }.map(\.element)
    }

    /// Given ticks: all that have room beside each other where they fall, else every second, third and so on.
    private func thinned(_ ticks: [ScaledAxis.Tick]) -> (ticks: [ScaledAxis.Tick], step: Int) {
        let placed = ticks.compactMap { tick in pageX(tick.value).map { (tick: tick, at: $0) } }.sorted {
            $0.at < $1.at
        }
        for step in 1..<max(2, placed.count) {
            let kept = placed.enumerated().filter { $0.offset % step == 0 }.map(\.element)
            let ends = kept.map { item -> (low: Double, high: Double) in
                let half = RichText(item.tick.label).width(size: Self.tickSize) / 2
                return (item.at - half, item.at + half)
            }
            if zip(ends, ends.dropFirst()).allSatisfy({ $0.high + Self.tickGap <= $1.low }) {
                return (kept.map(\.tick), step)
            }
        }
        return (placed.prefix(1).map(\.tick), max(1, placed.count))
    }

    /// The name of the x axis; where given ticks are not all labelled it says which are.
    private var xLabel: String {
        guard !panel.x.tickValues.isEmpty, !panel.x.label.isEmpty else { return panel.x.label }
        let step = thinned(x.ticks(about: 2)).step
        guard step > 1 else { return panel.x.label }
        let ordinal = step == 2 ? "2nd" : step == 3 ? "3rd" : "\(step)th"
        return panel.x.label + " (every \(ordinal) labelled)"
    }

    private var yTicks: [ScaledAxis.Tick] { y.ticks(about: max(2, Int(plot.height / 40))) }

    private func pageX(_ value: Double) -> Double? { x.position(value).map { plot.x + $0 * plot.width } }

    private func pageY(_ value: Double) -> Double? { y.position(value).map { plot.bottom - $0 * plot.height } }

    private func point(_ x: Double, _ y: Double) -> Point? {
        guard let x = pageX(x), let y = pageY(y) else { return nil }
        return Point(x, y)
    }

    private func drawGrid(into scene: inout Scene) {
        guard heat == nil else { return }
        for tick in yTicks {
            guard let level = pageY(tick.value) else { continue }
            scene.add(.line([Point(plot.x, level), Point(plot.right, level)], .grid, width: 1, isDashed: false))
        }
        if case .categories = panel.x.scale { return }
        for tick in xTicks {
            guard let place = pageX(tick.value) else { continue }
            scene.add(.line([Point(place, plot.y), Point(place, plot.bottom)], .grid, width: 1, isDashed: false))
        }
    }

    private func drawFrame(into scene: inout Scene) {
        func rule(_ points: [Point], _ width: Double = 1) {
            scene.add(.line(points, .axis, width: width, isDashed: false))
        }
        rule([Point(plot.x, plot.y), Point(plot.x, plot.bottom)])
        rule([Point(plot.x, plot.bottom), Point(plot.right, plot.bottom)])
        // Given ticks that have no room for their label are marked all the same.
        let labelled = xTicks.map(\.value)
        for value in x.minorTicks + panel.x.tickValues.filter({ !labelled.contains($0) }) {
            guard let place = pageX(value) else { continue }
            rule([Point(place, plot.bottom), Point(place, plot.bottom + 2)])
        }
        for value in y.minorTicks {
            guard let level = pageY(value) else { continue }
            rule([Point(plot.x - 2, level), Point(plot.x, level)])
        }
        for tick in xTicks {
            guard let place = pageX(tick.value) else { continue }
            rule([Point(place, plot.bottom), Point(place, plot.bottom + Self.tickLength)])
            let at = Point(place, plot.bottom + Self.tickLength + 3 + Self.tickSize)
            scene.add(.label(.init(text: RichText(tick.label), at: at, size: Self.tickSize, anchor: .middle)))
        }
        for tick in yTicks {
            guard let level = pageY(tick.value) else { continue }
            rule([Point(plot.x - Self.tickLength, level), Point(plot.x, level)])
            let at = Point(plot.x - Self.tickLength - 3, level + Self.tickSize * 0.36)
            scene.add(.label(.init(text: RichText(tick.label), at: at, size: Self.tickSize, anchor: .end)))
        }
        drawAxisLabels(into: &scene)
    }

    private func drawAxisLabels(into scene: inout Scene) {
        if !panel.x.label.isEmpty {
            let at = Point(plot.x + plot.width / 2, outer.bottom - 4)
            scene.add(.label(.init(text: RichText(xLabel), at: at, size: Self.labelSize, anchor: .middle)))
        }
        if !panel.y.label.isEmpty {
            let at = Point(outer.x + Self.labelSize, plot.y + plot.height / 2)
            scene.add(
                .label(
                    .init(
                        text: RichText(panel.y.label), at: at, size: Self.labelSize, anchor: .middle, isUpright: true)))
        }
    }

    // MARK: Layers

    private func draw(_ layer: Layer, _ bars: inout PanelBars, into scene: inout Scene) {
        switch layer {
        case .line(let line): draw(line, into: &scene)
        case .scatter(let scatter):
            let color = styles.color(scatter.name)
            let radius = scatter.x.count > 2000 ? 1.6 : scatter.x.count > 300 ? 2.4 : 3.4
            for (x, y) in zip(scatter.x, scatter.y) {
                guard let at = point(x, y) else { continue }
                scene.add(.dot(at, radius: radius, color, opacity: 0.75), clip: plot)
            }
        case .bars(let layer):
            draw(layer, slot: bars.next(), of: bars.count, into: &scene)
        case .histogram(let histogram): draw(histogram, into: &scene)
        case .heatMap(let map):
            guard let heat else { return }
            HeatMapLayout(map, heat, x, y, plot)?.draw(into: &scene)
        }
    }

    private func draw(_ line: Line, into scene: inout Scene) {
        let color = styles.color(line.name)
        for run in runs(line) {
            if !line.error.isEmpty {
                let upper = run.compactMap { point(line.x[$0], line.y[$0] + line.error[$0]) }
                let lower = run.compactMap { point(line.x[$0], line.y[$0] - line.error[$0]) }
                scene.add(.polygon(upper + lower.reversed(), color, opacity: 0.18), clip: plot)
            }
            let points = run.compactMap { point(line.x[$0], line.y[$0]) }
            if points.count > 1 { scene.add(.line(points, color, width: 1.8, isDashed: line.isDashed), clip: plot) }
            guard line.hasMarkers || points.count == 1 else { continue }
            for at in points { scene.add(.dot(at, radius: 3.2, color, opacity: 1), clip: plot) }
        }
    }

    /// Stretches of points that have a place, by their indices.
    private func runs(_ line: Line) -> [Range<Int>] {
        var runs: [Range<Int>] = []
        var start: Int?
        for index in 0...line.x.count {
            let isPlaced = index < line.x.count && point(line.x[index], line.y[index]) != nil
            if isPlaced, start == nil { start = index }
            if !isPlaced, let first = start {
                runs.append(first..<index)
                start = nil
            }
        }
        return runs
    }

    private func draw(_ bars: Bars, slot: Int, of count: Int, into scene: inout Scene) {
        let group = 0.78
        let width = group / Double(max(1, count))
        let color = styles.color(bars.name)
        let floor = min(plot.bottom, max(plot.y, pageY(0) ?? plot.bottom))
        for (index, value) in bars.values.enumerated() {
            let left = Double(index) - group / 2 + Double(slot) * width
            guard let from = pageX(left + width * 0.04), let to = pageX(left + width * 0.96), let level = pageY(value)
            else { continue }
            let box = Box(x: from, y: min(level, floor), width: to - from, height: abs(floor - level))
            scene.add(.box(box, color, opacity: 1), clip: plot)
            guard !bars.error.isEmpty, let high = pageY(value + bars.error[index]),
                let low = pageY(value - bars.error[index])
            else { continue }
            let middle = (from + to) / 2
            scene.add(.line([Point(middle, low), Point(middle, high)], .text, width: 1.2, isDashed: false), clip: plot)
        }
    }

    private func draw(_ histogram: Histogram, into scene: inout Scene) {
        let color = styles.color(histogram.name)
        let floor = pageY(0) ?? plot.bottom
        for (index, height) in histogram.heights.enumerated() where height > 0 {
            guard let left = pageX(histogram.edges[index]), let right = pageX(histogram.edges[index + 1]),
                let level = pageY(height)
            else { continue }
            let box = Box(
                x: left, y: min(level, floor), width: max(0.5, right - left - 0.8), height: abs(floor - level))
            scene.add(.box(box, color, opacity: SeriesStyles.histogramOpacity), clip: plot)
        }
    }

    private func draw(_ annotation: Annotation, into scene: inout Scene) {
        let size = 10.5
        switch annotation {
        case .text(let text, let x, let y):
            guard let at = point(x, y) else { return }
            scene.add(.label(.init(text: RichText(text), at: Point(at.x + 6, at.y - 5), size: size)))
        case .horizontal(let value, let text):
            guard let level = pageY(value) else { return }
            scene.add(
                .line([Point(plot.x, level), Point(plot.right, level)], .axis, width: 1.2, isDashed: true), clip: plot)
            let at = Point(plot.right - 4, level - 5)
            scene.add(.label(.init(text: RichText(text), at: at, size: size, anchor: .end, color: .axis)))
        case .vertical(let value, let text):
            guard let place = pageX(value) else { return }
            scene.add(
                .line([Point(place, plot.y), Point(place, plot.bottom)], .axis, width: 1.2, isDashed: true), clip: plot)
            let isNearEnd = place + RichText(text).width(size: size) + 8 > plot.right
            let at = Point(place + (isNearEnd ? -5 : 5), plot.y + size + 2)
            scene.add(
                .label(
                    .init(text: RichText(text), at: at, size: size, anchor: isNearEnd ? .end : .start, color: .axis)))
        }
    }
}

/// Counts the bar layers of a panel while they are drawn.
private struct PanelBars {
    let count: Int
    private var used = 0

    init(_ panel: Panel) {
        count = panel.layers.filter { if case .bars = $0 { true } else { false } }.count
    }

    mutating func next() -> Int {
        used += 1
        return used - 1
    }
}

/// What a panel's axes must reach.
private struct PanelExtent {
    private(set) var x: [Double] = []
    private(set) var y: [Double] = []
    private(set) var includesZero = false
    private(set) var isTight = false

    init(_ panel: Panel) {
        for layer in panel.layers { add(layer, panel) }
    }

    private mutating func add(_ layer: Layer, _ panel: Panel) {
        switch layer {
        case .line(let line):
            x += line.x
            y += line.y
            if !line.error.isEmpty {
                y += zip(line.y, line.error).map { $0 - $1 } + zip(line.y, line.error).map { $0 + $1 }
            }
        case .scatter(let scatter):
            x += scatter.x
            y += scatter.y
        case .bars(let bars):
            x += bars.values.indices.map(Double.init)
            y += bars.values
            if !bars.error.isEmpty { y += zip(bars.values, bars.error).map { $0 + $1 } }
            includesZero = true
        case .histogram(let histogram):
            x += histogram.edges
            y += histogram.heights
            includesZero = true
        case .heatMap(let map):
            x += Self.reach(map.x, panel.x.scale)
            y += Self.reach(map.y, panel.y.scale)
            isTight = true
        }
    }

    /// The outer borders of cells around the centres.
    private static func reach(_ centers: [Double], _ scale: Axis.Scale) -> [Double] {
        guard let first = centers.first, let last = centers.last else { return [] }
        guard centers.count > 1 else { return scale == .linear ? [first - 0.5, first + 0.5] : [first / 2, first * 2] }
        let (second, beforeLast) = (centers[1], centers[centers.count - 2])
        switch scale {
        case .log2, .log10:
            guard first > 0, second > 0, beforeLast > 0, last > 0 else { return centers }
            return [first * (first / second).squareRoot(), last * (last / beforeLast).squareRoot()]
        case .linear, .categories: return [first - (second - first) / 2, last + (last - beforeLast) / 2]
        }
    }
}
