import ZooBase
import ZooNN
import ZooTensor

/// The straight line between two networks, θ(t) = (1−t) a + t b, evaluated at points: linear mode connectivity
/// (arXiv 1912.05671).
public struct LinearPath: Sendable {
    /// One point.
    public struct Point: Sendable, Hashable {
        /// Place on the line, 0 at a and 1 at b.
        public var t: Double
        /// Loss and accuracy there.
        public var evaluation: Evaluation

        /// A point that was evaluated elsewhere.
        public init(t: Double, evaluation: Evaluation) {
            self.t = t
            self.evaluation = evaluation
        }
    }

    /// The points in the order of `t`.
    public let points: [Point]

    /// 0, 1/(count−1), …, 1.
    public static func grid(_ count: Int) -> [Double] { (0..<count).map { Double($0) / Double(max(1, count - 1)) } }

    /// Evaluates the line.
    ///
    /// - Parameters:
    ///   - values: the t, ascending; the first and last are what barriers are measured from.
    ///   - statistics: recomputes batch-norm statistics at every point, the ends too; nil interpolates them.
    ///   - evaluator: of that graph and those samples, when many lines share it.
    /// - Throws: `mismatch` when the networks, graph and samples do not fit together; `interrupted`.
    public init(
        _ graph: ArchitectureGraph, _ a: any TensorSource, _ b: any TensorSource, at values: [Double] = grid(11),
        samples: Samples, statistics: BatchNormStatistics? = nil, evaluator: Evaluator? = nil, jobs: Int = 1
    ) throws {
        let evaluator = try evaluator ?? Evaluator(graph, tensors: a.tensorInfos, samples: samples)
        let found = try evaluator.evaluate(count: values.count, jobs: jobs) { place in
            let point = try Self.point(a, b, t: values[place])
            return try statistics.map { try $0.recalibrated(point) } ?? point
        }
        points = try zip(values, found).map { Point(t: $0, evaluation: try $1.get()) }
    }

    /// A line whose points are known.
    public init(points: [Point]) { self.points = points }

    /// (1−t) a + t b over every floating-point tensor, running statistics among them; integers are a's.
    public static func point(_ a: any TensorSource, _ b: any TensorSource, t: Double) throws -> LinearCombination {
        try LinearCombination(
            [a, b], names: ["the first network", "the second network"],
            weights: AverageWeights.interpolation(alpha: t))
    }

    /// Barrier of the mean loss.
    public var loss: Barrier { Barrier(points.map(\.t), points.map(\.evaluation.loss)) }
    /// Barrier of the error, as a fraction of the samples.
    public var error: Barrier { Barrier(points.map(\.t), points.map { 1 - $0.evaluation.accuracy }) }
}

/// How far a quantity rises between the ends of a path.
public struct Barrier: Sendable, Hashable {
    /// max over t of E(t) − ((1−t) E(0) + t E(1)): `lmc_barrier`. Not below zero where the ends are among the points.
    public let barrier: Double
    /// max over t of E(t), less the mean of the ends: `lmc_instability`.
    public let instability: Double
    /// max over t of E(t), less the larger end: `lmc_excess`.
    public let excess: Double
    /// Where the barrier is highest; the smallest t of equal ones.
    public let location: Double
    /// The largest value.
    public let maximum: Double

    /// Measures values along a path; everything is NaN when a value is NaN.
    public init(_ t: [Double], _ values: [Double]) {
        precondition(t.count == values.count && !t.isEmpty)
        let first = values[0], last = values[values.count - 1]
        let span = t[t.count - 1] - t[0]
        let rises = zip(t, values).map { place, value in
            let share = span > 0 ? (place - t[0]) / span : 0
            return value - ((1 - share) * first + share * last)
        }
        guard values.allSatisfy({ !$0.isNaN }) else {
            (barrier, instability, excess, location, maximum) = (.nan, .nan, .nan, .nan, .nan)
            return
        }
        let top = values.max() ?? .nan
        maximum = top
        barrier = rises.max() ?? .nan
        instability = top - (first + last) / 2
        excess = top - max(first, last)
        location = zip(t, rises).first { $0.1 == rises.max() }?.0 ?? t[0]
    }
}
