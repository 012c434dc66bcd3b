import ZooBase

/// The colours of a heat map and the bar that explains them.
struct HeatColors {
    private static let barWidth = 12.0
    private static let barGap = 14.0

    private let map: HeatMap
    private let axis: ScaledAxis

    init(_ map: HeatMap) {
        self.map = map
        let finite = map.values.filter { $0.isFinite && (!map.isLogarithmic || $0 > 0) }
        var bounds = (low: finite.min() ?? 0, high: finite.max() ?? 1)
        if case .diverging(let center) = map.colors {
            let reach = max(abs(bounds.low - center), abs(bounds.high - center))
            bounds = (center - reach, center + reach)
        }
        if map.isLogarithmic {
            bounds = finite.isEmpty ? (1, 10) : bounds
            if bounds.low == bounds.high { bounds = (bounds.low / 2, bounds.high * 2) }
        } else if bounds.low == bounds.high {
            bounds = (bounds.low - 0.5, bounds.high + 0.5)
        }
        axis = ScaledAxis(
            Axis(scale: map.isLogarithmic ? .log10 : .linear, range: bounds.low...bounds.high), values: [])
    }

    /// The colour of a value; grey when it is not a number or names no class.
    func color(_ value: Double) -> Color {
        guard value.isFinite else { return .missing }
        if case .classes(let names) = map.colors {
            guard value >= 0, value < Double(names.count) else { return .missing }
            return Palette.classes[Int(value) % Palette.classes.count]
        }
        return axis.position(value).map { color(share: $0) } ?? .missing
    }

    /// Whether a value has a colour.
    func isShown(_ value: Double) -> Bool { value.isFinite && (!map.isLogarithmic || value > 0) }

    private func color(share: Double) -> Color {
        if case .diverging = map.colors { return Palette.diverging(share) }
        return Palette.sequential(share)
    }

    /// The room that bar or key needs at the panel's right.
    func width(size: Double) -> Double {
        if case .classes(let names) = map.colors {
            return Self.barGap + 18 + (names.map { RichText($0).width(size: size) }.max() ?? 0)
        }
        let labels = axis.ticks(about: 5).map { RichText($0.label).width(size: size) }.max() ?? 0
        return Self.barGap + Self.barWidth + 7 + labels + (map.label.isEmpty ? 2 : size + 10)
    }

    func draw(beside plot: Box, _ right: Double, size: Double, labelSize: Double, into scene: inout Scene) {
        if case .classes(let names) = map.colors { return drawKey(names, plot, size, into: &scene) }
        let bar = Box(x: plot.right + Self.barGap, y: plot.y, width: Self.barWidth, height: plot.height)
        let steps = 64
        for step in 0..<steps {
            let share = (Double(step) + 0.5) / Double(steps)
            let top = bar.bottom - bar.height * Double(step + 1) / Double(steps)
            scene.add(
                .box(
                    Box(x: bar.x, y: top, width: bar.width, height: bar.height / Double(steps)), color(share: share),
                    opacity: 1))
        }
        for tick in axis.ticks(about: max(2, Int(plot.height / 45))) {
            guard let share = axis.position(tick.value) else { continue }
            let level = bar.bottom - share * bar.height
            scene.add(.line([Point(bar.right, level), Point(bar.right + 3, level)], .axis, width: 1, isDashed: false))
            let at = Point(bar.right + 6, level + size * 0.36)
            scene.add(.label(.init(text: RichText(tick.label), at: at, size: size)))
        }
        guard !map.label.isEmpty else { return }
        let at = Point(right - 2, plot.y + plot.height / 2)
        scene.add(
            .label(.init(text: RichText(map.label), at: at, size: labelSize, anchor: .middle, isUpright: true)))
    }

    private func drawKey(_ names: [String], _ plot: Box, _ size: Double, into scene: inout Scene) {
        for (index, name) in names.enumerated() {
            let top = plot.y + Double(index) * (size + 8)
            let x = plot.right + Self.barGap
            scene.add(.box(Box(x: x, y: top, width: 12, height: 12), color(Double(index)), opacity: 1))
            scene.add(.label(.init(text: RichText(name), at: Point(x + 18, top + 10), size: size)))
        }
    }
}
