import ZooReport
import ZooTestSupport

/// Figures of every kind, of made-up numbers that a seed fixes.
enum FigureGallery {
    static let all: [(name: String, figure: Figure)] = [
        ("training", training), ("phases", phases), ("spectrum", spectrum), ("soups", soups), ("barriers", barriers),
        ("grid", grid),
    ]

    /// A grid with its hot row at the top, lines between groups, logarithmic colours, hatches, words in cells.
    static var grid: Figure {
        let loads = [2.0, 4, 8, 32], batches = [4.0, 16, 64]
        let groups = [0, 0, 1, 1, 0, 1, 1, 2, 0, 1, -1, 2]
        let losses = [2, 1.5, 0.3, 0.1, 1, 0.2, 0.01, 0.003, 0.5, 0, .nan, 0.004]
        let x = Axis("width", scale: .log2, tickValues: loads)
        let y = Axis("batch size", scale: .log2, tickValues: batches, isReversed: true)
        return Figure(
            [
                Panel(
                    title: "training loss", x: x, y: y,
                    layers: [
                        .heatMap(
                            HeatMap(
                                x: loads, y: batches, values: losses, label: "nats", isLogarithmic: true, groups: groups
                            ))
                    ]),
                Panel(
                    title: "phase", x: x, y: y,
                    layers: [
                        .heatMap(
                            HeatMap(
                                x: loads, y: batches, values: groups.map { $0 < 0 ? .nan : Double($0) },
                                colors: .classes(["I", "II", "III"]),
                                cellLabels: groups.map { $0 < 0 ? "?" : ["I", "II", "III"][$0] }, groups: groups))
                    ]),
            ], title: "A grid", columns: 2, panelWidth: 300, panelHeight: 240)
    }

    private static var epochs: [Double] { (1...60).map(Double.init) }

    /// Lines with error bands on a logarithmic axis, a rule, small multiples with one legend.
    static var training: Figure {
        let panels = [("width 16", 1.0), ("width 64", 0.4)].map { title, scale in
            var panel = Panel(title: title, x: Axis("epoch"), y: Axis("cross-entropy loss", scale: .log10))
            let train = epochs.map { scale * 2.3 / ($0 * $0 * 0.2 + 1) + 0.004 }
            let test = epochs.map { scale * 1.9 / ($0 + 1) + 0.06 }
            panel.layers = [
                .line(Line("train", x: epochs, y: train, error: train.map { $0 * 0.25 })),
                .line(Line("test", x: epochs, y: test, error: test.map { $0 * 0.15 })),
                .line(Line("test, weights averaged", x: epochs, y: test.map { $0 * 0.8 }, isDashed: true)),
            ]
            panel.annotations = [.vertical(40, label: "learning rate ÷ 10")]
            return panel
        }
        return Figure(panels, title: "Training loss of 20 seeds, mean ± standard deviation", panelWidth: 400)
    }

    /// Heat maps: classes in a key, numbers in cells, a colour bar, a missing cell.
    static var phases: Figure {
        let temperatures = [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064]
        let loads = [2.0, 4, 8, 16, 32, 64]
        let cells = loads.indices.flatMap { row in temperatures.indices.map { (Double(row), Double($0)) } }
        let phases = cells.map { row, column in row < 2 ? (column < 3 ? 0.0 : 1) : column < 2 ? 2 : row > 4 ? 4 : 3 }
        var accuracies = cells.map { row, column in 0.5 + 0.07 * row - 0.012 * (column - 3) * (column - 3) }
        accuracies[9] = .nan
        let x = Axis("temperature (learning rate)", scale: .log10)
        let y = Axis("load (width)", scale: .log2)
        let names = ["I", "II", "III", "IV-A", "IV-B"].map { "phase \($0)" }
        return Figure(
            [
                Panel(
                    title: "Phase", x: x, y: y,
                    layers: [.heatMap(HeatMap(x: temperatures, y: loads, values: phases, colors: .classes(names)))]),
                Panel(
                    title: "Test accuracy", x: x, y: y,
                    layers: [
                        .heatMap(
                            HeatMap(x: temperatures, y: loads, values: accuracies, label: "accuracy", showsValues: true)
                        )
                    ]),
            ], title: "Temperature–load plane", panelWidth: 440, panelHeight: 330)
    }

    /// A histogram over another, and a scatter.
    static var spectrum: Figure {
        var generator = SeededGenerator(seed: 3)
        func normal() -> Double {
            (0..<12).reduce(-6.0) { sum, _ in sum + Double.random(in: 0..<1, using: &generator) }
        }
        let first = (0..<3000).map { _ in normal() }
        let second = (0..<3000).map { _ in normal() * 0.6 + 2 }
        let traces = (0..<180).map { _ in Double.random(in: 10...4000, using: &generator) }
        let gaps = traces.map { 0.0008 * $0.squareRoot() * 0.6 + 0.004 * abs(normal()) }
        return Figure(
            [
                Panel(
                    title: "Weights by layer", x: Axis("weight"), y: Axis("count"),
                    layers: [
                        .histogram(Histogram("conv1", samples: first)), .histogram(Histogram("fc", samples: second)),
                    ]),
                Panel(
                    title: "Sharpness and generalisation", x: Axis("Hessian trace", scale: .log10),
                    y: Axis("generalisation gap"),
                    layers: [.scatter(Scatter("models", x: traces, y: gaps))],
                    annotations: [.text("best soup", x: 1500, y: 0.002)]),
            ], panelWidth: 420)
    }

    /// Grouped bars with error bars and negative values.
    static var soups: Figure {
        let tasks = ["MNIST", "SVHN", "CIFAR-10", "EuroSAT", "Cars"]
        return Figure(
            [
                Panel(
                    x: Axis("task", categories: tasks), y: Axis("change in accuracy (points)"),
                    layers: [
                        .bars(
                            Bars("uniform soup", values: [1.2, -0.8, 2.1, 0.4, 1.7], error: [0.2, 0.3, 0.2, 0.1, 0.4])),
                        .bars(
                            Bars("greedy soup", values: [1.6, 0.3, 2.6, 0.9, 2.2], error: [0.2, 0.2, 0.3, 0.2, 0.3])),
                        .bars(Bars("task arithmetic", values: [0.9, -1.4, 1.2, 1.1, 0.6])),
                    ], annotations: [.horizontal(0, label: "")])
            ], title: "Model soups against the best single model", panelWidth: 640, panelHeight: 340)
    }

    /// A diverging map, markers, a gap in a line, raised and lowered text, escapes.
    static var barriers: Figure {
        let steps = (0...20).map { Double($0) / 20 }
        var bump = steps.map { 0.2 + 1.6 * $0 * (1 - $0) }
        bump[5] = .nan
        let offsets = (-10...10).map(Double.init)
        let surface = offsets.flatMap { y in offsets.map { x in x * x * 0.02 - y * y * 0.01 + 0.03 * x * y } }
        return Figure(
            [
                Panel(
                    title: "Linear path", x: Axis("t"), y: Axis("loss L(w_{0} + t (w_{1} − w_{0}))"),
                    layers: [
                        .line(Line("before alignment", x: steps, y: bump, hasMarkers: true)),
                        .line(
                            Line(
                                "after, <10^{−2}", x: steps, y: steps.map { 0.2 + 0.1 * $0 * (1 - $0) },
                                hasMarkers: true)),
                    ]),
                Panel(
                    title: "Surface around the midpoint", x: Axis("direction δ"), y: Axis("direction η"),
                    layers: [
                        .heatMap(
                            HeatMap(
                                x: offsets, y: offsets, values: surface, colors: .diverging(center: 0),
                                label: "loss change"))
                    ]),
            ], panelWidth: 400, panelHeight: 340)
    }
}
