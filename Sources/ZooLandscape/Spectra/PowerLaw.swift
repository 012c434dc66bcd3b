#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A power law p(x) ∝ x^−α fitted to the tail of a spectrum: the maximum-likelihood exponent at the lower end xmin that
/// makes the Kolmogorov–Smirnov distance smallest (A. Clauset, C. R. Shalizi and M. E. J. Newman, arXiv 0706.1062,
/// equations 3.1 and 3.9), as WeightWatcher applies it to eigenvalues (arXiv 2002.06716).
///
/// Edge cases: equal values give no exponent and are skipped; exponents not above one count as distance one; of equal
/// distances the smallest xmin wins. A number comes out for random matrices too: look at `distance` and `tailCount`.
public struct PowerLaw: Sendable, Hashable {
    /// α.
    public let alpha: Double
    /// The lower end of the tail.
    public let xmin: Double
    /// Kolmogorov–Smirnov distance D.
    public let distance: Double
    /// Values in the tail.
    public let tailCount: Int
    /// Standard error of α, (α − 1) / √n.
    public var sigma: Double { (alpha - 1) / Double(tailCount).squareRoot() }

    /// Values up to this are left out.
    public static let leastValue = 1e-5
    /// Samples with fewer values are fitted by the rule for small ones, in `Rule.automatic`.
    public static let smallCount = 20

    /// How α and xmin are chosen.
    public enum Rule: String, Sendable, CaseIterable {
        /// As WeightWatcher 0.7.7: `small` below 20 values, `standard` from there on.
        case automatic
        /// The maximum-likelihood exponent, smallest distance.
        case standard
        /// α = 1 + (n − 1)/Σ ln(x/xmin), which removes the bias of few values; smallest distance over tails of at
        /// least 8 values. (WeightWatcher also computes a score that favours longer tails, and does not use it.)
        case small
    }

    /// Fits a tail; nil when fewer than two different values are left.
    ///
    /// - Parameters:
    ///   - values: in any order.
    ///   - xminRange: where xmin may lie; everywhere unless given.
    /// - Complexity: O(n²) at worst; tails that cannot win any more are left early.
    public init?(_ values: [Double], rule: Rule = .standard, xminRange: ClosedRange<Double>? = nil) {
        let logs = values.filter { $0 > Self.leastValue && $0.isFinite }.sorted().map { log($0) }
        guard logs.count > 1 else { return nil }
        let isSmall = rule == .small || (rule == .automatic && logs.count < Self.smallCount)
        var suffix = 0.0
        var sums = [Double](repeating: 0, count: logs.count)
        for place in logs.indices.reversed() {
            suffix += logs[place]
            sums[place] = suffix
        }
        var best: (alpha: Double, start: Int, distance: Double)?
        func consider(_ start: Int) {
            let n = Double(logs.count - start)
            let spread = sums[start] - n * logs[start]
            // Equal values leave rounding behind instead of zero.
            guard spread > 1e-12 * n * max(1, abs(logs[start])) else { return }
            let alpha = 1 + (isSmall ? n - 1 : n) / spread
            let limit = best?.distance ?? .infinity
            let distance = alpha > 1 ? Self.distance(logs, start, alpha, limit: limit) : 1
            if distance < limit { best = (alpha, start, distance) }
        }
        for start in 0..<logs.count - 1 {
            if let xminRange, !xminRange.contains(exp(logs[start])) { continue }
            if isSmall, logs.count - start < Self.leastTail { continue }
            consider(start)
        }
        // Fewer values than the least tail: all of them.
        if isSmall, best == nil { consider(0) }
        guard let best else { return nil }
        alpha = best.alpha
        xmin = exp(logs[best.start])
        distance = best.distance
        tailCount = logs.count - best.start
    }

    private static let leastTail = 8

    /// The distance between the tail and its law; any number not below `limit` when it cannot be smaller.
    private static func distance(_ logs: [Double], _ start: Int, _ alpha: Double, limit: Double) -> Double {
        let n = logs.count - start
        func gap(_ k: Int) -> Double {
            abs(1 - exp((1 - alpha) * (logs[start + k] - logs[start])) - Double(k) / Double(n))
        }
        // A few places first: most tails lose there.
        let stride = max(1, n / 16)
        for k in Swift.stride(from: stride, to: n, by: stride) where gap(k) >= limit { return limit }
        var largest = 0.0
        for k in 0..<n {
            largest = max(largest, gap(k))
            if largest >= limit { return limit }
        }
        return largest
    }
}

extension PowerLaw {
    /// A fit after taking off single large eigenvalues that pull the exponent up ("fingers"), as WeightWatcher's
    /// `fix_fingers=clip_xmax`: the first fit without the top i = 2…9 values whose exponent is more than one smaller.
    ///
    /// - Returns: the fit, and how many fingers were clipped; the fit of all values with zero when none helps.
    public static func clippingFingers(_ values: [Double]) -> (fit: PowerLaw, fingers: Int)? {
        guard let raw = PowerLaw(values, rule: .automatic) else { return nil }
        let sorted = values.sorted()
        guard raw.alpha > 2 else { return (raw, 0) }
        for i in 2...9 where sorted.count > i + 1 {
            guard let fit = PowerLaw(Array(sorted.dropLast(i)), rule: .automatic) else { break }
            if fit.alpha + 1 < raw.alpha { return (fit, i - 1) }
            if fit.alpha <= 2 { break }
        }
        return (raw, 0)
    }
}
