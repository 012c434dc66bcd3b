/// Places title, legend and panels of a figure, and lets each panel draw itself.
struct FigureLayout {
    private static let margin = 12.0
    private static let titleSize = 15.0
    private static let legendSize = 11.0
    private static let legendRow = 18.0
    private static let gap = 14.0

    private(set) var scene: Scene

    init(_ figure: Figure) {
        let columns = max(1, min(figure.columns, max(1, figure.panels.count)))
        let rows = (figure.panels.count + columns - 1) / columns
        let width = 2 * Self.margin + Double(columns) * figure.panelWidth + Double(columns - 1) * Self.gap
        let styles = SeriesStyles(figure.panels)
        let legend = Self.legendRows(styles.entries, width: width - 2 * Self.margin)
        let titleHeight = figure.title.isEmpty ? 0 : Self.titleSize + 12
        let legendHeight = legend.isEmpty ? 0 : Double(legend.count) * Self.legendRow + 6
        let top = Self.margin + titleHeight + legendHeight
        let height = top + Double(rows) * figure.panelHeight + Double(max(0, rows - 1)) * Self.gap + Self.margin
        scene = Scene(width: width, height: height)
        if !figure.title.isEmpty {
            let at = Point(Self.margin, Self.margin + Self.titleSize)
            scene.add(.label(.init(text: RichText(figure.title), at: at, size: Self.titleSize, isBold: true)))
        }
        draw(legend, top: Self.margin + titleHeight)
        for (index, panel) in figure.panels.enumerated() {
            let box = Box(
                x: Self.margin + Double(index % columns) * (figure.panelWidth + Self.gap),
                y: top + Double(index / columns) * (figure.panelHeight + Self.gap), width: figure.panelWidth,
                height: figure.panelHeight)
            PanelLayout(panel, box, styles).draw(into: &scene)
        }
    }

    private static func legendRows(_ entries: [SeriesStyles.Entry], width: Double) -> [[SeriesStyles.Entry]] {
        var rows: [[SeriesStyles.Entry]] = []
        var used = Double.infinity
        for entry in entries {
            let needed = entryWidth(entry)
            if used + needed > width {
                rows.append([])
                used = 0
            }
            rows[rows.count - 1].append(entry)
            used += needed
        }
        return rows
    }

    private static func entryWidth(_ entry: SeriesStyles.Entry) -> Double {
        26 + RichText(entry.name).width(size: legendSize) + 18
    }

    private mutating func draw(_ legend: [[SeriesStyles.Entry]], top: Double) {
        for (row, entries) in legend.enumerated() {
            var x = Self.margin
            let middle = top + (Double(row) + 0.5) * Self.legendRow
            for entry in entries {
                drawKey(entry, x, middle)
                let at = Point(x + 26, middle + Self.legendSize * 0.36)
                scene.add(.label(.init(text: RichText(entry.name), at: at, size: Self.legendSize)))
                x += Self.entryWidth(entry)
            }
        }
    }

    private mutating func drawKey(_ entry: SeriesStyles.Entry, _ x: Double, _ middle: Double) {
        switch entry.mark {
        case .line(let isDashed, let hasMarkers):
            let ends = [Point(x, middle), Point(x + 20, middle)]
            scene.add(.line(ends, entry.color, width: 2, isDashed: isDashed))
            if hasMarkers { scene.add(.dot(Point(x + 10, middle), radius: 3.2, entry.color, opacity: 1)) }
        case .dot: scene.add(.dot(Point(x + 10, middle), radius: 4, entry.color, opacity: 0.85))
        case .area(let opacity):
            scene.add(.box(Box(x: x + 4, y: middle - 6, width: 14, height: 12), entry.color, opacity: opacity))
        }
    }
}

/// Which colour each name has, and how the legend shows it.
struct SeriesStyles {
    enum Mark {
        case line(isDashed: Bool, hasMarkers: Bool)
        case dot
        case area(opacity: Double)
    }

    struct Entry {
        let name: String
        let color: Color
        let mark: Mark
    }

    /// Histograms may lie on top of each other: they are seen through.
    static let histogramOpacity = 0.55

    private(set) var entries: [Entry] = []

    init(_ panels: [Panel]) {
        for layer in panels.flatMap(\.layers) {
            switch layer {
            case .line(let line):
                add(line.name, .line(isDashed: line.isDashed, hasMarkers: line.hasMarkers))
            case .scatter(let scatter): add(scatter.name, .dot)
            case .bars(let bars): add(bars.name, .area(opacity: 1))
            case .histogram(let histogram): add(histogram.name, .area(opacity: Self.histogramOpacity))
            case .heatMap: break
            }
        }
    }

    /// The colour of a name; the first colour for series without one.
    func color(_ name: String) -> Color { entries.first { $0.name == name }?.color ?? Palette.series[0] }

    private mutating func add(_ name: String, _ mark: Mark) {
        guard !name.isEmpty, !entries.contains(where: { $0.name == name }) else { return }
        entries.append(Entry(name: name, color: Palette.series[entries.count % Palette.series.count], mark: mark))
    }
}
