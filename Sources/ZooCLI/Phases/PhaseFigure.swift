import ZooBase
import ZooLandscape
import ZooReport

/// Small multiples of a grid: one panel per measurement and one for the phases, whose borders are on every panel.
struct PhaseFigure {
    private let found: ZooPhases
    /// Phases by the number that stands for them in groups and colours.
    private static let order: [Phase] = [.one, .two, .three, .fourA, .fourB, .four]

    init(_ found: ZooPhases) { self.found = found }

    /// One panel: what, how it is coloured, and what stands beside the colour bar.
    struct Map {
        var title: String
        var label: String
        var values: [Double?]
        var colors = HeatMap.Colors.sequential
        var isLogarithmic = false
    }

    /// The whole figure.
    func figure(title: String) -> Figure {
        let sources = found.sources
        let top = sources.sharpness == "hessian_top" ? nil : "hessian_top"
        let trace = sources.sharpness == "hessian_top" ? "hessian_trace" : sources.sharpness
        let maps = [
            Map(
                title: "training loss", label: "nats per sample", values: found.values(sources.loss),
                isLogarithmic: true),
            Map(
                title: "largest Hessian eigenvalue", label: "λ_{max}", values: found.values(top ?? "hessian_top"),
                isLogarithmic: true),
            Map(title: "Hessian trace", label: "tr H", values: found.values(trace), isLogarithmic: true),
            Map(
                title: "mode connectivity", label: "points of error, negative: barrier",
                values: found.values(sources.connectivity), colors: .diverging(center: 0)),
            Map(title: "similarity of outputs", label: "CKA", values: found.values(sources.similarity)),
            Map(
                title: "test accuracy", label: "per cent", values: found.accuracies.map { $0.map { 100 * $0 } }),
        ]
        var panels = maps.map(panel)
        panels.append(phasePanel)
        panels.append(
            panel(
                Map(
                    title: "confidence of the phase", label: "share of resamples over seeds",
                    values: found.confidence)))
        return Figure(panels, title: title, columns: 4, panelWidth: 318, panelHeight: 262)
    }

    /// One panel with the borders of the phases.
    func panel(_ map: Map) -> Panel {
        panel(
            map.title,
            HeatMap(
                x: found.grid.columns, y: found.grid.rows, values: map.values.map { $0 ?? .nan }, colors: map.colors,
                label: map.label, isLogarithmic: map.isLogarithmic, groups: groups))
    }

    private var groups: [Int] { found.phases.map { Self.order.firstIndex(of: $0) ?? -1 } }

    /// The phases themselves, their names in the cells.
    var phasePanel: Panel {
        let names = Self.order.map(\.rawValue)
        let shown = found.phases.contains(.four) ? names : names.dropLast()
        return panel(
            "phase",
            HeatMap(
                x: found.grid.columns, y: found.grid.rows, values: groups.map { $0 < 0 ? .nan : Double($0) },
                colors: .classes(Array(shown)), cellLabels: found.phases.map { $0 == .unknown ? "?" : $0.rawValue },
                groups: groups))
    }

    /// Rows run from hot at the top to cold, columns to large networks at the right.
    private func panel(_ title: String, _ map: HeatMap) -> Panel {
        let axes = found.grid.axes
        // A heat map takes rising coordinates; the axis turns them where the picture falls.
        return Panel(
            title: title,
            x: Axis(
                axes.load.name, scale: Self.scale(map.x), tickValues: map.x, isReversed: !axes.load.ascends),
            y: Axis(
                axes.temperature.name, scale: Self.scale(map.y), tickValues: map.y,
                isReversed: axes.temperature.ascends),
            layers: [.heatMap(map)])
    }

    /// Logarithmic when neighbours differ by factors rather than by differences.
    private static func scale(_ values: [Double]) -> Axis.Scale {
        let sorted = values.sorted()
        guard sorted.count > 2, let first = sorted.first, first > 0 else { return .linear }
        let ratios = zip(sorted, sorted.dropFirst()).map { $1 / $0 }
        let steps = zip(sorted, sorted.dropFirst()).map { $1 - $0 }
        func spread(_ numbers: [Double]) -> Double { (numbers.max() ?? 1) / max(numbers.min() ?? 1, 1e-300) }
        return spread(ratios) < spread(steps) ? .log2 : .linear
    }
}
