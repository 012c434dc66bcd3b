import ZooBase

/// A parameter's value in a recipe: a number for everything, a gradient over layers, or different values by tensor
/// name.
public indirect enum Setting: Sendable, Hashable {
    /// One number; truth values are 1 and 0.
    case number(Double)
    /// A word, for parameters that choose by name.
    case text(String)
    /// Numbers spread evenly over the layers of a slice and interpolated between.
    case gradient([Double])
    /// The first entry whose filter is absent, "*", or a part of the tensor's name.
    case conditional([Condition])

    /// An entry of a conditional list.
    public struct Condition: Sendable, Hashable {
        /// A part of the tensor's name, case-sensitive; nil matches every name.
        public var filter: String?
        /// The value of matching tensors.
        public var value: Setting
    }

    /// A setting's value at one tensor.
    public enum Value: Sendable, Hashable {
        /// A number.
        case number(Double)
        /// A word.
        case text(String)
    }

    /// The value for a tensor; nil when no condition matches.
    ///
    /// - Parameters:
    ///   - name: the tensor's name.
    ///   - t: the place of the tensor's layer in its slice, from 0 to 1.
    public func value(for name: String, at t: Double) -> Value? {
        switch self {
        case .number(let number): return .number(number)
        case .text(let text): return .text(text)
        case .gradient(let values):
            guard let last = values.indices.last else { return nil }
            let place = t * Double(last)
            let below = min(last, max(0, Int(place))), above = min(last, below + 1)
            let fraction = place - Double(below)
            return .number((1 - fraction) * values[below] + fraction * values[above])
        case .conditional(let entries):
            for entry in entries {
                guard let filter = entry.filter, filter != "*" else { return entry.value.value(for: name, at: t) }
                if name.contains(filter) { return entry.value.value(for: name, at: t) }
            }
            return nil
        }
    }
}

/// The `parameters` of one place in a recipe.
public struct ParameterSet: Sendable {
    /// Settings by name, with the line that gives each.
    public var settings: [String: (value: Setting, line: Int)] = [:]

    /// No parameters.
    public init() {}

    /// The setting of a name.
    public subscript(name: String) -> Setting? { settings[name]?.value }
}
