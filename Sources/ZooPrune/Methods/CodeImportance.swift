import ZooBase

/// GAPrune's score as its public code computes it, which is not what is published.
///
///     softplus((F_dom − β F_gen) |θ| (1 + α s) + γ √|θ|),  s = g_dom g_gen / (‖g_dom‖ ‖g_gen‖)
///
/// The agreement multiplies the Fisher term alone, is a product per weight of the gradients scaled by their matrix's
/// norm, and its factor is held between 0.8 and 1.2. Left out: the code's averaging of s over neighbouring weights, and
/// storage in half precision, which sets most Fisher values to zero.
public struct CodeImportance: PruneMethod {
    /// What it is called on the command line.
    public static let name = "dai-code"
    /// What it is, in a few words.
    public static let summary = "domain alignment importance as the public code has it; beta 1"
    private static let factors = 0.8...1.2
    private let form: DomainImportance

    /// The method with these constants.
    public init(_ settings: PruneSettings) {
        form = DomainImportance(
            alpha: settings.alpha, beta: settings.beta ?? 1, gamma: settings.gamma, scale: 1, dividesNegative: false)
    }

    /// A score per weight, as the tensor lies.
    public func scores(of matrix: CandidateMatrix, _ statistics: PruneStatistics) throws -> [Double] {
        let weights = try statistics.weights(matrix)
        let fisher = (try statistics.fisher(.domain, matrix), try statistics.fisher(.general, matrix))
        let gradients = (try statistics.gradient(.domain, matrix), try statistics.gradient(.general, matrix))
        func norm(_ gradient: [Float]) -> Double {
            gradient.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
        }
        let size = norm(gradients.0) * norm(gradients.1)
        return weights.indices.map { place in
            let terms = form.terms(
                weight: Double(weights[place]), domain: Double(fisher.0[place]), general: Double(fisher.1[place]))
            let agreement = size > 0 ? Double(gradients.0[place]) * Double(gradients.1[place]) / size : 0
            let factor = min(max(1 + form.alpha * agreement, Self.factors.lowerBound), Self.factors.upperBound)
            return Self.softplus(terms.fisher * factor + terms.magnitude)
        }
    }

    /// ln(1 + eˣ), for large x without overflow.
    private static func softplus(_ x: Double) -> Double {
        max(x, 0) + Functions.logarithm(1 + Functions.exponential(-abs(x)))
    }

    /// The ratio of the terms and the share of negative brackets.
    public func report(_ statistics: PruneStatistics) throws -> JSONObject { try form.report(statistics) }
}
