/// A point of the page, in points from the top left.
struct Point: Sendable, Hashable {
    var x: Double
    var y: Double

    init(_ x: Double, _ y: Double) {
        self.x = x
        self.y = y
    }
}

/// A rectangle of the page.
struct Box: Sendable, Hashable {
    var x: Double
    var y: Double
    var width: Double
    var height: Double

    var right: Double { x + width }
    var bottom: Double { y + height }
}

/// A figure laid out: shapes with places and colours, undermost first. Both renderers draw exactly this.
struct Scene {
    enum Anchor: String {
        case start
        case middle
        case end
    }

    struct Label {
        var text: RichText
        var at: Point
        var size: Double
        var anchor = Anchor.start
        var color = Color.text
        var isBold = false
        /// Turned a quarter to the left around `at`: reads upwards.
        var isUpright = false
    }

    enum Shape {
        case box(Box, Color, opacity: Double)
        case polygon([Point], Color, opacity: Double)
        case line([Point], Color, width: Double, isDashed: Bool)
        case dot(Point, radius: Double, Color, opacity: Double)
        case label(Label)
    }

    let width: Double
    let height: Double
    /// Shapes with the box they are cut to.
    private(set) var shapes: [(shape: Shape, clip: Box?)] = []

    init(width: Double, height: Double) {
        self.width = width
        self.height = height
    }

    mutating func add(_ shape: Shape, clip: Box? = nil) { shapes.append((shape, clip)) }
}

/// Text with raised and lowered parts: `10^{−3}`, `w_{0}`.
struct RichText: Hashable {
    enum Level: Hashable {
        case normal
        case raised
        case lowered
    }

    struct Run: Hashable {
        var text: String
        var level: Level
    }

    /// Size of raised and lowered text, as a part of the normal size.
    static let smallSize = 0.7
    /// How far it is raised or lowered, as a part of the normal size.
    static let shift = (raised: 0.38, lowered: -0.18)

    private(set) var runs: [Run] = []

    init(_ source: String) {
        var level = Level.normal
        var text = ""
        let characters = Array(source)
        var position = 0
        while position < characters.count {
            let character = characters[position]
            let isOpening = position + 1 < characters.count && characters[position + 1] == "{"
            if level == .normal, isOpening, character == "^" || character == "_" {
                close(&text, level)
                level = character == "^" ? .raised : .lowered
                position += 1
            } else if level != .normal, character == "}" {
                close(&text, level)
                level = .normal
            } else {
                text.append(character)
            }
            position += 1
        }
        close(&text, level)
    }

    private mutating func close(_ text: inout String, _ level: Level) {
        if !text.isEmpty { runs.append(Run(text: text, level: level)) }
        text = ""
    }

    /// Width at a size, by the built-in font's metrics.
    func width(size: Double) -> Double {
        runs.reduce(0) { sum, run in
            sum + StrokeFont.width(run.text) * size * (run.level == .normal ? 1 : Self.smallSize)
        }
    }
}
