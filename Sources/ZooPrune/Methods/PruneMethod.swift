import ZooBase

/// A way of saying how much a weight is worth. To add one: a file in this folder and a line in `PruneMethods.all`.
public protocol PruneMethod: Sendable {
    /// The name on the command line.
    static var name: String { get }
    /// What it is, in a few words.
    static var summary: String { get }
    /// The group used when none is asked for.
    static var defaultGroup: PruneGroup { get }
    /// A method with its constants.
    init(_ settings: PruneSettings)
    /// A score per weight of a matrix, as the tensor lies; the lowest go first.
    ///
    /// - Throws: `notFound` for a statistic that was not kept.
    func scores(of matrix: CandidateMatrix, _ statistics: PruneStatistics) throws -> [Double]
    /// What is worth telling of the scores of all matrices: the ratio of terms, for a start.
    func report(_ statistics: PruneStatistics) throws -> JSONObject
}

extension PruneMethod {
    /// All matrices compete.
    public static var defaultGroup: PruneGroup { .global }
    /// Nothing.
    public func report(_ statistics: PruneStatistics) throws -> JSONObject { JSONObject() }
}

/// A method that goes through the network layer by layer, each time with the inputs that the layers pruned before it
/// leave.
public protocol LayerwiseMethod: PruneMethod {
    /// Whether it needs products of inputs (`LayerInputs.gram`), not only their squares.
    static var needsGram: Bool { get }
    /// Whether it needs `LayerInputs.anchors`: what the layer should give for the network to be as before.
    static var needsAnchors: Bool { get }
    /// Prunes a layer: sets weights to zero, may change others, and marks what is gone.
    ///
    /// - Throws: `numeric` when a decomposition fails.
    func prune(_ layer: inout LayerProblem) throws
}

extension LayerwiseMethod {
    /// Inputs alone.
    public static var needsAnchors: Bool { false }
}

/// The constants of all methods, as options name them.
public struct PruneSettings: Sendable, Hashable {
    /// Share of weights to prune.
    public var sparsity = 0.5
    /// Where weights compete; nil for the method's own.
    public var group: PruneGroup?
    /// Weight of the agreement of gradients.
    public var alpha = 0.2
    /// Weight of general importance, which is subtracted.
    public var beta: Double?
    /// Weight of the square root of magnitude.
    public var gamma = 0.5
    /// What agreement is taken of.
    public var agreement = Agreement.Granularity.tensor
    /// The side that one-sided methods read; nil for their own default, where both means the sum.
    public var side: Side?
    /// Damping of SparseGPT: this share of the mean of the diagonal is added to it.
    public var damping = 0.01
    /// Columns that SparseGPT decides together.
    public var block = 128
    /// Seed of random scores.
    public var seed: UInt64 = 0

    /// Which calibration data are read.
    public enum Side: String, Sendable, Hashable, CaseIterable {
        /// The domain's.
        case domain
        /// The general ones.
        case general
        /// Their sum.
        case both

        /// The sides.
        public var sides: [CalibrationSide] {
            switch self {
            case .domain: [.domain]
            case .general: [.general]
            case .both: [.domain, .general]
            }
        }
    }

    /// The defaults.
    public init() {}
}

/// All methods.
public enum PruneMethods {
    /// In the order in which help lists them.
    public static let all: [any PruneMethod.Type] = [
        ScaledImportance.self,
        FaithfulImportance.self,
        CodeImportance.self,
        Magnitude.self,
        Wanda.self,
        SparseGPT.self,
        Anchored.self,
        SecondOrder.self,
        FirstOrder.self,
        Fisher.self,
        RandomScores.self,
    ]

    /// A method by name.
    ///
    /// - Throws: `usage` with the nearest name.
    public static func named(_ name: String) throws -> any PruneMethod.Type {
        if let method = all.first(where: { $0.name == name }) { return method }
        throw ZooError(
            .usage, "there is no pruning method '\(name)'",
            hint: NearestName.hint(name, in: all.map { $0.name }, kind: "methods"))
    }
}

/// What methods read of a network and its calibration.
public final class PruneStatistics {
    /// The candidate matrices.
    public let matrices: [CandidateMatrix]
    private let weightSource: (String) throws -> [Float]
    private let statisticSource: (String, CalibrationSide, String) throws -> [Float]
    private var meanFisherValue: Double?

    /// - Parameters:
    ///   - weights: the values of a tensor.
    ///   - statistic: `fisher`, `gradient`, `input_mean` or `input_square` of a side and tensor.
    public init(
        _ matrices: [CandidateMatrix], weights: @escaping (String) throws -> [Float],
        statistic: @escaping (String, CalibrationSide, String) throws -> [Float]
    ) {
        self.matrices = matrices
        weightSource = weights
        statisticSource = statistic
    }

    /// The weights of a matrix, as its tensor lies.
    public func weights(_ matrix: CandidateMatrix) throws -> [Float] { try weightSource(matrix.name) }

    /// The Fisher values of a side.
    public func fisher(_ side: CalibrationSide, _ matrix: CandidateMatrix) throws -> [Float] {
        try statisticSource("fisher", side, matrix.name)
    }

    /// The mean gradient of a side.
    public func gradient(_ side: CalibrationSide, _ matrix: CandidateMatrix) throws -> [Float] {
        try statisticSource("gradient", side, matrix.name)
    }

    /// The mean of each input.
    public func inputMeans(_ side: CalibrationSide, _ matrix: CandidateMatrix) throws -> [Float] {
        try statisticSource("input_mean", side, matrix.name)
    }

    /// The mean square of each input.
    public func inputSquares(_ side: CalibrationSide, _ matrix: CandidateMatrix) throws -> [Float] {
        try statisticSource("input_square", side, matrix.name)
    }

    /// The agreement of both sides' gradients.
    public func agreement(_ granularity: Agreement.Granularity, _ matrix: CandidateMatrix) throws -> Agreement {
        Agreement(
            granularity, domain: try gradient(.domain, matrix).map { Double($0) },
            general: try gradient(.general, matrix).map { Double($0) }, matrix: matrix)
    }

    /// The mean of (F_dom + F_gen)/2 over all candidate weights.
    public func meanFisher() throws -> Double {
        if let meanFisherValue { return meanFisherValue }
        var total = 0.0, count = 0
        for matrix in matrices {
            for (a, b) in zip(try fisher(.domain, matrix), try fisher(.general, matrix)) {
                total += (Double(a) + Double(b)) / 2
            }
            count += matrix.count
        }
        let mean = total / Double(max(1, count))
        meanFisherValue = mean
        return mean
    }
}
