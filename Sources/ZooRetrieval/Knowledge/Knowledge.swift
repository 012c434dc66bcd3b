import ZooBase
import ZooTensor

/// What was learned of a black box by asking it: class nodes and points on class boundaries, as features.
public struct Knowledge: Sendable, Hashable {
    /// Draws T.
    public var draws: Int
    /// Classes C.
    public var classes: Int
    /// Boundary points per class W: all other classes, or the most similar six when there are more than twelve.
    public var width: Int
    /// Numbers per feature vector d.
    public var dimension: Int
    /// The other class of each boundary point `[C, W]`.
    public var partners: [Int]
    /// φ of the nodes `[T, C, d]`.
    public var nodes: [Float]
    /// φ of the boundary points `[T, C, W, d]`.
    public var boundaries: [Float]
    /// Where on the way from node to node the class changes, 0 to 1 `[T, C, W]`.
    public var distances: [Float]
    /// Classes that no probe belongs to: masked.
    public var isEmpty: [Bool]
    /// The least, over classes that are not empty, of the largest probability that a probe has.
    public var coverage: Double
    /// Inputs that the box was asked about.
    public var queryCount: Int
    /// Class probabilities on fixed noise, for the encoder `tans`; empty otherwise.
    public var noise: [Float] = []

    /// Classes that count.
    package var liveClasses: [Int] { (0..<classes).filter { !isEmpty[$0] } }

    /// Below this coverage nodes may mean little: the pool misses the model's classes.
    public static let lowCoverage = 0.5

    /// The node of a class in a draw.
    func node(_ t: Int, _ c: Int) -> ArraySlice<Float> {
        let start = (t * classes + c) * dimension
        return nodes[start..<start + dimension]
    }

    /// A boundary point.
    func boundary(_ t: Int, _ c: Int, _ w: Int) -> ArraySlice<Float> {
        let start = ((t * classes + c) * width + w) * dimension
        return boundaries[start..<start + dimension]
    }

    /// What tells one capture from another.
    public var digest: String {
        var hash = Fingerprint()
        hash.add(nodes)
        hash.add(boundaries)
        hash.add(distances)
        return hash.text
    }
}

/// How models are asked.
public struct CaptureSettings: Sendable, Hashable {
    /// Draws of nodes.
    public var draws = 6
    /// Halvings of each segment.
    public var iterations = 10
    /// Probes per class that nodes are drawn from.
    public var candidates = 10
    /// Other classes per class, when there are more than `manyClasses`.
    public var partners = 6
    /// From more classes than this on, only the most similar are paired.
    public var manyClasses = 12
    /// Mixes per probe by which stability is told, for boxes that give labels only.
    public var mixes = 24
    /// Probes per class whose stability is told.
    public var stableProbes = 120
    /// Inputs of noise that the box is asked about, for the encoder `tans`.
    public var noiseCount = 0
    /// The seed.
    public var seed: UInt64 = 0

    /// The defaults.
    public init() {}
}

/// Asks a black box once: scores on the pool, nodes, and boundary points by bisection.
public struct Capture: Sendable {
    /// The pool.
    public let pool: ProbePool
    /// The feature map.
    public let map: FeatureMap
    /// How.
    public let settings: CaptureSettings

    /// Prepares captures.
    ///
    /// - Throws: `mismatch` when pool and map have inputs of different shapes.
    public init(pool: ProbePool, map: FeatureMap, settings: CaptureSettings = CaptureSettings()) throws {
        guard pool.inputShape == map.inputShape else {
            throw ZooError(.mismatch, "probes of shape \(pool.inputShape), a feature map of \(map.inputShape)")
        }
        self.pool = pool
        self.map = map
        self.settings = settings
    }

    /// What a capture finds.
    public struct Result: Sendable {
        /// Nodes and boundaries.
        public var knowledge: Knowledge
        /// Scores on the pool.
        public var answers: ProbeAnswers
    }

    /// Asks a box.
    ///
    /// - Throws: `mismatch` for inputs of another shape, fewer than two classes or classes without probes; what the box
    ///   throws, named.
    public func ask(_ box: any BlackBox) throws -> Result {
        guard box.inputShape == pool.inputShape else {
            throw ZooError(
                .mismatch, "\(box.name): reads inputs of shape \(box.inputShape), the index has \(pool.inputShape)",
                hint: "make an index of its own for models of another input")
        }
        guard box.classCount >= 2 else {
            throw ZooError(.mismatch, "\(box.name): \(box.classCount) class; retrieval is of classifiers")
        }
        let checked = CheckedBox(box)
        let scores = try checked.scores(pool.inputs, count: pool.count)
        var work = CaptureWork(self, checked, scores)
        return try ZooError.locate(box.name) { try work.run() }
    }
}

/// One capture under way.
private struct CaptureWork {
    private let capture: Capture
    private let box: CheckedBox
    private let scores: Matrix
    private let probabilities: Matrix
    private let labels: [Int]
    private var generator: SeededGenerator
    private var candidates: [[Int]] = []
    private var isEmpty: [Bool] = []

    private var settings: CaptureSettings { capture.settings }
    private var classes: Int { scores.columns }

    init(_ capture: Capture, _ box: CheckedBox, _ scores: Matrix) {
        self.capture = capture
        self.box = box
        self.scores = scores
        labels = argmaxRows(scores)
        probabilities = ProbeAnswers(kind: box.box.kind, scores: scores).probabilities
        generator = SeededGenerator(seed: capture.settings.seed)
    }

    mutating func run() throws -> Capture.Result {
        try chooseCandidates()
        let live = (0..<classes).filter { !isEmpty[$0] }
        guard live.count >= 2 else {
            throw ZooError(
                .mismatch, "answers one class on all \(capture.pool.count) probes",
                hint: "take probes that cover the model's classes")
        }
        let partners = choosePartners(live)
        let width = partners[live[0]].count, size = capture.pool.size
        var nodes: [Float] = [], points: [Float] = [], distances: [Float] = []
        for _ in 0..<settings.draws {
            let drawn = (0..<classes).map { isEmpty[$0] ? nil : candidates[$0][generator.below(candidates[$0].count)] }
            let found = try bisect(drawn, partners, width)
            for place in drawn {
                nodes += place.map { Array(capture.pool.probe($0)) } ?? [Float](repeating: 0, count: size)
            }
            points += found.points
            distances += found.distances
        }
        let d = capture.map.dimension
        let noise = try noiseAnswers()
        var knowledge = Knowledge(
            draws: settings.draws, classes: classes, width: width, dimension: d,
            partners: partners.flatMap { $0.isEmpty ? [Int](repeating: 0, count: width) : $0 },
            nodes: try features(nodes, settings.draws * classes),
            boundaries: try features(points, settings.draws * classes * width), distances: distances, isEmpty: isEmpty,
            coverage: 0, queryCount: box.queryCount, noise: noise)
        knowledge.coverage =
            live.map { c in (0..<probabilities.rows).map { probabilities[$0, c] }.max() ?? 0 }.min() ?? 0
        return .init(knowledge: knowledge, answers: ProbeAnswers(kind: box.box.kind, scores: scores))
    }

    /// Class probabilities on inputs drawn uniformly from the range of the probes; the same for every model of an index.
    private func noiseAnswers() throws -> [Float] {
        guard settings.noiseCount > 0 else { return [] }
        var noise = SeededGenerator(seed: settings.seed ^ 0x7A6E_7353)
        let low = capture.pool.inputs.min() ?? 0, high = capture.pool.inputs.max() ?? 1
        let inputs = (0..<settings.noiseCount * capture.pool.size).map { _ in
            low + (high - low) * Float(noise.next() >> 40) * 0x1p-24
        }
        let scores = try box.scores(inputs, count: settings.noiseCount)
        return ProbeAnswers(kind: box.box.kind, scores: scores).probabilities.values.map(Float.init)
    }

    private func features(_ inputs: [Float], _ count: Int) throws -> [Float] {
        try capture.map.apply(inputs, count: count).values.map(Float.init)
    }

    // MARK: Nodes

    private mutating func chooseCandidates() throws {
        for c in 0..<classes {
            let members = labels.indices.filter { labels[$0] == c }
            if box.box.kind == .labels {
                candidates.append(try stable(members, c))
                isEmpty.append(members.isEmpty)
            } else {
                let pool = members.isEmpty ? Array(labels.indices) : members
                let best = pool.sorted { (-probabilities[$0, c], $0) < (-probabilities[$1, c], $1) }
                candidates.append(Array(best.prefix(members.isEmpty ? 1 : settings.candidates)))
                // A class that no probe comes near (under half of chance) is dead: its nodes would be noise.
                isEmpty.append(members.isEmpty && probabilities[best[0], c] < 0.5 / Double(classes))
            }
        }
    }

    /// Members whose label survives mixing with random probes: confidence, for boxes that give labels only.
    private mutating func stable(_ members: [Int], _ c: Int) throws -> [Int] {
        guard !members.isEmpty else { return [] }
        var order = members
        generator.shuffle(&order)
        let chosen = Array(order.prefix(settings.stableProbes))
        var mixes: [Float] = []
        for probe in chosen {
            for _ in 0..<settings.mixes {
                let other = generator.below(capture.pool.count)
                mixes += zip(capture.pool.probe(probe), capture.pool.probe(other)).map { 0.6 * $0 + 0.4 * $1 }
            }
        }
        let kept = argmaxRows(try box.scores(mixes, count: chosen.count * settings.mixes))
        let stability = chosen.indices.map { place in
            kept[place * settings.mixes..<(place + 1) * settings.mixes].count { $0 == c }
        }
        let best = chosen.indices.sorted { (-stability[$0], chosen[$0]) < (-stability[$1], chosen[$1]) }
        return best.prefix(settings.candidates).map { chosen[$0] }
    }

    // MARK: Boundaries

    /// The other classes of each class, equally many for all that are not empty.
    private func choosePartners(_ live: [Int]) -> [[Int]] {
        (0..<classes).map { c in
            guard !isEmpty[c] else { return [] }
            let others = live.filter { $0 != c }
            guard others.count >= settings.manyClasses else { return others }
            let mean = others.map { other in
                candidates[c].reduce(0) { $0 + probabilities[$1, other] } / Double(candidates[c].count)
            }
            let best = others.indices.sorted { (-mean[$0], others[$0]) < (-mean[$1], others[$1]) }
            return best.prefix(settings.partners).map { others[$0] }.sorted()
        }
    }

    /// Halves the segments from each node to its partners' nodes, all of one step together.
    ///
    /// The label is the node's class at `low` and another at `high`; where the partner's node is of the class itself
    /// there is no boundary and the partner's node stands for it.
    private func bisect(
        _ drawn: [Int?], _ partners: [[Int]], _ width: Int
    ) throws -> (points: [Float], distances: [Float]) {
        let pool = capture.pool, size = pool.size
        var pairs: [(from: Int, to: Int, c: Int, slot: Int)] = []
        var distances = [Float](repeating: 1, count: classes * width)
        for c in 0..<classes {
            for (w, partner) in partners[c].enumerated() {
                guard let from = drawn[c], let to = drawn[partner] else { continue }
                if labels[from] != c {
                    distances[c * width + w] = 0
                } else if labels[to] != c {
                    pairs.append((from, to, c, c * width + w))
                }
            }
        }
        var low = [Float](repeating: 0, count: pairs.count), high = [Float](repeating: 1, count: pairs.count)
        func mixed(_ from: Int, _ to: Int, _ a: Float) -> [Float] {
            zip(pool.probe(from), pool.probe(to)).map { $0 + a * ($1 - $0) }
        }
        for _ in 0..<(pairs.isEmpty ? 0 : settings.iterations) {
            try Cancellation.check()
            let middle = zip(low, high).map { ($0 + $1) / 2 }
            let inputs = pairs.indices.flatMap { mixed(pairs[$0].from, pairs[$0].to, middle[$0]) }
            let found = argmaxRows(try box.scores(inputs, count: pairs.count))
            for place in pairs.indices {
                if found[place] == pairs[place].c { low[place] = middle[place] } else { high[place] = middle[place] }
            }
        }
        for place in pairs.indices { distances[pairs[place].slot] = (low[place] + high[place]) / 2 }
        var points: [Float] = []
        points.reserveCapacity(classes * width * size)
        for c in 0..<classes {
            for w in 0..<width {
                guard !partners[c].isEmpty, let from = drawn[c], let to = drawn[partners[c][w]] else {
                    points += [Float](repeating: 0, count: size)
                    continue
                }
                points += mixed(from, to, distances[c * width + w])
            }
        }
        return (points, distances)
    }
}
