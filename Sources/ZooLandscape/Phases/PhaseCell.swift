/// What the phase of a grid cell is decided from: means over the networks trained with one load and one temperature
/// (arXiv 2107.11228, table 1; arXiv 2504.18072, section 3).
public struct PhaseCell: Sendable, Hashable {
    /// Mean training loss, natural-logarithm cross-entropy.
    public var trainLoss: Double?
    /// Mean trace of the Hessian of the training loss, or the largest eigenvalue where that is what was measured.
    public var sharpness: Double?
    /// Mean mode connectivity mc in points of training error; negative: a barrier.
    public var connectivity: Double?
    /// Mean CKA between the networks of the cell.
    public var similarity: Double?

    /// Creates a cell.
    public init(
        trainLoss: Double? = nil, sharpness: Double? = nil, connectivity: Double? = nil, similarity: Double? = nil
    ) {
        self.trainLoss = trainLoss
        self.sharpness = sharpness
        self.connectivity = connectivity
        self.similarity = similarity
    }
}

/// The phases of the loss landscape (arXiv 2107.11228, figure 1).
public enum Phase: String, Sendable, Hashable, CaseIterable {
    /// High loss, sharp, barriers: underfitted and too small.
    case one = "I"
    /// High loss, sharp, connected: underfitted because training was too hot.
    case two = "II"
    /// Low loss, flat, barriers: too small for its solutions to be connected.
    case three = "III"
    /// Low loss, flat, connected; how similar the solutions are is not known.
    case four = "IV"
    /// Low loss, flat, connected, but the networks compute different functions.
    case fourA = "IV-A"
    /// Low loss, flat, connected and similar: where accuracy is best.
    case fourB = "IV-B"
    /// A measurement that the decision needs is missing.
    case unknown = "unknown"
}

/// What is noteworthy about a cell's phase.
public enum PhaseFlag: String, Sendable, Hashable, CaseIterable, Comparable {
    /// Close to a border: another few seeds could move it.
    case boundary
    /// The training loss is close to that of guessing: the networks output a constant.
    case collapsed
    /// Sharpness and training loss alone put it on different sides.
    case mixed
    /// The mean curvature is not positive.
    case negativeCurvature = "negative-curvature"
    /// The training loss is above half of that of guessing, so the cell is sharp by definition.
    case underfitted

    /// By name.
    public static func < (a: PhaseFlag, b: PhaseFlag) -> Bool { a.rawValue < b.rawValue }
}
