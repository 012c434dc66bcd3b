import ZooBase
import ZooNN

/// The batches of a sweep as the mini-batches of a curve: a new order of them in every epoch.
struct SweepObjective: CurveObjective {
    let dimension: Int
    let stepsPerEpoch: Int
    /// Told how many steps an epoch took.
    var progress: ((Int) -> Void)?
    private let problem: LossProblem
    private let seed: UInt64
    private var order: (epoch: Int, places: [Int]) = (-1, [])

    init(_ problem: LossProblem, seed: UInt64) {
        self.problem = problem
        self.seed = seed
        dimension = problem.layout.count
        stepsPerEpoch = problem.batchCount
    }

    mutating func gradient(
        at point: UnsafePointer<Float>, epoch: Int, step: Int, into target: UnsafeMutablePointer<Float>
    ) throws -> Double {
        if order.epoch != epoch {
            if epoch > 0 { progress?(stepsPerEpoch) }
            var stream = RandomStream(seed: seed, "curve order", String(epoch))
            order = (epoch, Array(0..<stepsPerEpoch).shuffled(using: &stream))
        }
        return try problem.batchGradient(order.places[step], at: point, into: target)
    }
}

extension LossProblem {
    /// Loss and accuracy at a point; a loss without classes has no samples to count, and its accuracy is NaN.
    public func pointEvaluation(at point: [Double]) throws -> Evaluation {
        guard hasAccuracy else { return Evaluation(loss: try loss(at: point), correctCount: 0, count: 0) }
        return try evaluation(at: point)
    }

    /// The straight line to another network, at places t of (1−t) θ + t other.
    ///
    /// - Throws: `mismatch` when it has another length; what evaluating throws.
    public func line(to other: [Double], at places: [Double], jobs: Int) throws -> [Evaluation] {
        let start = initial
        return try Parallel.map(count: places.count, jobs: jobs) { place in
            let t = places[place]
            return try pointEvaluation(at: zip(start, other).map { (1 - t) * $0 + t * $1 })
        }
    }
}
