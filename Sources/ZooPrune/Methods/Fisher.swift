/// F: of the domain, of general data, or both.
public struct Fisher: PruneMethod {
    public static let name = "fisher"
    public static let summary = "mean squared gradient (--side domain, general or both)"
    private let sides: [CalibrationSide]

    public init(_ settings: PruneSettings) { sides = (settings.side ?? .domain).sides }

    public func scores(of matrix: CandidateMatrix, _ statistics: PruneStatistics) throws -> [Double] {
        try statistics.fisherSum(sides, matrix)
    }
}

/// F θ²: the second-order estimate of the loss of removing a weight (optimal brain damage, LeCun 1989, with the Fisher
/// information as Hessian). Between rows its scale is worth little, so rows are groups.
public struct SecondOrder: PruneMethod {
    public static let name = "obd"
    public static let summary = "second order: Fisher times weight squared, in rows (--side)"
    public static let defaultGroup = PruneGroup.row
    private let sides: [CalibrationSide]

    public init(_ settings: PruneSettings) { sides = (settings.side ?? .both).sides }

    public func scores(of matrix: CandidateMatrix, _ statistics: PruneStatistics) throws -> [Double] {
        let weights = try statistics.weights(matrix)
        return try zip(weights, statistics.fisherSum(sides, matrix)).map { $1 * Double($0) * Double($0) }
    }
}

/// |g θ|: the first-order estimate (SNIP, arXiv 1810.02340).
public struct FirstOrder: PruneMethod {
    public static let name = "snip"
    public static let summary = "first order: size of gradient times weight (--side)"
    private let sides: [CalibrationSide]

    public init(_ settings: PruneSettings) { sides = (settings.side ?? .domain).sides }

    public func scores(of matrix: CandidateMatrix, _ statistics: PruneStatistics) throws -> [Double] {
        let weights = try statistics.weights(matrix)
        var gradient = [Double](repeating: 0, count: weights.count)
        for side in sides {
            for (place, number) in try statistics.gradient(side, matrix).enumerated() { gradient[place] += Double(number) }
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
