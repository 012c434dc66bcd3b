/// A small sans-serif font of strokes, for pictures made without any font on the machine.
///
/// Glyphs are drawn on a grid of 19.5 units per em: baseline 0, lower-case height 10, capital height 14, descenders
/// −4. Advance widths are close to Helvetica's, so that a layout made here also fits the fonts that show an SVG.
enum StrokeFont {
    private static let unitsPerEm = 19.5
    /// Half the thickness of strokes, in em.
    static let regularWeight = 0.041
    static let boldWeight = 0.06
    /// How much wider bold text runs.
    static let boldStretch = 1.05

    /// The width of a text at size 1.
    static func width(_ text: String) -> Double {
        text.reduce(0) { $0 + (glyphs[$1] ?? missing).advance }
    }

    /// The strokes of a text at size 1, baseline at zero, y upwards. Curves are cut into short straight pieces.
    static func strokes(_ text: String) -> [[Point]] {
        var strokes: [[Point]] = []
        var pen = 0.0
        for character in text {
            let glyph = glyphs[character] ?? missing
            for stroke in glyph.strokes {
                strokes.append(stroke.map { Point(pen + $0.x, $0.y) })
            }
            pen += glyph.advance
        }
        return strokes
    }

    private struct Glyph {
        let advance: Double
        let strokes: [[Point]]
    }

    /// An empty box, for characters that the font does not have.
    private static let missing = glyph(556, "M1.5,0 L9,0 L9,13 L1.5,13 L1.5,0")

    private static let glyphs: [Character: Glyph] = {
        var glyphs: [Character: Glyph] = [:]
        for (character, advance, path) in StrokeGlyphs.all { glyphs[character] = glyph(advance, path) }
        return glyphs
    }()

    /// - Parameters:
    ///   - advance: in thousandths of an em.
    ///   - path: `M` moves, `L` draws a line; `h` and `v` draw a quarter of an ellipse that begins horizontally or
    ///     vertically; `q` draws a quadratic curve to its second point.
    private static func glyph(_ advance: Int, _ path: String) -> Glyph {
        var strokes: [[Point]] = []
        var control: Point?
        for word in path.split(separator: " ") {
            var command = word.first ?? "L"
            let numbers = word.drop { $0.isLetter }.split(separator: ",").compactMap { Double($0) }
            guard numbers.count == 2 else { continue }
            if !command.isLetter { command = "L" }
            let end = Point(numbers[0] / unitsPerEm, numbers[1] / unitsPerEm)
            guard command != "M", let start = strokes.last?.last else {
                strokes.append([end])
                continue
            }
            if command == "q" {
                control = end
                continue
            }
            let piece: [Point]
            if let middle = control {
                piece = quadratic(start, middle, end)
                control = nil
            } else if command == "h" {
                piece = quarter(start, end, corner: Point(end.x, start.y))
            } else if command == "v" {
                piece = quarter(start, end, corner: Point(start.x, end.y))
            } else {
                piece = [end]
            }
            strokes[strokes.count - 1] += piece
        }
        return Glyph(advance: Double(advance) / 1000, strokes: strokes)
    }

    private static let steps = 8

    private static func quadratic(_ start: Point, _ middle: Point, _ end: Point) -> [Point] {
        (1...steps).map { step in
            let t = Double(step) / Double(steps)
            let (a, b, c) = ((1 - t) * (1 - t), 2 * t * (1 - t), t * t)
            return Point(a * start.x + b * middle.x + c * end.x, a * start.y + b * middle.y + c * end.y)
        }
    }

    /// A quarter of an ellipse as a cubic curve; the handles reach 0.5523 of the way to the corner.
    private static func quarter(_ start: Point, _ end: Point, corner: Point) -> [Point] {
        let reach = 0.5523
        let first = Point(start.x + (corner.x - start.x) * reach, start.y + (corner.y - start.y) * reach)
        let second = Point(end.x + (corner.x - end.x) * reach, end.y + (corner.y - end.y) * reach)
        return (1...steps).map { step in
            let t = Double(step) / Double(steps)
            let u = 1 - t
            let (a, b, c, d) = (u * u * u, 3 * u * u * t, 3 * u * t * t, t * t * t)
            return Point(
                a * start.x + b * first.x + c * second.x + d * end.x,
                a * start.y + b * first.y + c * second.y + d * end.y)
        }
    }
}
