import CZlib
import ZooBase

extension Figure {
    /// The figure as a PNG picture (ISO/IEC 15948), 8 bits per colour.
    ///
    /// - Parameter scale: pixels per point; 2 suits screens of today.
    /// - Throws: `limit` when the picture would have more than 100 million pixels.
    public func png(scale: Double = 2) throws -> [UInt8] {
        let scene = FigureLayout(self).scene
        let (width, height) = ((scene.width * scale).rounded(), (scene.height * scale).rounded())
        guard width >= 1, height >= 1, width * height <= 1e8 else {
            throw ZooError(
                .limit, "a picture has 1 to 100 million pixels, this one would have \(Quantity.short(width * height))",
                hint: "choose a smaller scale or fewer panels")
        }
        var painter = ScenePainter(Canvas(width: Int(width), height: Int(height)), scale: scale)
        painter.paint(scene)
        return try PNGEncoder.encode(painter.canvas, scale: scale)
    }
}

/// Paints a scene on a canvas.
struct ScenePainter {
    private(set) var canvas: Canvas
    private let scale: Double
    private let page: Box

    init(_ canvas: Canvas, scale: Double) {
        self.canvas = canvas
        self.scale = scale
        page = Box(x: 0, y: 0, width: Double(canvas.width), height: Double(canvas.height))
    }

    mutating func paint(_ scene: Scene) {
        for (shape, clip) in scene.shapes { paint(shape, clip.map(scaled) ?? page) }
    }

    private mutating func paint(_ shape: Scene.Shape, _ clip: Box) {
        switch shape {
        case .box(let box, let color, let opacity):
            canvas.fill(snapped(box), color, opacity: opacity)
        case .polygon(let points, let color, let opacity):
            canvas.fill(points.map(scaled), color, opacity: opacity, clip: clip)
        case .line(let points, let color, let width, let isDashed):
            let line = snapped(points.map(scaled), width: width * scale)
            let pieces = isDashed ? Self.dashes(line, on: 5 * scale, off: 4 * scale) : [line]
            canvas.stroke(pieces, width: width * scale, color, clip: clip)
        case .dot(let center, let radius, let color, let opacity):
            canvas.fillDot(scaled(center), radius: radius * scale, color, opacity: opacity, clip: clip)
        case .label(let label): paint(label)
        }
    }

    private mutating func paint(_ label: Scene.Label) {
        let stretch = label.isBold ? StrokeFont.boldStretch : 1
        let width = label.text.width(size: label.size) * stretch
        var pen = label.anchor == .start ? 0 : label.anchor == .middle ? -width / 2 : -width
        for run in label.text.runs {
            let size = run.level == .normal ? label.size : label.size * RichText.smallSize
            let lift =
                run.level == .normal
                ? 0 : label.size * (run.level == .raised ? RichText.shift.raised : RichText.shift.lowered)
            let strokes = StrokeFont.strokes(run.text).map { stroke in
                stroke.map { point -> Point in
                    let (x, y) = (pen + point.x * size * stretch, lift + point.y * size)
                    return label.isUpright
                        ? scaled(Point(label.at.x - y, label.at.y - x)) : scaled(Point(label.at.x + x, label.at.y - y))
                }
            }
            let weight = label.isBold ? StrokeFont.boldWeight : StrokeFont.regularWeight
            canvas.stroke(strokes, width: 2 * weight * size * scale, label.color, clip: page)
            pen += StrokeFont.width(run.text) * size * stretch
        }
    }

    private func scaled(_ point: Point) -> Point { Point(point.x * scale, point.y * scale) }

    private func scaled(_ box: Box) -> Box {
        Box(x: box.x * scale, y: box.y * scale, width: box.width * scale, height: box.height * scale)
    }

    /// Boxes with edges on pixel borders: neighbouring cells of a heat map meet without a seam.
    private func snapped(_ box: Box) -> Box {
        let (left, top) = ((box.x * scale).rounded(), (box.y * scale).rounded())
        return Box(
            x: left, y: top, width: max(1, (box.right * scale).rounded() - left),
            height: max(1, (box.bottom * scale).rounded() - top))
    }

    /// Straight upright and level lines on whole pixels, so that axes and grids are crisp.
    private func snapped(_ line: [Point], width: Double) -> [Point] {
        guard line.count == 2 else { return line }
        let shift = Int(width.rounded()) % 2 == 0 ? 0 : 0.5
        if line[0].x == line[1].x {
            let x = line[0].x.rounded(.down) + shift
            return line.map { Point(x, $0.y) }
        }
        if line[0].y == line[1].y {
            let y = line[0].y.rounded(.down) + shift
            return line.map { Point($0.x, y) }
        }
        return line
    }

    private static func dashes(_ line: [Point], on: Double, off: Double) -> [[Point]] {
        var pieces: [[Point]] = []
        var isOn = true
        var left = on
        var current = line.first.map { [$0] } ?? []
        for (start, end) in zip(line, line.dropFirst()) {
            let length = ((end.x - start.x) * (end.x - start.x) + (end.y - start.y) * (end.y - start.y)).squareRoot()
            var walked = 0.0
            while length - walked > left {
                walked += left
                let share = walked / length
                let point = Point(start.x + (end.x - start.x) * share, start.y + (end.y - start.y) * share)
                if isOn { pieces.append(current + [point]) }
                isOn.toggle()
                current = [point]
                left = isOn ? on : off
            }
            left -= length - walked
            current.append(end)
        }
        return isOn ? pieces + [current] : pieces
    }
}

/// Writes pictures as PNG.
enum PNGEncoder {
    private static let signature: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]

    static func encode(_ canvas: Canvas, scale: Double) throws -> [UInt8] {
        var header: [UInt8] = []
        header.appendBigEndian(UInt32(canvas.width))
        header.appendBigEndian(UInt32(canvas.height))
        // Eight bits, true colour, deflate, adaptive filters, not interlaced.
        header += [8, 2, 0, 0, 0]
        var density: [UInt8] = []
        let perMetre = UInt32((scale * 96 / 0.0254).rounded())
        density.appendBigEndian(perMetre)
        density.appendBigEndian(perMetre)
        density.append(1)
        let data = try Deflate.compress(filtered(canvas), frame: .zlib, level: 9)
        return signature + chunk("IHDR", header) + chunk("pHYs", density) + chunk("IDAT", data) + chunk("IEND", [])
    }

    /// Each row behind its filter, the difference to the row above: charts are mostly columns that repeat.
    private static func filtered(_ canvas: Canvas) -> [UInt8] {
        let stride = canvas.width * 3
        var output: [UInt8] = []
        output.reserveCapacity((stride + 1) * canvas.height)
        for row in 0..<canvas.height {
            let start = row * stride
            output.append(row == 0 ? 0 : 2)
            for index in start..<start + stride {
                output.append(row == 0 ? canvas.pixels[index] : canvas.pixels[index] &- canvas.pixels[index - stride])
            }
        }
        return output
    }

    private static func chunk(_ name: String, _ data: [UInt8]) -> [UInt8] {
        let body = Array(name.utf8) + data
        var bytes: [UInt8] = []
        bytes.appendBigEndian(UInt32(data.count))
        bytes += body
        bytes.appendBigEndian(UInt32(truncatingIfNeeded: crc32(0, body, UInt32(body.count))))
        return bytes
    }
}

extension [UInt8] {
    /// Appends an integer, most significant byte first.
    fileprivate mutating func appendBigEndian(_ value: UInt32) {
        for shift in [24, 16, 8, 0] as [UInt32] { append(UInt8(truncatingIfNeeded: value >> shift)) }
    }
}
