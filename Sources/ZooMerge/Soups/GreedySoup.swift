import ZooBase
import ZooTensor

/// The greedy soup (arXiv 2203.05482, recipe 1): checkpoints in the order of their held-out score, each kept when the
/// mean with it scores no worse than the best so far.
///
/// What a score is, is the caller's: accuracy, −loss, anything where more is better.
public struct GreedySoup: Sendable {
    /// The order of checkpoints with equal scores.
    public enum TieOrder: String, Sendable, CaseIterable {
        /// The one listed earlier comes first.
        case first
        /// The one listed later comes first, as in the released code.
        case last
    }

    /// When a candidate is kept.
    public enum Acceptance: String, Sendable, CaseIterable {
        /// Its score is greater than the best so far (the released code).
        case gt
        /// Its score is at least the best so far (the paper).
        case ge
    }

    /// The rules.
    public struct Options: Sendable {
        /// The order among equal scores.
        public var tieOrder = TieOrder.first
        /// When a candidate is kept.
        public var acceptance = Acceptance.gt
        /// Candidates scored at once. Those after the first kept one are scored again with it, so results do not
        /// depend on the number.
        public var lookahead = 1

        /// The defaults.
        public init() {}
    }

    /// One candidate.
    public struct Step: Sendable, Hashable {
        /// The checkpoint's place in the list.
        public var candidate: Int
        /// The held-out score of the soup with it.
        public var score: Double
        /// Whether it stays.
        public var isAccepted: Bool
    }

    /// Checkpoints by their own score, best first; those whose score is NaN come last.
    public let order: [Int]
    /// The best checkpoint, then every other one in order.
    public private(set) var steps: [Step] = []
    /// The checkpoints of the soup, in the order of acceptance.
    public private(set) var ingredients: [Int] = []
    /// The held-out score of the soup.
    public private(set) var score = -Double.infinity

    /// Makes a soup.
    ///
    /// - Parameters:
    ///   - scores: the held-out score of each checkpoint alone; more is better.
    ///   - open: a checkpoint by its place.
    ///   - evaluate: the scores of candidate soups, in order.
    /// - Throws: `numeric` when no checkpoint has a score; what `open` and `evaluate` throw.
    public init(
        scores: [Double], options: Options = Options(), open: (Int) throws -> any TensorSource,
        evaluate: ([StateDict]) throws -> [Double]
    ) throws {
        order = Self.order(scores, ties: options.tieOrder)
        guard let best = order.first, !scores[best].isNaN else {
            throw ZooError(.numeric, "no checkpoint has a held-out score: there is nothing to begin a soup with")
        }
        var mean = RunningMean()
        try mean.add(try open(best))
        keep(best, scores[best])
        var next = 1
        while next < order.count {
            try Cancellation.check()
            let window = order[next..<min(next + max(1, options.lookahead), order.count)]
            let sources = try window.map(open)
            let found = try evaluate(try sources.map { try mean.mean(adding: $0) })
            for (place, candidate) in window.enumerated() {
                next += 1
                let isAccepted = options.acceptance == .gt ? found[place] > score : found[place] >= score
                guard isAccepted else {
                    steps.append(Step(candidate: candidate, score: found[place], isAccepted: false))
                    continue
                }
                try mean.add(sources[place])
                keep(candidate, found[place])
                break
            }
        }
    }

    private mutating func keep(_ candidate: Int, _ found: Double) {
        score = found
        ingredients.append(candidate)
        steps.append(Step(candidate: candidate, score: found, isAccepted: true))
    }

    /// Places by score, best first.
    static func order(_ scores: [Double], ties: TieOrder) -> [Int] {
        scores.indices.sorted { a, b in
            let x = scores[a], y = scores[b]
            if x.isNaN != y.isNaN { return y.isNaN }
            if x != y, !x.isNaN { return x > y }
            return ties == .first ? a < b : a > b
        }
    }
}
