#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Numbers as people read them. Every byte count, duration and rounded number that the tool shows is written here.
public enum Quantity {
    /// A byte count in decimal units with three significant digits: `0 B`, `999 B`, `1.50 kB`, `2.63 GB`.
    public static func bytes(_ count: Int) -> String {
        let magnitude = Double(count.magnitude)
        guard magnitude >= 1000 else { return "\(count) B" }
        return scaled(magnitude, sign: count < 0 ? "-" : "", units: ["kB", "MB", "GB", "TB", "PB", "EB"])
    }

    /// A count with thousands separated: `2,600,000`.
    public static func count(_ value: some FixedWidthInteger) -> String {
        let digits = Array(String(value.magnitude))
        var text = value < 0 ? "-" : ""
        for (position, digit) in digits.enumerated() {
            if position > 0, (digits.count - position) % 3 == 0 { text.append(",") }
            text.append(digit)
        }
        return text
    }

    /// A large number in short form: `950`, `2.50 k`, `11.2 M`, `7.25 G`.
    public static func short(_ value: Double) -> String {
        let magnitude = abs(value)
        guard magnitude >= 1000 else { return significant(value, digits: 3) }
        return scaled(magnitude, sign: value < 0 ? "-" : "", units: ["k", "M", "G", "T", "P", "E"])
    }

    /// A duration: `12 µs`, `3.4 ms`, `0.52 s`, `42 s`, `3 min 05 s`, `2 h 07 min`, `4 d 03 h`.
    public static func duration(_ seconds: Double) -> String {
        guard seconds.isFinite else { return "unknown" }
        let sign = seconds < 0 ? "-" : ""
        let length = abs(seconds)
        switch length {
        case 0: return "0 s"
        case ..<0.000_999_5: return sign + significant(length * 1e6, digits: 2) + " µs"
        case ..<0.099_5: return sign + significant(length * 1e3, digits: 2) + " ms"
        case ..<9.95: return sign + significant(length, digits: 2) + " s"
        case ..<59.5: return sign + "\(Int(length.rounded())) s"
        case ..<3599.5: return sign + pair(Int(length.rounded()), 60, "min", "s")
        case ..<86_370: return sign + pair(Int((length / 60).rounded()), 60, "h", "min")
        case ..<1e15: return sign + pair(Int((length / 3600).rounded()), 24, "d", "h")
        default: return sign + significant(length / 86_400, digits: 3) + " d"
        }
    }

    /// A number rounded to `digits` significant digits, trailing zeros dropped: `0.9123`, `1.2e-07`, `NaN`, `-inf`.
    public static func significant(_ value: Double, digits: Int) -> String {
        guard value.isFinite else { return value.isNaN ? "NaN" : value < 0 ? "-inf" : "inf" }
        return format("%.*g", digits, value == 0 ? 0 : value)
    }

    /// A number with exactly `decimals` digits after the point.
    public static func fixed(_ value: Double, decimals: Int) -> String {
        guard value.isFinite else { return significant(value, digits: 1) }
        let text = format("%.*f", decimals, value)
        // "-0.00" says nothing more than "0.00".
        return text.hasPrefix("-") && text.utf8.allSatisfy({ [0x2D, 0x2E, 0x30].contains($0) })
            ? String(text.dropFirst()) : text
    }

    private static func scaled(_ magnitude: Double, sign: String, units: [String]) -> String {
        var value = magnitude / 1000
        var unit = 0
        while value >= 999.5, unit < units.count - 1 {
            value /= 1000
            unit += 1
        }
        let decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0
        return "\(sign)\(fixed(value, decimals: decimals)) \(units[unit])"
    }

    private static func pair(_ total: Int, _ base: Int, _ large: String, _ small: String) -> String {
        let rest = total % base
        return rest == 0
            ? "\(total / base) \(large)" : "\(total / base) \(large) \(rest < 10 ? "0" : "")\(rest) \(small)"
    }

    private static func format(_ pattern: String, _ digits: Int, _ value: Double) -> String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 400) { buffer in
            let length = withVaList([CInt(digits), value]) { vsnprintf(buffer.baseAddress, buffer.count, pattern, $0) }
            let used = min(max(0, Int(length)), buffer.count - 1)
            return String(decoding: buffer.prefix(used).lazy.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
    }
}
