import ZooBase

/// LEEP on responsibilities of a Gaussian mixture over features (Li et al., arXiv 2011.11200).
///
/// Principal components that explain 80 % of the variance; 5 diagonal components per class (at most half the samples),
/// k-means++ start, variance floor 1e-6, at most 100 steps of EM. Needs 20 samples per class.
public struct NLEEP: Ranker {
    /// The name.
    public static let name = "nleep"
    /// One line for help.
    public static let summary = "LEEP on a Gaussian mixture over features; needs 20 samples per class (2011.11200)"
    /// What the score is, with its unit.
    public static let meaning = "mean log-likelihood of a sample's class, nats, 0 at best"
    /// What it looks at.
    public static let needs: Set<RankerNeed> = [.features]

    /// Samples per class that it needs.
    static let samplesPerClass = 20

    /// With default settings.
    public init() {}

    /// The score; see `Ranker`.
    public func score(_ evidence: Evidence) throws -> Double {
        let features = try evidence.requireFeatures(Self.name)
        let needed = Self.samplesPerClass * evidence.classCount
        guard features.rows >= needed else {
            throw ZooError(
                .mismatch,
                "nleep needs \(needed) samples for \(evidence.classCount) classes, the query has \(features.rows)",
                hint: "take another ranker, such as leep or fewshot")
        }
        let x = try features.principalComponents(limit: features.columns, share: 0.8)
        var generator = SeededGenerator(seed: evidence.seed)
        let mixture = DiagonalMixture(
            x, components: max(1, min(5 * evidence.classCount, x.rows / 2)), steps: 100, floor: 1e-6, &generator)
        return LEEP.value(mixture.responsibilities, evidence.labels, classCount: evidence.classCount)
    }
}

/// A mixture of Gaussians with diagonal covariances, fitted by EM.
struct DiagonalMixture {
    /// `[N, components]`.
    private(set) var responsibilities: Matrix
    private var means: Matrix
    private var variances: Matrix
    private var shares: [Double]
    private let floor: Double

    init(_ x: Matrix, components: Int, steps: Int, floor: Double, _ generator: inout SeededGenerator) {
        self.floor = floor
        means = Self.start(x, components, &generator)
        let centred = x.centred()
        var spread = [Double](repeating: floor, count: x.columns)
        for row in 0..<x.rows {
            for k in spread.indices { spread[k] += centred[row, k] * centred[row, k] / Double(x.rows) }
        }
        variances = Matrix([[Double]](repeating: spread, count: components))
        shares = [Double](repeating: 1 / Double(components), count: components)
        responsibilities = Matrix(rows: x.rows, columns: components)
        var last = -Double.infinity
        for _ in 0..<steps {
            let likelihood = expect(x)
            if likelihood - last <= 1e-9 * abs(likelihood) { break }
            last = likelihood
            maximise(x)
        }
    }

    /// k-means++: each centre drawn with a probability in proportion to its squared distance from those before.
    private static func start(_ x: Matrix, _ components: Int, _ generator: inout SeededGenerator) -> Matrix {
        var chosen = [generator.below(x.rows)]
        var nearest = [Double](repeating: .infinity, count: x.rows)
        while chosen.count < components {
            let centre = chosen[chosen.count - 1]
            for row in 0..<x.rows {
                nearest[row] = min(
                    nearest[row],
                    (0..<x.columns).reduce(0) { $0 + (x[row, $1] - x[centre, $1]) * (x[row, $1] - x[centre, $1]) })
            }
            var rest = Double(generator.next() >> 11) * 0x1p-53 * nearest.reduce(0, +)
            var pick = 0
            for row in 0..<x.rows {
                pick = row
                rest -= nearest[row]
                if rest < 0 { break }
            }
            chosen.append(pick)
        }
        return x.selecting(chosen)
    }

    private mutating func expect(_ x: Matrix) -> Double {
        var total = 0.0
        for row in 0..<x.rows {
            var logs = [Double](repeating: 0, count: shares.count)
            for c in shares.indices {
                var value = Elementary.log(max(shares[c], 1e-300))
                for k in 0..<x.columns {
                    let v = variances[c, k], gap = x[row, k] - means[c, k]
                    value -= (gap * gap / v + Elementary.log(2 * Elementary.pi * v)) / 2
                }
                logs[c] = value
            }
            let top = logs.max() ?? 0
            let sum = logs.reduce(0) { $0 + Elementary.exp($1 - top) }
            total += top + Elementary.log(sum)
            for c in shares.indices { responsibilities[row, c] = Elementary.exp(logs[c] - top) / sum }
        }
        return total
    }

    private mutating func maximise(_ x: Matrix) {
        for c in shares.indices {
            let weight = (0..<x.rows).reduce(0) { $0 + responsibilities[$1, c] }
            shares[c] = weight / Double(x.rows)
            guard weight > 1e-10 else { continue }
            for k in 0..<x.columns {
                let mean = (0..<x.rows).reduce(0) { $0 + responsibilities[$1, c] * x[$1, k] } / weight
                let spread = (0..<x.rows).reduce(0) {
                    $0 + responsibilities[$1, c] * (x[$1, k] - mean) * (x[$1, k] - mean)
                }
                means[c, k] = mean
                variances[c, k] = spread / weight + floor
            }
        }
    }
}
