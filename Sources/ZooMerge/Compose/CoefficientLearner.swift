import ZooBase

/// How coefficients are learned; the defaults are those of task addition (arXiv 2407.02880, appendix).
public struct CoefficientOptions: Sendable, Hashable {
    /// What makes a step of a gradient.
    public enum Optimiser: String, Sendable, CaseIterable {
        /// Adam with decoupled decay.
        case adamw
        /// Plain gradient descent.
        case sgd
    }

    /// What makes a step of a gradient.
    public var optimiser = Optimiser.adamw
    /// The rate.
    public var rate = 1e-3
    /// How it runs over the steps.
    public var schedule = StepRule.Schedule.constant
    /// Decoupled weight decay.
    public var weightDecay = 0.1
    /// The largest norm of a gradient; nil for no limit.
    public var clip: Double? = 1
    /// Off by default.
    public var regulariser = CoefficientRegulariser(weight: 0, order: 1)
    /// Rounds: an evaluation after each.
    public var rounds = 20
    /// Steps of a round.
    public var stepsPerRound = 1

    /// The defaults.
    public init() {}

    /// Steps in all.
    public var stepCount: Int { rounds * stepsPerRound }
}

/// What an evaluation says of coefficients.
public struct RoundScore: Sendable, Hashable {
    /// More is better.
    public var score: Double
    /// Whether these coefficients may be kept at all.
    public var isEligible = true
    /// Whether learning ends here.
    public var stops = false
    /// Figures for the log, in order.
    public var metrics: [String: Double] = [:]

    /// A score.
    public init(score: Double, isEligible: Bool = true, stops: Bool = false, metrics: [String: Double] = [:]) {
        self.score = score
        self.isEligible = isEligible
        self.stops = stops
        self.metrics = metrics
    }
}

/// One round in the log.
public struct CoefficientRound: Sendable, Hashable {
    /// From 0, the untouched base.
    public var round: Int
    /// Mean loss of the round's steps; nil before the first.
    public var loss: Double?
    /// The means of its parts: tasks, target and control.
    public var parts: [Double]
    /// The evaluation's score.
    public var score: Double
    /// Its figures.
    public var metrics: [String: Double]
    /// ‖C‖.
    public var norm: Double
    /// Whether it was kept.
    public var isKept: Bool

    /// A line of the log.
    public init(
        round: Int, loss: Double?, parts: [Double], score: Double, metrics: [String: Double], norm: Double, isKept: Bool
    ) {
        self.round = round
        self.loss = loss
        self.parts = parts
        self.score = score
        self.metrics = metrics
        self.norm = norm
        self.isKept = isKept
    }
}

/// Everything that learning goes on from.
public struct CoefficientState: Sendable, Hashable {
    /// The coefficients now.
    public var values: [Double]
    /// What the optimiser remembers.
    public var memory = AdamW.Memory()
    /// Rounds done.
    public var round = 0
    /// The best coefficients so far: zeros at the start.
    public var best: [Double]
    /// Their score; nil before the base was evaluated.
    public var bestScore: Double?
    /// Whether a rule has ended it.
    public var isStopped = false
    /// The log.
    public var history: [CoefficientRound] = []

    /// Zeros: the base.
    public init(count: Int) {
        values = [Double](repeating: 0, count: count)
        best = values
    }
}

/// Gradient descent on coefficients with selection by evaluation: the base is the incumbent, and only strictly better
/// coefficients replace it (method page, 6.6 and 6.7).
public struct CoefficientLearner: Sendable {
    /// A step's loss, the parts it is the sum of, and the gradient.
    public struct Step: Sendable {
        /// The loss.
        public var loss: Double
        /// The parts.
        public var parts: [Double]
        /// By coefficients.
        public var gradient: [Double]

        /// Wraps numbers.
        public init(loss: Double, parts: [Double] = [], gradient: [Double]) {
            self.loss = loss
            self.parts = parts
            self.gradient = gradient
        }
    }

    private let options: CoefficientOptions
    private let vectors: Int
    /// Where learning is.
    public private(set) var state: CoefficientState

    /// Begins, or goes on from a state.
    public init(count: Int, vectors: Int, options: CoefficientOptions, from state: CoefficientState? = nil) {
        self.options = options
        self.vectors = vectors
        self.state = state ?? CoefficientState(count: count)
    }

    /// One step: regularise, clip, descend.
    public mutating func step(_ found: Step, number: Int) throws {
        var gradient = found.gradient
        guard found.loss.isFinite, gradient.allSatisfy(\.isFinite) else {
            throw ZooError(
                .numeric, "the loss of step \(number + 1) is not finite",
                hint: "lower --rate, or check the data and the task vectors")
        }
        options.regulariser.addGradient(state.values, vectors: vectors, to: &gradient)
        if let clip = options.clip { StepRule.clip(&gradient, to: clip) }
        let rate = StepRule.rate(options.rate, options.schedule, step: number, of: options.stepCount)
        switch options.optimiser {
        case .sgd:
            for place in gradient.indices {
                state.values[place] -= rate * (gradient[place] + options.weightDecay * state.values[place])
            }
        case .adamw:
            var optimiser = AdamW(rate: rate, weightDecay: options.weightDecay)
            optimiser.memory = state.memory
            optimiser.step(&state.values, gradient: gradient)
            state.memory = optimiser.memory
        }
    }

    /// All rounds that are left.
    ///
    /// - Parameters:
    ///   - gradient: loss and gradient of a step, by its number from 0, at coefficients.
    ///   - evaluate: a score of coefficients; called for the base first. Nil keeps the last coefficients.
    ///   - save: called after every round with the state to go on from.
    /// - Throws: `numeric` when a loss is not finite; `interrupted`; what the closures throw.
    public mutating func run(
        gradient: (Int, [Double]) throws -> Step, evaluate: ((Int, [Double]) throws -> RoundScore)?,
        save: (CoefficientState) throws -> Void = { _ in }
    ) throws {
        if state.bestScore == nil, let evaluate {
            let base = try evaluate(0, state.values)
            state.bestScore = base.score
            state.history.append(
                CoefficientRound(
                    round: 0, loss: nil, parts: [], score: base.score, metrics: base.metrics, norm: 0, isKept: true))
            try save(state)
        }
        while state.round < options.rounds, !state.isStopped {
            var total = 0.0, parts: [Double] = []
            for number in state.round * options.stepsPerRound..<(state.round + 1) * options.stepsPerRound {
                try Cancellation.check()
                let found = try gradient(number, state.values)
                try step(found, number: number)
                total += found.loss
                parts = parts.isEmpty ? found.parts : zip(parts, found.parts).map { $0 + $1 }
            }
            try finishRound(total, parts, evaluate)
            try save(state)
        }
        if evaluate == nil { state.best = state.values }
    }

    private mutating func finishRound(
        _ total: Double, _ parts: [Double], _ evaluate: ((Int, [Double]) throws -> RoundScore)?
    ) throws {
        state.round += 1
        let steps = Double(options.stepsPerRound)
        var row = CoefficientRound(
            round: state.round, loss: total / steps, parts: parts.map { $0 / steps }, score: 0, metrics: [:],
            norm: state.values.reduce(0) { $0 + $1 * $1 }.squareRoot(), isKept: evaluate == nil)
        if let found = try evaluate?(state.round, state.values) {
            row.score = found.score
            row.metrics = found.metrics
            if found.isEligible, found.score > state.bestScore ?? -.infinity {
                state.best = state.values
                state.bestScore = found.score
                row.isKept = true
            }
            state.isStopped = found.stops
        }
        state.history.append(row)
    }
}
