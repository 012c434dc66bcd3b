/// |θ|.
public struct Magnitude: PruneMethod {
    /// What it is called on the command line.
    public static let name = "magnitude"
    /// What it is, in a few words.
    public static let summary = "the weight's size"

    /// The method with these constants.
    public init(_ settings: PruneSettings) {}

    /// A score per weight, as the tensor lies.
    public func scores(of matrix: CandidateMatrix, _ statistics: PruneStatistics) throws -> [Double] {
        try statistics.weights(matrix).map { Double(abs($0)) }
    }
}
