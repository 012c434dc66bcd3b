import ZooBase
import ZooNN

/// Which samples each step sees: a pure function of seed and step, so that learning can go on anywhere.
///
/// One step draws a share of the batch from every part (task, or target and control). An epoch ends when the smallest
/// part is exhausted; then all are shuffled again (method page, 7.1). Incomplete last shares are kept.
public struct BatchPlan: Sendable, Hashable {
    /// Samples of each part.
    public let counts: [Int]
    /// Samples that a step takes of each part.
    public let share: Int
    /// How often each part's list is repeated within an epoch.
    public let repeats: Int
    private let seed: UInt64

    /// Plans batches.
    ///
    /// - Parameters:
    ///   - batch: samples per step in all.
    ///   - oversampled: repeats small lists so that an epoch has at least ten steps (method page, 7.3).
    /// - Throws: `usage` when the batch is smaller than the number of parts; `notFound` for a part without samples.
    public init(counts: [Int], batch: Int, seed: UInt64, oversampled: Bool = false) throws {
        guard !counts.isEmpty, counts.allSatisfy({ $0 > 0 }) else {
            throw ZooError(.notFound, "a data set to learn on has no samples")
        }
        guard batch >= counts.count else {
            throw ZooError(.usage, "a batch of \(batch) is smaller than the number of data sets, \(counts.count)")
        }
        self.counts = counts
        self.seed = seed
        let wanted = batch / counts.count
        let smallest = counts.min() ?? 1
        let ratio = Double(smallest) / Double(wanted)
        repeats = oversampled && ratio < 10 ? Int(10 / ratio) + 1 : 1
        share = min(wanted, smallest * repeats)
    }

    /// Steps until the smallest part is exhausted.
    public var stepsPerEpoch: Int { ((counts.min() ?? 1) * repeats + share - 1) / share }

    /// The samples of each part in a step.
    public func places(step: Int) -> [[Int]] {
        var cursor = BatchCursor(self)
        return cursor.places(step: step)
    }

    fileprivate func order(_ part: Int, _ epoch: Int) -> [Int] {
        var generator = SeededGenerator(
            seed: seed &+ UInt64(epoch) &* 0xD134_2543_DE82_EF95 &+ UInt64(part) &* 0x9E6C_63D0_876A_368B)
        var list = (0..<counts[part] * repeats).map { $0 % counts[part] }
        generator.shuffle(&list)
        return list
    }
}

/// A plan read step by step: the orders of an epoch are made once.
public struct BatchCursor: Sendable {
    /// The plan.
    public let plan: BatchPlan
    private var epoch = -1
    private var orders: [[Int]] = []

    /// Starts anywhere.
    public init(_ plan: BatchPlan) { self.plan = plan }

    /// The samples of each part in a step.
    public mutating func places(step: Int) -> [[Int]] {
        let wanted = step / plan.stepsPerEpoch, start = step % plan.stepsPerEpoch * plan.share
        if wanted != epoch {
            epoch = wanted
            orders = plan.counts.indices.map { plan.order($0, wanted) }
        }
        return orders.map { Array($0[start..<min($0.count, start + plan.share)]) }
    }
}
