#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A measurement over the cells of one phase.
public struct PhaseSummary: Sendable, Hashable {
    /// The phase.
    public var phase: Phase
    /// Cells with a finite value.
    public var count: Int
    /// Their mean.
    public var mean: Double
    /// Standard deviation with n − 1; zero for one cell.
    public var deviation: Double
    /// The smallest.
    public var minimum: Double
    /// The largest.
    public var maximum: Double
}

/// Whether a measurement differs between groups: the Kruskal–Wallis test, ties corrected (W. H. Kruskal and
/// W. A. Wallis, 1952).
public struct KruskalWallis: Sendable, Hashable {
    /// The statistic H.
    public let statistic: Double
    /// Groups minus one.
    public let degreesOfFreedom: Int
    /// Probability of an H this large by chance, by the χ² approximation.
    public let pValue: Double

    /// Tests groups of values; nil with fewer than two groups that have values, or when all values are equal.
    public init?(_ groups: [[Double]]) {
        let groups = groups.filter { !$0.isEmpty }
        guard groups.count > 1 else { return nil }
        let sorted = groups.enumerated().flatMap { group, values in values.map { (value: $0, group: group) } }
            .sorted { $0.value < $1.value }
        let n = Double(sorted.count)
        var ranks = [Double](repeating: 0, count: groups.count)
        var ties = 0.0
        var start = 0
        while start < sorted.count {
            var end = start
            while end < sorted.count, sorted[end].value == sorted[start].value { end += 1 }
            let size = Double(end - start)
            for place in start..<end { ranks[sorted[place].group] += Double(start + end + 1) / 2 }
            ties += size * size * size - size
            start = end
        }
        let correction = 1 - ties / (n * n * n - n)
        guard correction > 0 else { return nil }
        let sum = zip(ranks, groups).reduce(0) { $0 + $1.0 * $1.0 / Double($1.1.count) }
        statistic = (12 / (n * (n + 1)) * sum - 3 * (n + 1)) / correction
        degreesOfFreedom = groups.count - 1
        pValue = ChiSquare.upperTail(statistic, degreesOfFreedom: degreesOfFreedom)
    }
}

/// The χ² distribution.
enum ChiSquare {
    /// P(X ≥ x): closed forms for whole degrees of freedom, by the recurrence Q(k+2) = Q(k) + (x/2)^(k/2) e^(−x/2) / Γ(k/2+1).
    static func upperTail(_ x: Double, degreesOfFreedom: Int) -> Double {
        guard x > 0 else { return 1 }
        let isOdd = degreesOfFreedom % 2 == 1
        var k = isOdd ? 1 : 2
        var tail = isOdd ? erfc(sqrt(x / 2)) : exp(-x / 2)
        while k < degreesOfFreedom {
            let half = Double(k) / 2
            tail += exp(half * log(x / 2) - x / 2 - lgamma(half + 1))
            k += 2
        }
        return min(1, tail)
    }
}

extension PhaseDiagram {
    /// A measurement by phase, in the order of the phases; cells without a finite value are left out.
    ///
    /// - Parameter values: one per cell.
    public func summaries(of values: [Double?]) -> [PhaseSummary] {
        precondition(values.count == phases.count)
        return Phase.allCases.compactMap { phase in
            let found = group(phase, values)
            guard let minimum = found.min(), let maximum = found.max() else { return nil }
            let n = Double(found.count)
            let mean = found.reduce(0, +) / n
            let squares = found.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
            return PhaseSummary(
                phase: phase, count: found.count, mean: mean, deviation: n > 1 ? sqrt(squares / (n - 1)) : 0,
                minimum: minimum, maximum: maximum)
        }
    }

    /// Whether a measurement differs between the phases; nil when there are fewer than two.
    public func test(of values: [Double?]) -> KruskalWallis? {
        precondition(values.count == phases.count)
        return KruskalWallis(Phase.allCases.filter { $0 != .unknown }.map { group($0, values) })
    }

    private func group(_ phase: Phase, _ values: [Double?]) -> [Double] {
        zip(phases, values).compactMap { $0 == phase ? $1 : nil }.filter(\.isFinite)
    }
}
