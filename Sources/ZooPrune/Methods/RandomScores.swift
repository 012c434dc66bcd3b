import ZooBase

/// Uniform scores from a seed, different for every matrix and the same whatever the others are.
public struct RandomScores: PruneMethod {
    /// What it is called on the command line.
    public static let name = "random"
    /// What it is, in a few words.
    public static let summary = "chance, from --seed: what any method must beat"
    private let seed: UInt64

    /// The method with these constants.
    public init(_ settings: PruneSettings) { seed = settings.seed }

    /// A score per weight, as the tensor lies.
    public func scores(of matrix: CandidateMatrix, _ statistics: PruneStatistics) throws -> [Double] {
        var mixed: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in matrix.name.utf8 { mixed = (mixed ^ UInt64(byte)) &* 0x100_0000_01B3 }
        var generator = SeededGenerator(seed: seed ^ mixed)
        return (0..<matrix.count).map { _ in Double(generator.next() >> 11) * 0x1p-53 }
    }
}
