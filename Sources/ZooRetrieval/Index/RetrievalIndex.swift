import ZooBase
import ZooTensor

/// One model of an index.
public struct IndexedModel: Sendable, Hashable {
    /// The name: `zoo/model@epoch`, or a box's own.
    public var name: String
    /// The selector by which it is opened for model passes; empty for boxes.
    public var selector: String
    /// The catalog's id of the checkpoint, where it is catalogued.
    public var checkpoint: Int?
    /// Parameters, where known.
    public var parameterCount: Int?
    /// Its classes.
    public var classCount: Int
    /// What its stored answers are.
    public var kind: ScoreKind
    /// The least of the largest probabilities that probes have, over its classes.
    public var coverage: Double
    /// Inputs it was asked about when captured.
    public var queryCount: Int
    /// Classes that no probe belongs to.
    public var emptyClasses: [Int]
    /// The task it was trained for, where known.
    public var task: String?
    /// The data's classes in the order of its outputs, where known.
    public var taskClasses: [Int]
    /// Accuracy on its own task, where known.
    public var sourceAccuracy: Double?
    /// Digest of what was captured.
    public var knowledge: String
    /// Digests of map, encoder, pool and seed that its vector was made with.
    public var madeWith: String

    /// Describes a model.
    public init(
        name: String, selector: String = "", checkpoint: Int? = nil, parameterCount: Int? = nil, classCount: Int,
        kind: ScoreKind, coverage: Double, queryCount: Int, emptyClasses: [Int], task: String? = nil,
        taskClasses: [Int] = [], sourceAccuracy: Double? = nil, knowledge: String, madeWith: String
    ) {
        self.name = name
        self.selector = selector
        self.checkpoint = checkpoint
        self.parameterCount = parameterCount
        self.classCount = classCount
        self.kind = kind
        self.coverage = coverage
        self.queryCount = queryCount
        self.emptyClasses = emptyClasses
        self.task = task
        self.taskClasses = taskClasses
        self.sourceAccuracy = sourceAccuracy
        self.knowledge = knowledge
        self.madeWith = madeWith
    }

    /// The strawmen's view of it.
    public var profile: ModelProfile {
        ModelProfile(name: name, parameterCount: parameterCount, sourceAccuracy: sourceAccuracy)
    }
}

/// Vectors and probe answers of captured models, with everything that was learned: pool, feature map, encoders.
public struct RetrievalIndex: Sendable {
    /// The version of the layout.
    public static let version = 1

    /// The probes.
    public let pool: ProbePool
    /// The feature map.
    public let map: FeatureMap
    /// The encoders.
    public let encoder: KnowledgeEncoder
    /// How models are asked.
    public let capture: CaptureSettings
    /// Tasks that the encoders were trained on.
    public var trainedTasks: [String] = []
    /// Below this similarity a best answer is uncertain: the 5th percentile of held-out positives.
    public var positiveFloor = 0.0
    /// Mean reciprocal rank of held-out groups.
    public var validationMRR: Double?
    /// The models.
    public private(set) var models: [IndexedModel] = []
    /// Their vectors `[K, E]`, of unit length.
    public private(set) var vectors: [Float] = []
    /// Their answers on the pool `[probes, classes]` in half precision, as they are stored.
    private(set) var storedAnswers: [Tensor] = []
    private var names: Set<String> = []

    /// An index without models.
    public init(pool: ProbePool, map: FeatureMap, encoder: KnowledgeEncoder, capture: CaptureSettings) {
        self.pool = pool
        self.map = map
        self.encoder = encoder
        self.capture = capture
    }

    /// What vectors of this index are made with; two vectors are compared only when it is the same.
    public var madeWith: String {
        "map \(map.digest) encoder \(encoder.digest) pool \(pool.digest) seed \(capture.seed)"
    }

    /// Adds a captured model; no vector that is there changes.
    ///
    /// - Throws: `usage` when there is a model of that name; `mismatch` when its vector was made with another map,
    ///   encoder, pool or seed.
    public mutating func add(_ model: IndexedModel, vector: [Float], answers found: ProbeAnswers) throws {
        guard !names.contains(model.name) else {
            throw ZooError(.usage, "\(model.name): is in the index already")
        }
        let answers = Self.halves(found)
        try check(model, vector, answers)
        names.insert(model.name)
        models.append(model)
        vectors += vector
        storedAnswers.append(answers)
    }

    /// Puts checked models in place of those that are there.
    mutating func set(_ models: [IndexedModel], _ vectors: [Float], _ answers: [Tensor]) {
        self.models = models
        self.vectors = vectors
        storedAnswers = answers
        names = Set(models.map(\.name))
    }

    /// The answers of a model on the pool.
    public func answers(at place: Int) -> ProbeAnswers {
        let tensor = storedAnswers[place]
        return ProbeAnswers(
            kind: models[place].kind,
            scores: Matrix(tensor.doubles(), rows: tensor.shape[0], columns: tensor.shape[1]))
    }

    /// Scores in half precision. Logits beyond its range are scaled down all together: the order of classes stays, and
    /// probabilities of such logits are 0 and 1 either way.
    private static func halves(_ found: ProbeAnswers) -> Tensor {
        let largest = found.scores.values.reduce(0) { max($0, abs($1)) }, limit = 60_000.0
        let scale = largest > limit ? limit / largest : 1
        return Tensor(
            found.scores.values.map { Float($0 * scale) }, shape: [found.scores.rows, found.scores.columns]
        ).converted(to: .float16)
    }

    func check(_ model: IndexedModel, _ vector: [Float], _ answers: Tensor) throws {
        guard model.madeWith == madeWith else {
            throw ZooError(
                .mismatch, "\(model.name): its vector was made with \(model.madeWith); this index has \(madeWith)",
                hint: "capture the model again with 'zoo retrieve add'")
        }
        guard vector.count == encoder.shape.embedding, vector.allSatisfy(\.isFinite) else {
            throw ZooError(
                .corrupt, "\(model.name): a vector of \(vector.count) numbers, expected \(encoder.shape.embedding)")
        }
        guard answers.shape == [pool.count, model.classCount] else {
            throw ZooError(
                .corrupt,
                "\(model.name): answers of \(answers.shape), expected [\(pool.count), \(model.classCount)]")
        }
    }

    // MARK: Search

    /// One model found: its place in the index and its cosine with the query.
    public typealias Hit = VectorSearch.Hit

    /// The most similar models, best first; of equal scores the one with fewer parameters, then by name.
    ///
    /// - Parameters:
    ///   - query: of unit length.
    ///   - allowed: places to rank; nil for all. Filters come before the cut, never after.
    public func search(_ query: [Float], top: Int, among allowed: [Int]? = nil) throws -> [Hit] {
        try checkLength(query)
        return try VectorSearch(vectors, width: encoder.shape.embedding).nearest(
            query, top: top, among: allowed, isBefore: { isBefore($0, $1) }
        ).first ?? []
    }

    /// The cosine of every model, by one matrix product.
    public func similarities(_ query: [Float]) throws -> [Float] {
        try checkLength(query)
        return try VectorSearch(vectors, width: encoder.shape.embedding).similarities(query)
    }

    private func checkLength(_ query: [Float]) throws {
        guard query.count == encoder.shape.embedding else {
            throw ZooError(
                .mismatch, "a query vector of \(query.count) numbers, the index has \(encoder.shape.embedding)")
        }
    }

    /// Whether one hit comes before another.
    public func precedes(_ a: Hit, _ b: Hit) -> Bool {
        a.score != b.score ? a.score > b.score : isBefore(a.place, b.place)
    }

    /// Of models of equal scores: fewer parameters first, then by name.
    private func isBefore(_ a: Int, _ b: Int) -> Bool {
        let (x, y) = (models[a], models[b])
        let (m, n) = (x.parameterCount ?? .max, y.parameterCount ?? .max)
        return m != n ? m < n : x.name < y.name
    }

    /// Below this gap between the first two the first is uncertain.
    public static let smallMargin = 0.02
}
