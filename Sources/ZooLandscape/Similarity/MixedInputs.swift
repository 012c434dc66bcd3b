import ZooBase
import ZooNN

extension Samples {
    /// Mixtures of pairs of samples, λx + (1−λ)x′, for representations that training has not flattened (arXiv
    /// 2107.11228, appendix; mixup: arXiv 1710.09412). On training images themselves well-fitted networks all give the
    /// labels, and their CKA is one whatever else they do.
    ///
    /// Each batch mixes two batches of two random orders with one λ ~ Beta(16, 16). Labels are those of the first
    /// sample.
    ///
    /// - Parameters:
    ///   - batches: how many.
    ///   - size: mixtures of a batch; as many as there are samples when these are fewer.
    public func mixedUp(batches: Int = 5, size: Int = 128, seed: UInt64) throws -> Samples {
        var stream = RandomStream(seed: seed, "mixup")
        let size = min(size, count), total = batches * size
        func order() -> [Int] {
            var places: [Int] = []
            while places.count < total {
                places += SampleSelection.shuffled(count: count, seed: stream.next())
            }
            return places
        }
        let first = order(), second = order()
        var mixed: [Float] = []
        mixed.reserveCapacity(total * sampleSize)
        for batch in 0..<batches {
            let share = Float(Self.beta16(&stream))
            for place in batch * size..<(batch + 1) * size {
                let a = first[place] * sampleSize, b = second[place] * sampleSize
                for index in 0..<sampleSize {
                    mixed.append(share * inputs[a + index] + (1 - share) * inputs[b + index])
                }
            }
        }
        return try Samples(
            inputs: mixed, inputShape: inputShape, labels: labels.isEmpty ? [] : first.prefix(total).map { labels[$0] },
            count: total)
    }

    /// Beta(16, 16): a ratio of two sums of sixteen exponential numbers.
    private static func beta16(_ stream: inout RandomStream) -> Double {
        func gamma() -> Double {
            (0..<16).reduce(0) { sum, _ in sum - NaturalLogarithm.of(1 - Double.random(in: 0..<1, using: &stream)) }
        }
        let a = gamma(), b = gamma()
        return a / (a + b)
    }
}
