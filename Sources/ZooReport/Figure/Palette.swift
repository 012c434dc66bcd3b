/// A colour, each part from 0 to 1.
struct Color: Sendable, Hashable {
    var red: Double
    var green: Double
    var blue: Double

    init(_ hex: UInt32) {
        red = Double(hex >> 16 & 0xFF) / 255
        green = Double(hex >> 8 & 0xFF) / 255
        blue = Double(hex & 0xFF) / 255
    }

    /// `#rrggbb`.
    var hex: String {
        let parts = [red, green, blue].map { part -> String in
            let text = String(Int((min(1, max(0, part)) * 255).rounded()), radix: 16)
            return text.count < 2 ? "0" + text : text
        }
        return "#" + parts.joined()
    }

    /// Brightness as the eye sees it: the weights of Rec. 709.
    var luminance: Double { 0.2126 * red + 0.7152 * green + 0.0722 * blue }

    func mixed(with other: Color, _ share: Double) -> Color {
        var mixed = self
        mixed.red += (other.red - red) * share
        mixed.green += (other.green - green) * share
        mixed.blue += (other.blue - blue) * share
        return mixed
    }

    static let text = Color(0x262626)
    static let axis = Color(0x595959)
    static let grid = Color(0xE6E6E6)
    static let missing = Color(0xE4E4E4)
    static let hatch = Color(0xA6A6A6)
    static let white = Color(0xFFFFFF)
}

/// Colours that people with any kind of colour vision tell apart.
enum Palette {
    /// Okabe and Ito's colours (jfly.uni-koeln.de/color, 2008), the dark ones first, without the yellow that white
    /// paper swallows.
    static let series: [Color] = [
        Color(0x0072B2), Color(0xD55E00), Color(0x009E73), Color(0xCC79A7), Color(0xE69F00), Color(0x56B4E9),
        Color(0x555555), Color(0x7A4419),
    ]

    /// Lighter forms of the same for large areas with words on them.
    static let classes: [Color] = series.map { $0.mixed(with: .white, 0.45) }

    /// Ten points on the viridis map (Smith and van der Walt, CC0): even steps of lightness.
    private static let sequential: [Color] = [
        Color(0x440154), Color(0x482878), Color(0x3E4989), Color(0x31688E), Color(0x26828E), Color(0x1F9E89),
        Color(0x35B779), Color(0x6ECE58), Color(0xB5DE2B), Color(0xFDE725),
    ]

    private static let diverging: [Color] = [
        Color(0x2166AC), Color(0x67A9CF), Color(0xD1E5F0), Color(0xF7F7F7), Color(0xFDDBC7), Color(0xEF8A62),
        Color(0xB2182B),
    ]

    static func sequential(_ share: Double) -> Color { between(sequential, share) }

    static func diverging(_ share: Double) -> Color { between(diverging, share) }

    private static func between(_ colors: [Color], _ share: Double) -> Color {
        let place = min(1, max(0, share)) * Double(colors.count - 1)
        let index = min(colors.count - 2, Int(place))
        return colors[index].mixed(with: colors[index + 1], place - Double(index))
    }
}
