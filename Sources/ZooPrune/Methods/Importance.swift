import ZooBase

/// GAPrune's score with Fisher values on a scale where both of its terms count.
public struct ScaledImportance: PruneMethod {
    /// What it is called on the command line.
    public static let name = "dai"
    /// What it is, in a few words.
    public static let summary = "domain alignment importance, Fisher values divided by their mean; beta 0"
    private let settings: PruneSettings

    /// The method with these constants.
    public init(_ settings: PruneSettings) { self.settings = settings }

    private func form(_ statistics: PruneStatistics) throws -> DomainImportance {
        let scale = try statistics.meanFisher()
        guard scale > 0, scale.isFinite else {
            throw ZooError(.numeric, "the mean of the Fisher values is \(scale); expected a positive number")
        }
        return DomainImportance(
            alpha: settings.alpha, beta: settings.beta ?? 0, gamma: settings.gamma, scale: scale, dividesNegative: true)
    }

    /// A score per weight, as the tensor lies.
    public func scores(of matrix: CandidateMatrix, _ statistics: PruneStatistics) throws -> [Double] {
        try form(statistics).scores(of: matrix, statistics, settings.agreement)
    }

    /// The ratio of the terms and the share of negative brackets.
    public func report(_ statistics: PruneStatistics) throws -> JSONObject {
        try form(statistics).report(statistics)
    }
}

/// GAPrune's score as published.
public struct FaithfulImportance: PruneMethod {
    /// What it is called on the command line.
    public static let name = "dai-faithful"
    /// What it is, in a few words.
    public static let summary = "domain alignment importance as published, on raw Fisher values; beta 1"
    private let form: DomainImportance
    private let agreement: Agreement.Granularity

    /// The method with these constants.
    public init(_ settings: PruneSettings) {
        form = DomainImportance(
            alpha: settings.alpha, beta: settings.beta ?? 1, gamma: settings.gamma, scale: 1, dividesNegative: false)
        agreement = settings.agreement
    }

    /// A score per weight, as the tensor lies.
    public func scores(of matrix: CandidateMatrix, _ statistics: PruneStatistics) throws -> [Double] {
        try form.scores(of: matrix, statistics, agreement)
    }

    /// The ratio of the terms and the share of negative brackets.
    public func report(_ statistics: PruneStatistics) throws -> JSONObject { try form.report(statistics) }
}

extension DomainImportance {
    /// The scores of a matrix.
    func scores(
        of matrix: CandidateMatrix, _ statistics: PruneStatistics, _ granularity: Agreement.Granularity
    ) throws -> [Double] {
        let weights = try statistics.weights(matrix)
        let domain = try statistics.fisher(.domain, matrix), general = try statistics.fisher(.general, matrix)
        let agreement = try statistics.agreement(granularity, matrix)
        return weights.indices.map {
            score(
                weight: Double(weights[$0]), domain: Double(domain[$0]), general: Double(general[$0]),
                agreement: agreement.value(at: $0, of: matrix))
        }
    }

    /// The ratio of the mean sizes of the terms, and how many brackets are negative.
    func report(_ statistics: PruneStatistics) throws -> JSONObject {
        var fisher = 0.0, magnitude = 0.0
        var negative = 0, count = 0
        for matrix in statistics.matrices {
            let weights = try statistics.weights(matrix)
            let domain = try statistics.fisher(.domain, matrix), general = try statistics.fisher(.general, matrix)
            for place in weights.indices {
                let terms = terms(
                    weight: Double(weights[place]), domain: Double(domain[place]), general: Double(general[place]))
                fisher += abs(terms.fisher)
                magnitude += abs(terms.magnitude)
                if terms.fisher + terms.magnitude < 0 { negative += 1 }
            }
            count += weights.count
        }
        return JSONObject([
            ("term_ratio", magnitude > 0 ? .double(fisher / magnitude) : .null),
            ("negative_share", .double(Double(negative) / Double(max(1, count)))), ("fisher_scale", .double(scale)),
        ])
    }
}
