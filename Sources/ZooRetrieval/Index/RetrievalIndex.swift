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
    /// Their answers on the pool.
    public private(set) var answers: [ProbeAnswers] = []

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
        guard !models.contains(where: { $0.name == model.name }) else {
            throw ZooError(.usage, "\(model.name): is in the index already")
        }
        try check(model, vector, found)
        models.append(model)
        vectors += vector
        answers.append(found)
    }

    /// Puts checked models in place of those that are there.
    mutating func set(_ models: [IndexedModel], _ vectors: [Float], _ answers: [ProbeAnswers]) {
        self.models = models
        self.vectors = vectors
        self.answers = answers
    }

    func check(_ model: IndexedModel, _ vector: [Float], _ found: ProbeAnswers) throws {
        guard model.madeWith == madeWith else {
            throw ZooError(
                .mismatch, "\(model.name): its vector was made with \(model.madeWith); this index has \(madeWith)",
                hint: "capture the model again with 'zoo retrieve add'")
        }
        guard vector.count == encoder.shape.embedding, vector.allSatisfy(\.isFinite) else {
            throw ZooError(
                .corrupt, "\(model.name): a vector of \(vector.count) numbers, expected \(encoder.shape.embedding)")
        }
        guard found.scores.rows == pool.count, found.scores.columns == model.classCount else {
            throw ZooError(
                .corrupt,
                "\(model.name): answers of [\(found.scores.rows), \(found.scores.columns)], expected "
                    + "[\(pool.count), \(model.classCount)]")
        }
    }

    // MARK: Search

    /// One model found.
    public struct Hit: Sendable, Hashable {
        /// Its place in the index.
        public var place: Int
        /// Cosine with the query.
        public var score: Double

        /// A model and its score.
        public init(place: Int, score: Double) {
            self.place = place
            self.score = score
        }
    }

    /// The most similar models, best first; of equal scores the one with fewer parameters, then by name.
    ///
    /// - Parameters:
    ///   - query: of unit length.
    ///   - allowed: places to rank; nil for all. Filters come before the cut, never after.
    public func search(_ query: [Float], top: Int, among allowed: [Int]? = nil) throws -> [Hit] {
        let scores = try similarities(query)
        var best: [Hit] = []
        best.reserveCapacity(top + 1)
        func offer(_ place: Int) {
            let hit = Hit(place: place, score: Double(scores[place]))
            if best.count == top, let last = best.last, !precedes(hit, last) { return }
            var low = 0, high = best.count
            while low < high {
                let middle = (low + high) / 2
                if precedes(hit, best[middle]) { high = middle } else { low = middle + 1 }
            }
            best.insert(hit, at: low)
            if best.count > top { best.removeLast() }
        }
        guard top > 0 else { return [] }
        if let allowed { for place in allowed { offer(place) } } else { for place in models.indices { offer(place) } }
        return best
    }

    /// The cosine of every model, by one matrix product.
    public func similarities(_ query: [Float]) throws -> [Float] {
        guard query.count == encoder.shape.embedding else {
            throw ZooError(
                .mismatch, "a query vector of \(query.count) numbers, the index has \(encoder.shape.embedding)")
        }
        guard !models.isEmpty else { return [] }
        return try LinearAlgebra.product(vectors, query, rows: models.count, columns: 1, depth: query.count)
    }

    /// Whether one hit comes before another.
    public func precedes(_ a: Hit, _ b: Hit) -> Bool {
        if a.score != b.score { return a.score > b.score }
        let (x, y) = (models[a.place], models[b.place])
        let (m, n) = (x.parameterCount ?? .max, y.parameterCount ?? .max)
        return m != n ? m < n : x.name < y.name
    }

    /// Below this gap between the first two the first is uncertain.
    public static let smallMargin = 0.02
}
