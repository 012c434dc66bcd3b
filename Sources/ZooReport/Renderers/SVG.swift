import ZooBase

extension Figure {
    /// The figure as an SVG document. Equal figures give equal bytes; text stays text, in the reader's sans-serif font.
    public var svg: String { SVGWriter(FigureLayout(self).scene).document }
}

/// Writes a scene as SVG 1.1.
struct SVGWriter {
    private let scene: Scene
    private var clips: [Box] = []

    init(_ scene: Scene) {
        self.scene = scene
        for case let clip? in scene.shapes.map(\.clip) where !clips.contains(clip) { clips.append(clip) }
    }

    var document: String {
        var lines = [
            """
            <svg xmlns="http://www.w3.org/2000/svg" width="\(number(scene.width))" height="\(number(scene.height))" \
            viewBox="0 0 \(number(scene.width)) \(number(scene.height))" \
            font-family="Helvetica, Arial, 'Liberation Sans', sans-serif">
            """,
            "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>",
        ]
        if !clips.isEmpty {
            lines.append("<defs>")
            for (index, clip) in clips.enumerated() {
                lines.append("<clipPath id=\"c\(index)\"><rect \(place(clip))/></clipPath>")
            }
            lines.append("</defs>")
        }
        var open: Box?
        for (shape, clip) in scene.shapes {
            if clip != open {
                if open != nil { lines.append("</g>") }
                if let index = clip.flatMap(clips.firstIndex) { lines.append("<g clip-path=\"url(#c\(index))\">") }
                open = clip
            }
            lines.append(element(shape))
        }
        if open != nil { lines.append("</g>") }
        return (lines + ["</svg>", ""]).joined(separator: "\n")
    }

    private func element(_ shape: Scene.Shape) -> String {
        switch shape {
        case .box(let box, let color, let opacity):
            "<rect \(place(box)) fill=\"\(color.hex)\"\(alpha(opacity)) shape-rendering=\"crispEdges\"/>"
        case .polygon(let points, let color, let opacity):
            "<path d=\"\(path(points))Z\" fill=\"\(color.hex)\"\(alpha(opacity))/>"
        case .line(let points, let color, let width, let isDashed):
            "<path d=\"\(path(points))\" fill=\"none\" stroke=\"\(color.hex)\" stroke-width=\"\(number(width))\" "
                + "stroke-linecap=\"round\" stroke-linejoin=\"round\"\(isDashed ? " stroke-dasharray=\"5 4\"" : "")/>"
        case .dot(let center, let radius, let color, let opacity):
            "<circle cx=\"\(number(center.x))\" cy=\"\(number(center.y))\" r=\"\(number(radius))\" "
                + "fill=\"\(color.hex)\"\(alpha(opacity))/>"
        case .label(let label): text(label)
        }
    }

    private func text(_ label: Scene.Label) -> String {
        var attributes = "x=\"\(number(label.at.x))\" y=\"\(number(label.at.y))\" font-size=\"\(number(label.size))\""
        attributes += " fill=\"\(label.color.hex)\""
        if label.anchor != .start { attributes += " text-anchor=\"\(label.anchor.rawValue)\"" }
        if label.isBold { attributes += " font-weight=\"bold\"" }
        if label.isUpright {
            attributes += " transform=\"rotate(-90 \(number(label.at.x)) \(number(label.at.y)))\""
        }
        var height = 0.0
        let content = label.text.runs.map { run in
            let wanted: Double
            switch run.level {
            case .normal: wanted = 0
            case .raised: wanted = RichText.shift.raised * label.size
            case .lowered: wanted = RichText.shift.lowered * label.size
            }
            // `dy` counts from where the run before left off.
            let shift = wanted == height ? "" : " dy=\"\(number(height - wanted))\""
            height = wanted
            let size = run.level == .normal ? "" : " font-size=\"\(number(RichText.smallSize * label.size))\""
            return shift.isEmpty && size.isEmpty
                ? escape(run.text) : "<tspan\(shift)\(size)>\(escape(run.text))</tspan>"
        }
        return "<text \(attributes)>\(content.joined())</text>"
    }

    private func path(_ points: [Point]) -> String {
        points.enumerated().map { "\($0 == 0 ? "M" : "L")\(number($1.x)) \(number($1.y))" }.joined()
    }

    private func place(_ box: Box) -> String {
        "x=\"\(number(box.x))\" y=\"\(number(box.y))\" width=\"\(number(box.width))\" height=\"\(number(box.height))\""
    }

    private func alpha(_ opacity: Double) -> String { opacity < 1 ? " fill-opacity=\"\(number(opacity))\"" : "" }

    /// At most two decimals: a hundredth of a point is finer than any screen or press.
    private func number(_ value: Double) -> String {
        var text = Quantity.fixed(value, decimals: 2)
        while text.hasSuffix("0") { text.removeLast() }
        if text.hasSuffix(".") { text.removeLast() }
        return text
    }

    private func escape(_ text: String) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            default:
                // XML allows no control characters at all.
                let isControl = scalar.properties.generalCategory == .control
                escaped.unicodeScalars.append(isControl ? "\u{FFFD}" : scalar)
            }
        }
        return escaped
    }
}
