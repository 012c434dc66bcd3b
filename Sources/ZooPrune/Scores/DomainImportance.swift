/// Domain alignment importance (GAPrune): how much a weight matters to the domain beside general use, and whether both
/// pull it the same way.
///
///     DAI = ((F_dom − β F_gen)/c · |θ| + γ √|θ|) · (1 + α s)
///
/// With c = 1 this is the published score. On real networks the Fisher term is then about 10⁻⁶ of the other, and the
/// ranking is that of |θ|; with c the mean of (F_dom + F_gen)/2 over all candidate weights both terms count.
public struct DomainImportance: Sendable, Hashable {
    /// Weight of the agreement of gradients.
    public var alpha: Double
    /// Weight of general importance, which is subtracted.
    public var beta: Double
    /// Weight of the square root of the magnitude.
    public var gamma: Double
    /// The c above; 1 as published.
    public var scale: Double
    /// Whether a negative bracket is divided by the factor, so that disagreement always lowers the score; the published
    /// form multiplies.
    public var dividesNegative: Bool

    /// A score.
    public init(
        alpha: Double = 0.2, beta: Double = 0, gamma: Double = 0.5, scale: Double = 1, dividesNegative: Bool = true
    ) {
        self.alpha = alpha
        self.beta = beta
        self.gamma = gamma
        self.scale = scale
        self.dividesNegative = dividesNegative
    }

    /// The two terms in the bracket: Fisher and magnitude.
    public func terms(weight: Double, domain: Double, general: Double) -> (fisher: Double, magnitude: Double) {
        let size = abs(weight)
        return ((domain - beta * general) / scale * size, gamma * size.squareRoot())
    }

    /// The score of one weight, from its two Fisher values and the agreement s in [−1, 1].
    public func score(weight: Double, domain: Double, general: Double, agreement: Double) -> Double {
        let (fisher, magnitude) = terms(weight: weight, domain: domain, general: general)
        let bracket = fisher + magnitude, factor = 1 + alpha * agreement
        return bracket < 0 && dividesNegative ? bracket / factor : bracket * factor
    }
}
