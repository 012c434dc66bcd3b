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

    /// Fits a tail; nil when fewer than two different values are left.
    ///
    /// - Parameters:
    ///   - values: in any order.
    ///   - xminRange: where xmin may lie; everywhere unless given.
    /// - Complexity: O(n²) at worst; tails that cannot win any more are left early.
    public init?(_ values: [Double], xminRange: ClosedRange<Double>? = nil) {
        let logs = values.filter { $0 > Self.leastValue && $0.isFinite }.sorted().map { log($0) }
        guard logs.count > 1 else { return nil }
        var suffix = 0.0
        var sums = [Double](repeating: 0, count: logs.count)
        for place in logs.indices.reversed() {
            suffix += logs[place]
            sums[place] = suffix
        }
        var best: (alpha: Double, start: Int, distance: Double)?
        for start in 0..<logs.count - 1 {
            if let xminRange, !xminRange.contains(exp(logs[start])) { continue }
            let n = Double(logs.count - start)
            let spread = sums[start] - n * logs[start]
            // Equal values leave rounding behind instead of zero.
            guard spread > 1e-12 * n * max(1, abs(logs[start])) else { continue }
            let alpha = 1 + n / spread
            let limit = best?.distance ?? .infinity
            let distance = alpha > 1 ? Self.distance(logs, start, alpha, limit: limit) : 1
            if distance < limit { best = (alpha, start, distance) }
        }
        guard let best else { return nil }
        alpha = best.alpha
        xmin = exp(logs[best.start])
        distance = best.distance
        tailCount = logs.count - best.start
    }

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
        guard let raw = PowerLaw(values) else { return nil }
        let sorted = values.sorted()
        guard raw.alpha > 2 else { return (raw, 0) }
        for i in 2...9 where sorted.count > i + 1 {
            guard let fit = PowerLaw(Array(sorted.dropLast(i))) else { break }
            if fit.alpha + 1 < raw.alpha { return (fit, i - 1) }
            if fit.alpha <= 2 { break }
        }
        return (raw, 0)
    }
}
