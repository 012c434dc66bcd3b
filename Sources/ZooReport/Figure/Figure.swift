/// A chart as a value: panels in a grid under one title and one legend. It renders to SVG and PNG from one layout.
///
/// Series of one name have one colour in all panels. Coordinates that are not finite, and those not above zero on a
/// logarithmic axis, are left out; a line has a gap there.
///
///     var panel = Panel(x: Axis("epoch"), y: Axis("loss", scale: .log10))
///     panel.layers.append(.line(Line("train", x: epochs, y: losses)))
///     try AtomicFile.write("loss.svg", Array(Figure([panel], title: "Training").svg.utf8))
public struct Figure: Sendable, Hashable {
    /// The panels, row by row.
    public var panels: [Panel]
    /// Panels per row.
    public var columns: Int
    /// The heading; none when empty.
    public var title: String
    /// The size of one panel with its labels, in points.
    public var panelWidth: Double
    /// The height of one panel with its labels, in points.
    public var panelHeight: Double

    /// Creates a figure.
    public init(
        _ panels: [Panel], title: String = "", columns: Int? = nil, panelWidth: Double = 480, panelHeight: Double = 320
    ) {
        self.panels = panels
        self.title = title
        self.columns = columns ?? min(3, max(1, panels.count))
        self.panelWidth = panelWidth
        self.panelHeight = panelHeight
    }
}

/// One pair of axes and what is drawn in it, first layers undermost.
public struct Panel: Sendable, Hashable {
    /// The heading; none when empty.
    public var title: String
    /// The horizontal axis.
    public var x: Axis
    /// The vertical axis.
    public var y: Axis
    /// What is drawn.
    public var layers: [Layer]
    /// Words and rules on top.
    public var annotations: [Annotation]

    /// Creates a panel.
    public init(
        title: String = "", x: Axis = Axis(), y: Axis = Axis(), layers: [Layer] = [], annotations: [Annotation] = []
    ) {
        self.title = title
        self.x = x
        self.y = y
        self.layers = layers
        self.annotations = annotations
    }
}

/// One thing drawn in a panel.
public enum Layer: Sendable, Hashable {
    /// A line through points.
    case line(Line)
    /// A dot per point.
    case scatter(Scatter)
    /// A bar per category; several layers of bars stand side by side.
    case bars(Bars)
    /// Counts between edges.
    case histogram(Histogram)
    /// A coloured cell per pair of coordinates.
    case heatMap(HeatMap)
}

/// A line through points in their order.
public struct Line: Sendable, Hashable {
    /// The name in the legend; not listed when empty.
    public var name: String
    /// Horizontal coordinates.
    public var x: [Double]
    /// Vertical coordinates, as many.
    public var y: [Double]
    /// Half-width of a band around the line, one per point: an error bar; empty for none.
    public var error: [Double]
    /// Whether it is dashed.
    public var isDashed: Bool
    /// Whether points are marked.
    public var hasMarkers: Bool

    /// Creates a line.
    ///
    /// - Precondition: as many `y` as `x`, and as many errors or none.
    public init(
        _ name: String = "", x: [Double], y: [Double], error: [Double] = [], isDashed: Bool = false,
        hasMarkers: Bool = false
    ) {
        precondition(x.count == y.count && (error.isEmpty || error.count == x.count))
        self.name = name
        self.x = x
        self.y = y
        self.error = error
        self.isDashed = isDashed
        self.hasMarkers = hasMarkers
    }
}

/// A dot per point.
public struct Scatter: Sendable, Hashable {
    /// The name in the legend; not listed when empty.
    public var name: String
    /// Horizontal coordinates.
    public var x: [Double]
    /// Vertical coordinates, as many.
    public var y: [Double]

    /// Creates a scatter.
    ///
    /// - Precondition: as many `y` as `x`.
    public init(_ name: String = "", x: [Double], y: [Double]) {
        precondition(x.count == y.count)
        self.name = name
        self.x = x
        self.y = y
    }
}

/// A bar per category of a horizontal axis made with `Axis(categories:)`.
public struct Bars: Sendable, Hashable {
    /// The name in the legend; not listed when empty.
    public var name: String
    /// The height of each category's bar.
    public var values: [Double]
    /// Half-length of an error bar on each; empty for none.
    public var error: [Double]

    /// Creates bars.
    ///
    /// - Precondition: as many errors as values, or none.
    public init(_ name: String = "", values: [Double], error: [Double] = []) {
        precondition(error.isEmpty || error.count == values.count)
        self.name = name
        self.values = values
        self.error = error
    }
}

/// How many samples lie between edges.
public struct Histogram: Sendable, Hashable {
    /// The name in the legend; not listed when empty.
    public var name: String
    /// The edges, rising, one more than heights.
    public var edges: [Double]
    /// The height between each pair of edges.
    public var heights: [Double]

    /// Creates a histogram from what was counted elsewhere.
    ///
    /// - Precondition: one more edge than heights.
    public init(_ name: String = "", edges: [Double], heights: [Double]) {
        precondition(edges.count == heights.count + 1)
        self.name = name
        self.edges = edges
        self.heights = heights
    }

    /// Counts samples in bins of equal width from the smallest to the largest; samples that are not finite are left
    /// out. Without samples there is one empty bin from 0 to 1; equal samples share one bin of width one.
    ///
    /// - Parameter binCount: how many bins; by default the Freedman–Diaconis width 2·IQR·n^(−1/3), 5 to 60 bins.
    public init(_ name: String = "", samples: [Double], binCount: Int? = nil) {
        let sorted = samples.filter(\.isFinite).sorted()
        guard let low = sorted.first, let high = sorted.last else {
            self.init(name, edges: [0, 1], heights: [0])
            return
        }
        guard low < high else {
            self.init(name, edges: [low - 0.5, low + 0.5], heights: [Double(sorted.count)])
            return
        }
        let spread = sorted[sorted.count * 3 / 4] - sorted[sorted.count / 4]
        let natural = spread > 0 ? (high - low) / (2 * spread / Double(sorted.count).cubeRoot) : 10
        let bins = max(1, binCount ?? Int(min(60, max(5, natural.rounded(.up)))))
        var heights = [Double](repeating: 0, count: bins)
        for sample in sorted { heights[min(bins - 1, Int((sample - low) / (high - low) * Double(bins)))] += 1 }
        let edges = (0...bins).map { low + (high - low) * Double($0) / Double(bins) }
        self.init(name, edges: edges, heights: heights)
    }
}

/// A coloured cell for each pair of coordinates; cells reach half-way to their neighbours.
public struct HeatMap: Sendable, Hashable {
    /// How values become colours.
    public enum Colors: Sendable, Hashable {
        /// From dark to light, low to high.
        case sequential
        /// From blue over white to red, white at the centre.
        case diverging(center: Double)
        /// A colour per whole number from 0: names of classes, shown in a key.
        case classes([String])
    }

    /// Horizontal coordinates of the columns, rising.
    public var x: [Double]
    /// Vertical coordinates of the rows, rising.
    public var y: [Double]
    /// Values row by row, `y.count × x.count`; NaN leaves a cell grey and hatched.
    public var values: [Double]
    /// How values become colours.
    public var colors: Colors
    /// What the values are, beside the colour bar.
    public var label: String
    /// Whether each cell shows its value.
    public var showsValues: Bool
    /// Whether equal ratios of values are equal steps of colour; values not above zero have no colour then.
    public var isLogarithmic: Bool
    /// Words in the cells, row by row; empty for none.
    public var cellLabels: [String]
    /// What cells belong to, row by row: a line is drawn between neighbours that differ; empty for none.
    public var groups: [Int]

    /// Creates a heat map.
    ///
    /// - Precondition: `x.count * y.count` values, and as many words and groups or none.
    public init(
        x: [Double], y: [Double], values: [Double], colors: Colors = .sequential, label: String = "",
        showsValues: Bool = false, isLogarithmic: Bool = false, cellLabels: [String] = [], groups: [Int] = []
    ) {
        precondition(values.count == x.count * y.count)
        precondition(cellLabels.isEmpty || cellLabels.count == values.count)
        precondition(groups.isEmpty || groups.count == values.count)
        self.isLogarithmic = isLogarithmic
        self.cellLabels = cellLabels
        self.groups = groups
        self.x = x
        self.y = y
        self.values = values
        self.colors = colors
        self.label = label
        self.showsValues = showsValues
    }
}

/// Words or a rule on top of a panel, in the panel's coordinates.
public enum Annotation: Sendable, Hashable {
    /// Words that begin right of a point.
    case text(String, x: Double, y: Double)
    /// A dashed line across at one height, with words at its right end.
    case horizontal(Double, label: String)
    /// A dashed line from bottom to top, with words at its top.
    case vertical(Double, label: String)
}

extension Double {
    /// The real cube root of a positive number, by Newton's method.
    fileprivate var cubeRoot: Double {
        var root = Swift.max(1, self / 3)
        for _ in 0..<200 {
            let next = (2 * root + self / (root * root)) / 3
            if Swift.abs(next - root) <= 1e-12 * next { return next }
            root = next
        }
        return root
    }
}
