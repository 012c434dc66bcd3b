import ZooBase

/// One capture under way.
struct CaptureWork {
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
                .mismatch, "\(box.box.name): answers one class on all \(capture.pool.count) probes",
                hint: "take probes that cover the model's classes")
        }
        let partners = choosePartners(live)
        let width = partners[live[0]].count, size = capture.pool.size
        var nodes: [Float] = []
        var drawn: [[Int?]] = []
        for _ in 0..<settings.draws {
            drawn.append(
                (0..<classes).map { isEmpty[$0] ? nil : candidates[$0][generator.below(candidates[$0].count)] })
            for place in drawn[drawn.count - 1] {
                nodes += place.map { Array(capture.pool.probe($0)) } ?? [Float](repeating: 0, count: size)
            }
        }
        let (points, distances) = try bisect(drawn, partners, width)
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

    /// Halves the segments from each node to its partners' nodes, those of all draws together.
    ///
    /// The label is the node's class at `low` and another at `high`; where the partner's node is of the class itself
    /// there is no boundary and the partner's node stands for it.
    private func bisect(
        _ drawn: [[Int?]], _ partners: [[Int]], _ width: Int
    ) throws -> (points: [Float], distances: [Float]) {
        let pool = capture.pool
        var pairs: [(from: Int, to: Int, c: Int, slot: Int)] = []
        var distances = [Float](repeating: 1, count: drawn.count * classes * width)
        for (t, nodes) in drawn.enumerated() {
            for c in 0..<classes {
                for (w, partner) in partners[c].enumerated() {
                    guard let from = nodes[c], let to = nodes[partner] else { continue }
                    let slot = (t * classes + c) * width + w
                    if labels[from] != c {
                        distances[slot] = 0
                    } else if labels[to] != c {
                        pairs.append((from, to, c, slot))
                    }
                }
            }
        }
        var low = [Float](repeating: 0, count: pairs.count), high = [Float](repeating: 1, count: pairs.count)
        for _ in 0..<(pairs.isEmpty ? 0 : settings.iterations) {
            try Cancellation.check()
            let middle = zip(low, high).map { ($0 + $1) / 2 }
            let inputs = pairs.indices.flatMap { pool.mixed(pairs[$0].from, pairs[$0].to, middle[$0]) }
            let found = argmaxRows(try box.scores(inputs, count: pairs.count))
            for place in pairs.indices {
                if found[place] == pairs[place].c { low[place] = middle[place] } else { high[place] = middle[place] }
            }
        }
        for place in pairs.indices { distances[pairs[place].slot] = (low[place] + high[place]) / 2 }
        return (points(drawn, partners, width, distances), distances)
    }

    /// The inputs at the places found; zeros for empty classes.
    private func points(_ drawn: [[Int?]], _ partners: [[Int]], _ width: Int, _ distances: [Float]) -> [Float] {
        let pool = capture.pool
        var points: [Float] = []
        points.reserveCapacity(distances.count * pool.size)
        for (t, nodes) in drawn.enumerated() {
            for c in 0..<classes {
                for w in 0..<width {
                    guard !partners[c].isEmpty, let from = nodes[c], let to = nodes[partners[c][w]] else {
                        points += [Float](repeating: 0, count: pool.size)
                        continue
                    }
                    points += pool.mixed(from, to, distances[(t * classes + c) * width + w])
                }
            }
        }
        return points
    }
}
