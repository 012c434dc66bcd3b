/// F: of the domain, of general data, or both.
public struct Fisher: PruneMethod {
    /// What it is called on the command line.
    public static let name = "fisher"
    /// What it is, in a few words.
    public static let summary = "mean squared gradient (--side domain, general or both)"
    private let sides: [CalibrationSide]

    /// The method with these constants.
    public init(_ settings: PruneSettings) { sides = (settings.side ?? .domain).sides }

    /// A score per weight, as the tensor lies.
    public func scores(of matrix: CandidateMatrix, _ statistics: PruneStatistics) throws -> [Double] {
        try statistics.fisherSum(sides, matrix)
    }
}

/// F θ²: the second-order estimate of the loss of removing a weight (optimal brain damage, LeCun 1989, with the Fisher
/// information as Hessian). Between rows its scale is worth little, so rows are groups.
public struct SecondOrder: PruneMethod {
    /// What it is called on the command line.
    public static let name = "obd"
    /// What it is, in a few words.
    public static let summary = "second order: Fisher times weight squared, in rows (--side)"
    /// The group used unless another is asked for.
    public static let defaultGroup = PruneGroup.row
    private let sides: [CalibrationSide]

    /// The method with these constants.
    public init(_ settings: PruneSettings) { sides = (settings.side ?? .both).sides }

    /// A score per weight, as the tensor lies.
    public func scores(of matrix: CandidateMatrix, _ statistics: PruneStatistics) throws -> [Double] {
        let weights = try statistics.weights(matrix)
        return try zip(weights, statistics.fisherSum(sides, matrix)).map { $1 * Double($0) * Double($0) }
    }
}

/// |g θ|: the first-order estimate (SNIP, arXiv 1810.02340).
public struct FirstOrder: PruneMethod {
    /// What it is called on the command line.
    public static let name = "snip"
    /// What it is, in a few words.
    public static let summary = "first order: size of gradient times weight (--side)"
    private let sides: [CalibrationSide]

    /// The method with these constants.
    public init(_ settings: PruneSettings) { sides = (settings.side ?? .domain).sides }

    /// A score per weight, as the tensor lies.
    public func scores(of matrix: CandidateMatrix, _ statistics: PruneStatistics) throws -> [Double] {
        let weights = try statistics.weights(matrix)
        var gradient = [Double](repeating: 0, count: weights.count)
        for side in sides {
            for (place, number) in try statistics.gradient(side, matrix).enumerated() {
                gradient[place] += Double(number)
            }
        }
        return zip(weights, gradient).map { abs(Double($0) * $1) }
    }
}

extension PruneStatistics {
    /// The sum of the Fisher values of sides.
    func fisherSum(_ sides: [CalibrationSide], _ matrix: CandidateMatrix) throws -> [Double] {
        var total = [Double](repeating: 0, count: matrix.count)
        for side in sides {
            for (place, number) in try fisher(side, matrix).enumerated() { total[place] += Double(number) }
        }
        return total
    }
}
