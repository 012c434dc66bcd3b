/// What was measured in one cell of a grid, network by network and pair by pair.
///
/// A phase belongs to the cell; the single values are kept for error bars and for resampling (`PhaseConfidence`).
public struct MeasuredCell: Sendable, Hashable {
    /// One network.
    public struct Network: Sendable, Hashable {
        /// Training loss.
        public var trainLoss: Double?
        /// Trace of the Hessian, or its largest eigenvalue.
        public var sharpness: Double?

        /// Creates a network's values.
        public init(trainLoss: Double? = nil, sharpness: Double? = nil) {
            self.trainLoss = trainLoss
            self.sharpness = sharpness
        }
    }

    /// One pair of networks.
    public struct Pair: Sendable, Hashable {
        /// Places of the two in `networks`.
        public var first: Int
        /// The second.
        public var second: Int
        /// Mode connectivity in points of training error.
        public var connectivity: Double?
        /// CKA.
        public var similarity: Double?

        /// Creates a pair's values.
        public init(_ first: Int, _ second: Int, connectivity: Double? = nil, similarity: Double? = nil) {
            self.first = first
            self.second = second
            self.connectivity = connectivity
            self.similarity = similarity
        }
    }

    /// The networks.
    public var networks: [Network]
    /// Their pairs.
    public var pairs: [Pair]

    /// Creates a cell.
    public init(networks: [Network] = [], pairs: [Pair] = []) {
        self.networks = networks
        self.pairs = pairs
    }

    /// Means over all networks and all pairs; values that are missing or not finite are left out.
    public var mean: PhaseCell { mean(weights: networks.map { _ in 1 }) }

    /// Means in which each network counts as often as it was drawn, and each pair as often as both were.
    func mean(weights: [Int]) -> PhaseCell {
        func average<T>(_ items: [T], _ weight: (Int, T) -> Int, _ value: (T) -> Double?) -> Double? {
            var sum = 0.0, count = 0
            for (place, item) in items.enumerated() {
                guard let found = value(item), found.isFinite else { continue }
                let times = weight(place, item)
                sum += Double(times) * found
                count += times
            }
            return count > 0 ? sum / Double(count) : nil
        }
        let single: (Int, Network) -> Int = { place, _ in weights[place] }
        let double: (Int, Pair) -> Int = { weights[$1.first] * weights[$1.second] }
        return PhaseCell(
            trainLoss: average(networks, single, \.trainLoss), sharpness: average(networks, single, \.sharpness),
            connectivity: average(pairs, double, \.connectivity), similarity: average(pairs, double, \.similarity))
    }
}

/// How sure the phases of a grid are: the share of resamples over the networks of every cell in which a cell keeps its
/// phase, thresholds found anew each time (bootstrap, B. Efron, 1979).
public struct PhaseConfidence: Sendable {
    /// Per cell, row by row; nil for cells of unknown phase.
    public let shares: [Double?]

    /// Resamples the networks of each cell, with replacement; draws of one and the same network, which has no pairs,
    /// are drawn again.
    ///
    /// - Parameters:
    ///   - grid: rows of cells, all of one length.
    ///   - rules: how phases are told apart.
    ///   - resamples: how often.
    ///   - seed: of the draws; they depend on it and on the cell's place alone.
    public init(_ grid: [[MeasuredCell]], rules: PhaseRules = PhaseRules(), resamples: Int = 200, seed: UInt64 = 0) {
        let labels = PhaseDiagram(grid.map { $0.map(\.mean) }, rules: rules).phases
        var kept = labels.map { _ in 0 }
        for round in 0..<resamples {
            var place = -1
            let drawn = grid.map { row in
                row.map { cell -> PhaseCell in
                    place += 1
                    var stream = RandomStream(seed: seed, "phases", String(round), String(place))
                    return cell.mean(weights: Self.draw(cell, &stream))
                }
            }
            for (place, label) in PhaseDiagram(drawn, rules: rules).phases.enumerated() where label == labels[place] {
                kept[place] += 1
            }
        }
        shares = zip(labels, kept).map { label, count in
            label == .unknown || resamples < 1 ? nil : Double(count) / Double(resamples)
        }
    }

    /// How often each network of a cell is drawn.
    private static func draw(_ cell: MeasuredCell, _ stream: inout RandomStream) -> [Int] {
        let count = cell.networks.count
        guard count > 1 else { return cell.networks.map { _ in 1 } }
        while true {
            var weights = [Int](repeating: 0, count: count)
            for _ in 0..<count { weights[Int.random(in: 0..<count, using: &stream)] += 1 }
            if weights.contains(where: { $0 > 0 && $0 < count }) { return weights }
        }
    }
}
