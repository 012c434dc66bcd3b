import Synchronization
import ZooBase
import ZooRetrieval

/// How models are put in order: Know2Vec's vectors, any ranker, or one after the other over fewer and fewer.
struct RankMethod: Sendable {
    /// What it is called in tables: `know2vec`, `leep`, `know2vec+surrogate+leep`.
    let name: String
    let usesVectors: Bool
    /// In their order, with how many of the first they rank again.
    let stages: [(ranker: any Ranker.Type, count: Int)]

    static let vectors = "know2vec"
    static let defaultShortlist = 5
    /// Rankers that show the query to no model may look at more.
    static let wideShortlist = 50

    /// What scores are, in the order of the rankings that make them.
    var scales: [(name: String, meaning: String)] {
        (usesVectors ? [(Self.vectors, "cosine of the query's and the model's vector, -1 to 1")] : [])
            + stages.map { ($0.ranker.name, $0.ranker.meaning) }
    }

    /// Whether the query's samples go through models.
    var takesPass: Bool { stages.contains { $0.ranker.takesPass } }

    /// Reads `know2vec`, `RANKER`, or several joined by `+`.
    ///
    /// - Parameter shortlist: how many the last one ranks again; 5, or 50 when it runs no model.
    /// - Throws: `usage` with the nearest name.
    init(_ text: String, shortlist: Int? = nil) throws {
        let parts = text.split(separator: "+").map(String.init)
        guard !parts.isEmpty else {
            throw ZooError(.usage, "'\(text)' is no ranking: know2vec, a ranker, or several joined by +")
        }
        usesVectors = parts.first == Self.vectors
        let rankers = try (usesVectors ? Array(parts.dropFirst()) : parts).map { try Rankers.named($0) }
        stages = rankers.enumerated().map { place, ranker in
            let usual = ranker.takesPass ? Self.defaultShortlist : Self.wideShortlist
            return (ranker, place == rankers.count - 1 ? shortlist ?? usual : usual)
        }
        name = text
    }
}

/// Ranks the models of an index for queries. Safe to use from several threads.
final class RankingEngine: Sendable {
    /// A query ready to be ranked for.
    struct Query: Sendable {
        var inputs: [Float]
        var labels: [Int]
        /// Beside the pool.
        var probed: ProbedQuery
        /// Its vector.
        var vector: [Float]

        var count: Int { labels.count }
    }

    /// What ranking gave.
    struct Result: Sendable {
        /// What allowed models are ordered by: made so that those ranked again lie above all others.
        var keys: [Double]
        /// The score of each allowed model by the last ranking that it came to; −∞ when it has none.
        var scores: [Double]
        /// Which of the method's scales each score is of.
        var scales: [Int]
        /// Places among the allowed models, best first.
        var order: [Int]
        /// Models that the query's samples went through.
        var passes: Int
        /// Why models have no score of the ranker.
        var problems: [Int: ZooError]
    }

    /// Up to this many models' probabilities on the probes are kept.
    private static let keptAnswers = 2000

    let index: RetrievalIndex
    /// Places in the index that may be found.
    let allowed: [Int]
    private let open: @Sendable (IndexedModel) throws -> NetworkBox
    private let profiles: [ModelProfile]
    private let probes: Matrix
    private let seed: UInt64
    private let boxes: Mutex<[Int: NetworkBox]>
    private let probabilities: Mutex<[Int: ProbeAnswers]>

    init(
        _ index: RetrievalIndex, allowed: [Int], averages: [Int: Double] = [:], seed: UInt64,
        open: @escaping @Sendable (IndexedModel) throws -> NetworkBox
    ) throws {
        self.index = index
        self.allowed = allowed
        self.seed = seed
        self.open = open
        profiles = allowed.map { place in
            var profile = index.models[place].profile
            profile.averageAccuracy = averages[place]
            return profile
        }
        probes = try index.map.apply(index.pool.inputs, count: index.pool.count)
        boxes = Mutex([:])
        probabilities = Mutex([:])
    }

    /// Makes a query of labelled samples.
    ///
    /// - Throws: `mismatch` for one class only.
    func query(_ inputs: [Float], labels: [Int], neighbours: Int = ProbedQuery.defaultNeighbourCount) throws -> Query {
        let dense = Evidence(labels: labels)
        guard dense.classCount >= 2 else {
            throw ZooError(
                .mismatch, "the query has samples of one class only; classes are told apart by two or more",
                hint: "give labelled samples of at least two classes")
        }
        let features = try index.map.apply(inputs, count: labels.count)
        let probed = try ProbedQuery(
            features: features, labels: dense.labels, classCount: dense.classCount, probes: probes,
            neighbourCount: neighbours)
        return Query(
            inputs: inputs, labels: dense.labels, probed: probed,
            vector: try index.encoder.vector(ofQuery: probed.classMeans))
    }

    /// Ranks the allowed models.
    func rank(_ query: Query, _ method: RankMethod) throws -> Result {
        var passes = 0
        var problems: [Int: ZooError] = [:]
        func score(_ place: Int, _ ranker: any Ranker.Type) -> Double {
            do { return try self.score(place, query, ranker, &passes) } catch {
                problems[place] = ZooError.wrap(error)
                return -.infinity
            }
        }
        var keys: [Double]
        var stages = method.stages[...]
        if method.usesVectors {
            let all = try index.similarities(query.vector)
            keys = allowed.map { Double(all[$0]) }
        } else {
            let first = stages.popFirst()
            keys = allowed.indices.map { place in first.map { score(place, $0.ranker) } ?? 0 }
        }
        var scores = keys, scales = [Int](repeating: 0, count: keys.count)
        for (number, stage) in stages.enumerated() {
            let first = Array(ordered(keys).prefix(stage.count))
            let again = first.map { score($0, stage.ranker) }
            let best = again.indices.sorted { (-again[$0], $0) < (-again[$1], $1) }
            // Above all that were not ranked again; of equal ones the order before stays.
            let top = keys.filter(\.isFinite).max() ?? 0
            for (position, entry) in best.enumerated() {
                keys[first[entry]] = top + Double(best.count - position)
                guard again[entry] > -.infinity else { continue }
                scores[first[entry]] = again[entry]
                scales[first[entry]] = number + 1
            }
        }
        try Cancellation.check()
        return Result(
            keys: keys, scores: scores, scales: scales, order: ordered(keys), passes: passes, problems: problems)
    }

    /// Places by score; of equal scores fewer parameters first, then by name.
    private func ordered(_ scores: [Double]) -> [Int] {
        scores.indices.sorted { a, b in
            index.precedes(.init(place: allowed[a], score: scores[a]), .init(place: allowed[b], score: scores[b]))
        }
    }

    private func score(_ place: Int, _ query: Query, _ type: any Ranker.Type, _ passes: inout Int) throws -> Double {
        var evidence = Evidence(labels: query.labels, profile: profiles[place], seed: seed)
        let ranker = type.init()
        if type.needs.contains(.answers) {
            evidence.query = query.probed
            // Logits are compared as they are; all else reads probabilities.
            evidence.answers = type.name == LogitProbing.name ? index.answers(at: allowed[place]) : answers(place)
        }
        if type.takesPass {
            passes += 1
            let run = try box(place).run(query.inputs, count: query.count)
            let logits = Matrix(
                run.logits.map(Double.init), rows: query.count, columns: run.logits.count / query.count)
            evidence.probabilities = ProbeAnswers(kind: .logits, scores: logits).probabilities
            if !run.features.isEmpty {
                evidence.features = Matrix(
                    run.features.map(Double.init), rows: query.count, columns: run.features.count / query.count)
            }
        }
        return try ranker.score(evidence)
    }

    /// A model's class probabilities on the probes, worked out when they are first needed.
    private func answers(_ place: Int) -> ProbeAnswers {
        if let known = probabilities.withLock({ $0[place] }) { return known }
        let made = ProbeAnswers(kind: .probabilities, scores: index.answers(at: allowed[place]).probabilities)
        // Several queries come back to them, over a gallery of some size; of a very large one each would fill the memory.
        if allowed.count <= Self.keptAnswers { probabilities.withLock { $0[place] = made } }
        return made
    }

    /// The network of a model, opened once.
    func box(_ place: Int) throws -> NetworkBox {
        if let known = boxes.withLock({ $0[place] }) { return known }
        let opened = try open(index.models[allowed[place]])
        boxes.withLock { $0[place] = opened }
        return opened
    }

    /// The model's class for each class of the query, and the mass on it, from answers on the nearest probes.
    func matching(_ place: Int, _ query: Query) -> (score: Double, classes: [Int?]) {
        let predicted = query.probed.predicted(answers(place).scores)
        return FewShotMatching.matching(
            predicted, query.labels, classCount: Evidence(labels: query.labels).classCount)
    }
}
