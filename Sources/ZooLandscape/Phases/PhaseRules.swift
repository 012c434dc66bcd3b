/// How phases are told apart.
public struct PhaseRules: Sendable, Hashable {
    /// What tells sharp from flat.
    public enum Axis: String, Sendable, Hashable, CaseIterable {
        /// The logarithm of the sharpness, as in the taxonomy.
        case hessian
        /// The logarithm of the training loss.
        case loss
        /// The sum of both, each standardised over the grid.
        case both
    }

    /// What tells sharp from flat.
    public var axis = Axis.both
    /// Connectivity below minus this is a barrier, in points of training error.
    public var connectivityTolerance = 1.0
    /// Least ratio of the training losses of the two sides for a grid to have two sides.
    public var leastLossRatio = 3.0
    /// CKA from which solutions are similar, where the grid does not tell.
    public var fixedSimilarity = 0.65
    /// Classes of the task: a network that guesses has loss ln K.
    public var classCount = 10
    /// Replaces the threshold on the axis that the grid would give.
    public var sideThreshold: Double?
    /// Replaces the threshold on CKA that the grid would give.
    public var similarityThreshold: Double?
    /// Takes 3 × 3 medians of all measurements first.
    public var isSmoothed = false

    /// The defaults.
    public init() {}
}

/// A threshold and where it comes from.
public struct PhaseThreshold: Sendable, Hashable {
    /// Where a threshold comes from.
    public enum Origin: String, Sendable, Hashable {
        /// The grid itself, by Otsu's method.
        case otsu
        /// The rule's constant.
        case fixed
        /// The user.
        case user
    }

    /// The number.
    public var value: Double
    /// Where it comes from.
    public var origin: Origin
    /// How clearly the grid falls in two, for thresholds from the grid.
    public var separability: Double?
}
