/// |θ|.
public struct Magnitude: PruneMethod {
    public static let name = "magnitude"
    public static let summary = "the weight's size"

    public init(_ settings: PruneSettings) {}

    public func scores(of matrix: CandidateMatrix, _ statistics: PruneStatistics) throws -> [Double] {
        try statistics.weights(matrix).map { Double(abs($0)) }
    }
}
