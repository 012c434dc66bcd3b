import ZooBase

/// What a black box gives for an input.
public enum ScoreKind: String, Sendable, Hashable, CaseIterable {
    /// Scores before the softmax.
    case logits
    /// Class probabilities.
    case probabilities
    /// The class alone.
    case labels
}

/// A model's scores on the ordered probe pool, taken once when it was captured.
public struct ProbeAnswers: Sendable, Hashable {
    /// What the numbers are.
    public let kind: ScoreKind
    /// `[probes, classes]`; one-hot rows for labels.
    public let scores: Matrix

    /// Wraps scores.
    public init(kind: ScoreKind, scores: Matrix) {
        self.kind = kind
        self.scores = scores
    }

    /// Class probabilities `[probes, classes]`.
    public var probabilities: Matrix {
        kind == .logits
            ? Matrix(Softmax.rows(scores.values, columns: scores.columns), rows: scores.rows, columns: scores.columns)
            : scores
    }
}

/// A query beside the probe pool: its samples and the probes in the space of the frozen feature map φ. Made once per
/// query and used for every model.
public struct ProbedQuery: Sendable {
    /// φ of the query's samples `[N, d]`.
    public let features: Matrix
    /// The nearest probes of each sample, with weights that add up to one.
    public let neighbours: [[(probe: Int, weight: Double)]]
    /// For each class of the query its cosine with every probe `[C, probes]`.
    public let similarity: Matrix
    /// The mean of φ of each class `[C, d]`.
    public let classMeans: Matrix

    /// Neighbours that are averaged.
    public static let defaultNeighbourCount = 20

    /// Finds neighbours and similarities.
    ///
    /// Weights are exp(3 (d_k − d_i) / (d_k − d_1)), normalised, over squared distances d_1 … d_k: scale-free, the
    /// farthest of the k weighs e⁻³ of the nearest.
    ///
    /// - Parameters:
    ///   - labels: the class of each sample, from zero without gaps.
    ///   - probes: φ of the pool `[P, d]`.
    /// - Throws: `mismatch` for another φ.
    public init(
        features: Matrix, labels: [Int], classCount: Int, probes: Matrix, neighbourCount: Int = defaultNeighbourCount
    ) throws {
        guard features.columns == probes.columns, probes.rows > 0, features.rows == labels.count else {
            throw ZooError(
                .mismatch, "the query has \(features.columns) features, the probe pool \(probes.columns)",
                hint: "features are made by the index's own map")
        }
        self.features = features
        let products = try features.times(probes, transposed: true)
        let probeNorms = (0..<probes.rows).map { probes.row($0).reduce(0) { $0 + $1 * $1 } }
        let k = min(max(1, neighbourCount), probes.rows)
        neighbours = (0..<features.rows).map { row in
            let distances = (0..<probes.rows).map { probeNorms[$0] - 2 * products[row, $0] }
            return Self.weighted(Self.smallest(distances, k), distances)
        }
        (classMeans, _) = features.classMeans(labels, classCount: classCount)
        var similarity = try classMeans.times(probes, transposed: true)
        for c in 0..<classCount {
            let norm = classMeans.row(c).reduce(0) { $0 + $1 * $1 }
            for probe in 0..<probes.rows {
                similarity[c, probe] /= max((norm * probeNorms[probe]).squareRoot(), 1e-12)
            }
        }
        self.similarity = similarity
    }

    /// The places of the k smallest numbers, ascending; of equal ones the lower place first.
    private static func smallest(_ values: [Double], _ k: Int) -> [Int] {
        values.indices.sorted { (values[$0], $0) < (values[$1], $1) }.prefix(k).map { $0 }
    }

    private static func weighted(_ places: [Int], _ distances: [Double]) -> [(probe: Int, weight: Double)] {
        let near = distances[places[0]], far = distances[places[places.count - 1]]
        let weights = places.map { Elementary.exp(3 * (near - distances[$0]) / (far - near + 1e-9)) }
        let total = weights.reduce(0, +)
        return zip(places, weights).map { ($0, $1 / total) }
    }

    /// What a model would answer on the query's samples, by local regression of its answers on the probes `[N, Z]`.
    public func predicted(_ answers: Matrix) -> Matrix {
        var result = Matrix(rows: features.rows, columns: answers.columns)
        for (row, near) in neighbours.enumerated() {
            for (probe, weight) in near {
                for z in 0..<answers.columns { result[row, z] += weight * answers[probe, z] }
            }
        }
        return result
    }
}

extension Evidence {
    /// The query beside the pool and the model's answers on it.
    ///
    /// - Throws: `notFound` when the index keeps none.
    func requireAnswers(_ ranker: String) throws -> (query: ProbedQuery, answers: ProbeAnswers) {
        guard let query, let answers else {
            throw ZooError(.notFound, "\(ranker) reads a model's answers on the probe pool; this model has none")
        }
        return (query, answers)
    }
}
