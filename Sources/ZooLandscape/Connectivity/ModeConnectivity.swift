/// What the values of a quantity along a path say about its ends.
///
/// `connectivity` is the taxonomy's mc (arXiv 2107.11228, equation 3): ½(E(0)+E(1)) − E(t*), where t* is the place at
/// which E differs most from the mean of the ends. Below zero there is a barrier, near zero the ends are connected,
/// above zero the path lies lower than its ends.
public struct ModeConnectivity: Sendable, Hashable {
    /// mc.
    public let connectivity: Double
    /// t*; the smallest t of equal ones.
    public let location: Double
    /// The largest value.
    public let maximum: Double
    /// The smallest value.
    public let minimum: Double
    /// The mean over the points.
    public let mean: Double
    /// The mean over the length of the path: Σ ½(Eᵢ+Eᵢ₊₁)ℓᵢ / Σ ℓᵢ; the plain mean of a path without length.
    public let lengthMean: Double

    /// Measures values along a path.
    ///
    /// - Parameters:
    ///   - t: places, rising; the ends are the first and last.
    ///   - lengths: lengths of the pieces between them; empty when not known.
    /// - Returns: everything NaN when a value is NaN.
    /// - Precondition: as many values as places, at least one.
    public init(_ t: [Double], _ values: [Double], lengths: [Double] = []) {
        precondition(t.count == values.count && !t.isEmpty)
        guard values.allSatisfy({ !$0.isNaN }) else {
            (connectivity, location, maximum, minimum, mean, lengthMean) = (.nan, .nan, .nan, .nan, .nan, .nan)
            return
        }
        let ends = (values[0] + values[values.count - 1]) / 2
        var place = 0
        for index in values.indices where abs(values[index] - ends) > abs(values[place] - ends) { place = index }
        connectivity = ends - values[place]
        location = t[place]
        maximum = values.max() ?? .nan
        minimum = values.min() ?? .nan
        let average = values.reduce(0, +) / Double(values.count)
        mean = average
        let total = lengths.reduce(0, +)
        guard lengths.count == values.count - 1, total > 0 else {
            lengthMean = average
            return
        }
        lengthMean =
            lengths.indices.reduce(0) { $0 + (values[$1] + values[$1 + 1]) / 2 * lengths[$1] } / total
    }
}
