import ZooBase

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
        try refuseNonsense(checked, scores)
        var work = CaptureWork(self, checked, scores)
        return try work.run()
    }

    /// Probes that boxes outside this process are asked about twice.
    private static let repeats = 32

    /// - Throws: `mismatch` when a box answers alike whatever it is asked, or differently when it is asked again.
    private func refuseNonsense(_ box: CheckedBox, _ scores: Matrix) throws {
        let first = scores.row(0)
        guard (1..<scores.rows).contains(where: { !scores.row($0).elementsEqual(first) }) else {
            throw ZooError(
                .mismatch, "\(box.box.name): answers the same on all \(pool.count) probes",
                hint: "see that it reads the inputs; else take probes that cover its classes")
        }
        guard !box.box.isRepeatable else { return }
        let count = min(Self.repeats, pool.count)
        let again = argmaxRows(try box.scores(Array(pool.inputs.prefix(count * pool.size)), count: count))
        let differing = zip(argmaxRows(scores), again).count { $0 != $1 }
        // A tie may fall either way; more than a tenth is no tie.
        guard differing * 10 <= count else {
            throw ZooError(
                .mismatch,
                "\(box.box.name): \(differing) of \(count) answers differ when the same inputs are asked again",
                hint: "a model answers alike each time: switch off dropout and sampling")
        }
    }
}
