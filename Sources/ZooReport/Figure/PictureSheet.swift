import ZooBase

/// Small pictures in rows: what a data set looks like.
public struct PictureSheet: Sendable {
    /// One picture: colours from 0 to 1 as planes `[C, H, W]`, one (grey) or three.
    public struct Tile: Sendable {
        /// Planes, one after the other.
        public var values: [Float]

        /// Creates a tile.
        public init(values: [Float]) { self.values = values }
    }

    private let rows: [(name: String, tiles: [Tile])]
    private let channels: Int
    private let height: Int
    private let width: Int
    /// Points per pixel of a picture, so that eight pixels can be seen as well as 224.
    private let zoom: Int
    private let gap = 2
    private let labelWidth: Int

    /// Lays pictures out.
    ///
    /// - Parameter rows: a name and pictures per row.
    /// - Precondition: every tile has `channels * height * width` values, `channels` is 1 or 3.
    /// - Throws: `limit` when the sheet would have more than 100 million pixels.
    public init(rows: [(name: String, tiles: [Tile])], channels: Int, height: Int, width: Int) throws {
        precondition(channels == 1 || channels == 3)
        precondition(rows.allSatisfy { $0.tiles.allSatisfy { $0.values.count == channels * height * width } })
        self.rows = rows
        self.channels = channels
        self.height = height
        self.width = width
        zoom = max(1, 48 / max(1, max(height, width)))
        let longest = rows.map { RichText($0.name).width(size: 12) }.max() ?? 0
        labelWidth = Int(longest.rounded(.up)) + 8
        guard Double(sheetWidth) * Double(sheetHeight) <= 1e8 else {
            throw ZooError(.limit, "the sheet would have more than 100 million pixels", hint: "ask for fewer pictures")
        }
    }

    private var columns: Int { rows.map(\.tiles.count).max() ?? 0 }
    private var sheetWidth: Int { labelWidth + columns * (width * zoom + gap) + gap }
    private var sheetHeight: Int { rows.count * (max(height * zoom, 14) + gap) + gap }

    /// The sheet as PNG.
    public func png() throws -> [UInt8] {
        var painter = ScenePainter(Canvas(width: sheetWidth, height: sheetHeight), scale: 1)
        painter.paint(scene)
        return try PNGEncoder.encode(painter.canvas, scale: 1)
    }

    /// The sheet as SVG, a box per pixel: for small pictures.
    ///
    /// - Throws: `limit` when that would be more than a million boxes.
    public func svg() throws -> String {
        let boxes = rows.reduce(0) { $0 + $1.tiles.count } * height * width
        guard boxes <= 1_000_000 else {
            throw ZooError(.limit, "an SVG of \(boxes) pixels; at most 1000000 are drawn", hint: "use .png")
        }
        return SVGWriter(scene).document
    }

    private var scene: Scene {
        var scene = Scene(width: Double(sheetWidth), height: Double(sheetHeight))
        for (row, line) in rows.enumerated() {
            let top = gap + row * (max(height * zoom, 14) + gap)
            let label = Scene.Label(
                text: RichText(line.name), at: Point(4, Double(top) + Double(height * zoom) / 2 + 4), size: 12)
            scene.add(.label(label))
            for (column, tile) in line.tiles.enumerated() {
                let left = labelWidth + gap + column * (width * zoom + gap)
                for y in 0..<height {
                    for x in 0..<width { scene.add(.box(box(left, top, x, y), color(tile, x, y), opacity: 1)) }
                }
            }
        }
        return scene
    }

    private func box(_ left: Int, _ top: Int, _ x: Int, _ y: Int) -> Box {
        Box(x: Double(left + x * zoom), y: Double(top + y * zoom), width: Double(zoom), height: Double(zoom))
    }

    private func color(_ tile: Tile, _ x: Int, _ y: Int) -> Color {
        let parts = (0..<3).map { plane in
            let value = tile.values[min(plane, channels - 1) * height * width + y * width + x]
            return UInt32((min(1, max(0, value)) * 255).rounded())
        }
        return Color(parts[0] << 16 | parts[1] << 8 | parts[2])
    }
}
