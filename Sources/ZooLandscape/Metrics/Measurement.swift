/// A number measured on a network or on a pair, with what is known of its quality.
public struct Measurement: Sendable, Hashable {
    /// The metric's name, as the catalog has it.
    public var name: String
    /// The number; nil when it is not defined.
    public var value: Double?
    /// Standard error, or a bound of the error; nil where there is none.
    public var error: Double?
    /// Products, gradients or draws that it took; nil where that says nothing.
    public var iterations: Int?
    /// False when a rule for stopping was not met, or there is no value.
    public var isConverged: Bool
    /// Why there is no value, or what is wrong with it.
    public var reason: String?

    /// Creates a measurement.
    public init(
        _ name: String, _ value: Double?, error: Double? = nil, iterations: Int? = nil, isConverged: Bool = true,
        reason: String? = nil
    ) {
        self.name = name
        self.value = value
        self.error = error
        self.iterations = iterations
        // What has no value has not converged to one.
        self.isConverged = isConverged && value != nil
        self.reason = reason
    }

    init(_ name: String, _ estimate: Estimate) {
        self.init(
            name, estimate.value, error: estimate.error, iterations: estimate.products,
            isConverged: estimate.isConverged,
            reason: estimate.isConverged ? nil : "not converged after \(estimate.products) products")
    }

    /// ln of an estimate, its error by the first derivative; no value, and the reason, where the number is not above
    /// zero: the logarithm of its magnitude would hide that.
    static func logarithm(_ name: String, of estimate: Estimate) -> Measurement {
        guard estimate.value > 0 else {
            return Measurement(
                name, nil, iterations: estimate.products, isConverged: estimate.isConverged,
                reason: "ln of \(estimate.value), which is not above 0")
        }
        var found = Measurement(name, estimate)
        found.value = NaturalLogarithm.of(estimate.value)
        found.error = estimate.error.map { $0 / estimate.value }
        return found
    }
}
