import ZooBase

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// One axis: what it measures, on which scale, over which range.
public struct Axis: Sendable, Hashable {
    /// How values become distances.
    public enum Scale: Sendable, Hashable {
        /// Equal steps, equal distances.
        case linear
        /// Equal ratios, equal distances; ticks at powers of two.
        case log2
        /// Equal ratios, equal distances; ticks at powers of ten.
        case log10
        /// Names at 0, 1, 2 and so on.
        case categories([String])
    }

    /// What it measures; `^{…}` and `_{…}` raise and lower.
    public var label: String
    /// How values become distances.
    public var scale: Scale
    /// The range; what the layers need when nil.
    public var range: ClosedRange<Double>?
    /// Where ticks are; empty for round numbers.
    public var tickValues: [Double]
    /// Whether values fall to the right, or upwards.
    public var isReversed: Bool

    /// Creates an axis.
    public init(
        _ label: String = "", scale: Scale = .linear, range: ClosedRange<Double>? = nil, tickValues: [Double] = [],
        isReversed: Bool = false
    ) {
        self.label = label
        self.scale = scale
        self.range = range
        self.tickValues = tickValues
        self.isReversed = isReversed
    }

    /// An axis of names.
    public init(_ label: String = "", categories: [String]) { self.init(label, scale: .categories(categories)) }
}

/// An axis with its range settled: values to positions, and where the ticks are.
struct ScaledAxis {
    struct Tick: Equatable {
        let value: Double
        let label: String
    }

    let axis: Axis
    /// The ends, in transformed values.
    private let low: Double
    private let high: Double

    /// - Parameters:
    ///   - values: everything that must be seen.
    ///   - includesZero: bars start at zero.
    ///   - isTight: heat maps fill their panel; lines get a little room.
    init(_ axis: Axis, values: [Double], includesZero: Bool = false, isTight: Bool = false) {
        self.axis = axis
        if case .categories(let names) = axis.scale {
            (low, high) = (-0.5, Double(max(1, names.count)) - 0.5)
            return
        }
        var seen = values.compactMap { Self.transform($0, axis.scale) }
        if includesZero, axis.scale == .linear { seen.append(0) }
        let given = axis.range.map { range in
            [range.lowerBound, range.upperBound].compactMap { Self.transform($0, axis.scale) }
        }
        if let given, given.count == 2, given[0] < given[1] {
            (low, high) = (given[0], given[1])
            return
        }
        var bounds = (low: seen.min() ?? 0, high: seen.max() ?? 1)
        if bounds.low == bounds.high {
            let room = axis.scale == .linear ? max(abs(bounds.low) * 0.1, 1e-9) : 0.5
            bounds = (bounds.low - room, bounds.high + room)
        } else if !isTight {
            let room = 0.04 * (bounds.high - bounds.low)
            // Zero stays the floor of what starts at zero.
            if !(includesZero && bounds.low == 0) { bounds.low -= room }
            if !(includesZero && bounds.high == 0) { bounds.high += room }
        }
        (low, high) = bounds
    }

    /// Where a value lies: 0 at the low end, 1 at the high end; nil when it has no place on the scale.
    func position(_ value: Double) -> Double? {
        Self.transform(value, axis.scale).map { value in
            let share = (value - low) / (high - low)
            return axis.isReversed ? 1 - share : share
        }
    }

    /// A position half-way between two values, in the scale's own sense.
    func middle(_ first: Double, _ second: Double) -> Double? {
        guard let first = position(first), let second = position(second) else { return nil }
        return (first + second) / 2
    }

    private static func transform(_ value: Double, _ scale: Axis.Scale) -> Double? {
        switch scale {
        case .linear, .categories: value.isFinite ? value : nil
        case .log2: value.isFinite && value > 0 ? log2(value) : nil
        case .log10: value.isFinite && value > 0 ? log10(value) : nil
        }
    }

    // MARK: Ticks

    /// Labelled ticks inside the range, about `count` of them.
    func ticks(about count: Int) -> [Tick] {
        guard axis.tickValues.isEmpty else {
            return axis.tickValues.map { Tick(value: $0, label: Quantity.significant($0, digits: 6).withMinus) }
        }
        return switch axis.scale {
        case .linear: linearTicks(about: count)
        case .log2: powerTicks(base: 2, about: count)
        case .log10: high - low < 1.2 ? narrowLogTicks(about: count) : powerTicks(base: 10, about: count)
        case .categories(let names): names.enumerated().map { Tick(value: Double($0), label: $1) }
        }
    }

    /// Unlabelled ticks between decades.
    var minorTicks: [Double] {
        guard axis.scale == .log10, axis.tickValues.isEmpty, high - low >= 1.2, high - low <= 8 else { return [] }
        return (Int(low.rounded(.down))...Int(high.rounded(.up))).flatMap { decade in
            (2...9).map { Double($0) * pow(10, Double(decade)) }
        }.filter { position($0).map { $0 >= 0 && $0 <= 1 } ?? false }
    }

    /// Ticks at multiples of 1, 2 or 5 times a power of ten.
    private func linearTicks(about count: Int) -> [Tick] {
        let rough = (high - low) / Double(max(1, count))
        let power = pow(10, log10(rough).rounded(.down))
        // The bounds are geometric means: the step is the round number nearest in ratio.
        let step = power * (rough / power < 1.414 ? 1 : rough / power < 3.162 ? 2 : rough / power < 7.071 ? 5 : 10)
        let decimals = max(0, Int(-log10(step).rounded(.down)))
        let slack = (high - low) * 1e-9
        let first = ((low - slack) / step).rounded(.up)
        let last = ((high + slack) / step).rounded(.down)
        guard first <= last, last - first < 100 else { return [] }
        let largest = max(abs(low), abs(high))
        return stride(from: first, through: last, by: 1).map { index in
            let value = index * step
            let isPlain = largest < 1e6 && decimals <= 5
            return Tick(
                value: value,
                label: isPlain
                    ? Quantity.fixed(value, decimals: decimals).withMinus : Self.scientific(value, step, largest))
        }
    }

    private func powerTicks(base: Double, about count: Int) -> [Tick] {
        let first = Int((low - 1e-9).rounded(.up))
        let last = Int((high + 1e-9).rounded(.down))
        guard first <= last else { return narrowLogTicks(about: count) }
        let step = max(1, (last - first + 1 + count) / max(1, count + 1))
        let isPlain = base == 2 ? first >= -4 && last <= 14 : first >= -2 && last <= 4
        return (first...last).filter { $0 % step == 0 || step == 1 }.map { exponent in
            let value = pow(base, Double(exponent))
            let name = base == 2 ? "2" : "10"
            return Tick(
                value: value,
                label: isPlain
                    ? Quantity.significant(value, digits: 6) : "\(name)^{\(String(exponent).withMinus)}")
        }
    }

    /// Ticks at round numbers where a logarithmic axis spans hardly a decade.
    private func narrowLogTicks(about count: Int) -> [Tick] {
        let base = axis.scale == .log2 ? 2.0 : 10.0
        let ends = (pow(base, low), pow(base, high))
        let decades = Int(log10(ends.0).rounded(.down))...Int(log10(ends.1).rounded(.up))
        let values = decades.flatMap { decade in [1, 2, 3, 5, 7].map { $0 * pow(10, Double(decade)) } }
        let inside = values.filter { $0 >= ends.0 * (1 - 1e-9) && $0 <= ends.1 * (1 + 1e-9) }
        guard inside.count >= 2 else {
            return [ends.0, ends.1].map { Tick(value: $0, label: Quantity.significant($0, digits: 3)) }
        }
        return inside.map { Tick(value: $0, label: Quantity.significant($0, digits: 3)) }
    }

    /// Mantissas of one axis share the power of its largest number, so that they can be compared.
    private static func scientific(_ value: Double, _ step: Double, _ largest: Double) -> String {
        guard value != 0 else { return "0" }
        let exponent = log10(largest).rounded(.down)
        let digits = max(0, Int(exponent - log10(step).rounded(.down)))
        let mantissa = Quantity.fixed(value / pow(10, exponent), decimals: min(6, digits))
        return "\(mantissa.withMinus)×10^{\(String(Int(exponent)).withMinus)}"
    }
}

extension String {
    /// With a real minus sign, which is as wide as a plus.
    var withMinus: String { String(map { $0 == "-" ? "−" : $0 }) }
}
