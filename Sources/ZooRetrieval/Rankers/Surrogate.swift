/// Zero-pass matching, this project's own: what the model would say of each sample is regressed from what it said of the
/// nearest probes, and the query's classes are matched to that as in `fewshot`.
///
/// P̂[n, z] = Σ_i w_i P[probe_i, z] over the k nearest probes in φ (`ProbedQuery`). No sample of the query is shown to
/// a model. The price is the model's answers on the probe pool in the index: probes × classes numbers a model.
public struct Surrogate: Ranker {
    /// The name.
    public static let name = "surrogate"
    /// One line for help.
    public static let summary = "few-shot matching on answers regressed from the nearest probes; no model pass (own)"
    /// What the score is, with its unit.
    public static let meaning = "share of the samples' regressed probability on the matched classes, 0 to 1"
    /// What it looks at.
    public static let needs: Set<RankerNeed> = [.answers]

    /// With default settings.
    public init() {}

    /// The score; see `Ranker`.
    public func score(_ evidence: Evidence) throws -> Double {
        let (query, answers) = try evidence.requireAnswers(Self.name)
        let predicted = query.predicted(answers.probabilities)
        return FewShotMatching.matching(predicted, evidence.labels, classCount: evidence.classCount).score
    }
}

/// LEEP on the same regressed answers.
public struct SurrogateLEEP: Ranker {
    /// The name.
    public static let name = "surrogate-leep"
    /// One line for help.
    public static let summary = "LEEP on answers regressed from the nearest probes; no model pass (own)"
    /// What the score is, with its unit.
    public static let meaning = "mean log-likelihood of a sample's class by regressed answers, nats, 0 at best"
    /// What it looks at.
    public static let needs: Set<RankerNeed> = [.answers]

    /// With default settings.
    public init() {}

    /// The score; see `Ranker`.
    public func score(_ evidence: Evidence) throws -> Double {
        let (query, answers) = try evidence.requireAnswers(Self.name)
        let predicted = query.predicted(answers.probabilities)
        return LEEP.value(predicted, evidence.labels, classCount: evidence.classCount)
    }
}
