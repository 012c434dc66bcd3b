import ZooBase

/// What a ranker looks at; decides what has to be computed of a model, and whether the query's samples go through it.
public enum RankerNeed: String, Sendable, Hashable, CaseIterable {
    /// Penultimate activations of the query's samples: a forward pass of the model.
    case features
    /// Class probabilities of the query's samples: a forward pass of the model.
    case probabilities
    /// The model's scores on the probe pool, kept in the index: no pass.
    case answers
    /// What is known of the model without running it: size, accuracies. No pass.
    case profile

    /// Whether the query's samples go through the model.
    public var takesPass: Bool { self == .features || self == .probabilities }
}

/// What is known of a model without running it.
public struct ModelProfile: Sendable, Hashable {
    /// The name.
    public var name: String
    /// Parameters, where known.
    public var parameterCount: Int?
    /// Accuracy on its own task, where known.
    public var sourceAccuracy: Double?
    /// Mean accuracy over other tasks of the protocol, where known.
    public var averageAccuracy: Double?

    /// Describes a model.
    public init(
        name: String, parameterCount: Int? = nil, sourceAccuracy: Double? = nil, averageAccuracy: Double? = nil
    ) {
        self.name = name
        self.parameterCount = parameterCount
        self.sourceAccuracy = sourceAccuracy
        self.averageAccuracy = averageAccuracy
    }
}

/// Everything that a ranker may look at for one model and one query.
public struct Evidence: Sendable {
    /// The class of each sample of the query, from zero, without gaps.
    public var labels: [Int]
    /// Classes of the query.
    public var classCount: Int
    /// Penultimate activations `[N, D]`.
    public var features: Matrix?
    /// The model's class probabilities of the samples `[N, Z]`.
    public var probabilities: Matrix?
    /// The query beside the probe pool.
    public var query: ProbedQuery?
    /// The model's scores on the probe pool.
    public var answers: ProbeAnswers?
    /// What is known otherwise.
    public var profile: ModelProfile
    /// The seed of whatever is drawn.
    public var seed: UInt64

    /// Evidence of a query; what the ranker needs is filled in by the caller.
    ///
    /// - Parameter labels: any numbers; classes without samples are dropped, the rest numbered from zero in order.
    public init(
        labels: [Int], features: Matrix? = nil, probabilities: Matrix? = nil, query: ProbedQuery? = nil,
        answers: ProbeAnswers? = nil, profile: ModelProfile = ModelProfile(name: ""), seed: UInt64 = 0
    ) {
        let classes = Set(labels).sorted()
        let places = Dictionary(uniqueKeysWithValues: classes.enumerated().map { ($1, $0) })
        self.labels = labels.map { places[$0] ?? 0 }
        classCount = classes.count
        self.features = features
        self.probabilities = probabilities
        self.query = query
        self.answers = answers
        self.profile = profile
        self.seed = seed
    }

    /// The features.
    ///
    /// - Throws: `notFound` when there are none, `mismatch` for another number of samples, `numeric` for NaN.
    func requireFeatures(_ ranker: String) throws -> Matrix {
        guard let features else {
            throw ZooError(
                .notFound, "\(ranker) reads a model's features; it only gives scores",
                hint: "take a ranker that reads scores: leep, nce, fewshot, surrogate")
        }
        return try checked(features, "features")
    }

    /// The probabilities; throws likewise.
    func requireProbabilities(_ ranker: String) throws -> Matrix {
        guard let probabilities else { throw ZooError(.notFound, "\(ranker) reads class probabilities") }
        return try checked(probabilities, "probabilities")
    }

    private func checked(_ matrix: Matrix, _ what: String) throws -> Matrix {
        guard matrix.rows == labels.count, matrix.columns > 0 else {
            throw ZooError(.mismatch, "\(what) of \(matrix.rows) samples for \(labels.count) labels")
        }
        guard matrix.values.allSatisfy(\.isFinite) else { throw ZooError(.numeric, "\(what) are NaN or infinite") }
        return matrix
    }
}

/// A score for one model on one query: the higher, the better the model is thought to serve.
public protocol Ranker: Sendable {
    /// The name on the command line.
    static var name: String { get }
    /// One line for help, with the source.
    static var summary: String { get }
    /// What the score is, with its unit and range.
    static var meaning: String { get }
    /// What it looks at.
    static var needs: Set<RankerNeed> { get }
    /// With default settings.
    init()
    /// The score.
    ///
    /// - Throws: `notFound` when what it needs is not there, `mismatch` for too few samples, `numeric`.
    func score(_ evidence: Evidence) throws -> Double
}

extension Ranker {
    /// Whether the query's samples go through each model.
    public static var takesPass: Bool { needs.contains(where: \.takesPass) }
}

/// The rankers.
public enum Rankers {
    /// A new ranker is one file in this folder and one line here.
    public static let all: [any Ranker.Type] = [
        LogME.self, PublishedLogME.self, LEEP.self, NLEEP.self, NCE.self, HScore.self, RegularisedHScore.self,
        TransRate.self, GBC.self,
        SFDA.self, FewShotMatching.self, LogitProbing.self, Surrogate.self, SurrogateLEEP.self, NearestKnowledge.self,
        RandomRanker.self, ParameterCountRanker.self, SourceAccuracyRanker.self, AverageAccuracyRanker.self,
    ]

    /// A ranker by its name.
    ///
    /// - Throws: `usage` with the nearest name.
    public static func named(_ name: String) throws -> any Ranker.Type {
        if let found = all.first(where: { $0.name == name }) { return found }
        throw ZooError(
            .usage, "there is no ranker '\(name)'",
            hint: NearestName.hint(name, in: all.map { $0.name }, kind: "rankers"))
    }
}
