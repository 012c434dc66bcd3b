import ZooBase

/// Samples cut into batches of one size; the last one is filled up with copies of its first sample, of weight zero.
///
/// Batches are summed in groups whose number depends on the data alone, so that sums do not depend on the threads.
struct SampleBatches: Sendable {
    let samples: Samples
    /// Samples per batch: whole groups of lanes.
    let size: Int
    /// Batches.
    let count: Int
    private let tailInputs: [Float]
    private let labels: [Int32]
    private let weights: [Float]

    /// Kernels hold samples in lanes of 16.
    static func roundedSize(_ wanted: Int, for samples: Samples) -> Int {
        min((wanted + 15) / 16, (samples.count + 15) / 16) * 16
    }

    init(_ samples: Samples, wanted: Int) { self.init(samples, exactly: Self.roundedSize(wanted, for: samples)) }

    /// Batches of just this size, even when there are fewer samples.
    init(_ samples: Samples, exactly size: Int) {
        self.samples = samples
        self.size = size
        count = (samples.count + size - 1) / size
        let missing = count * size - samples.count, whole = samples.count / size * size
        let first = Array(samples.inputs[(whole * samples.sampleSize)...].prefix(samples.sampleSize))
        tailInputs =
            missing == 0
            ? [] : Array(samples.inputs[(whole * samples.sampleSize)...]) + (0..<missing).flatMap { _ in first }
        labels = samples.labels.isEmpty ? [] : samples.labels + [Int32](repeating: 0, count: missing)
        weights = [Float](repeating: 1, count: samples.count) + [Float](repeating: 0, count: missing)
    }

    /// The samples of a batch, without what fills it up.
    func range(_ batch: Int) -> Range<Int> { batch * size..<min((batch + 1) * size, samples.count) }

    /// Batches that are summed together, for vectors of `length` numbers: at most sixteen groups, fewer for long
    /// vectors, whose partial sums take memory.
    func groups(length: Int) -> [Range<Int>] {
        let number = max(1, min(count, 16, Self.partialSums / max(1, length)))
        return (0..<number).map { count * $0 / number..<count * ($0 + 1) / number }
    }

    /// Numbers that all partial sums of a model may take together, about.
    private static let partialSums = 1 << 25

    /// Lends inputs, labels (nil without labels) and weights of a batch.
    func withBatch<R>(
        _ batch: Int, _ body: (UnsafePointer<Float>, UnsafePointer<Int32>?, UnsafePointer<Float>) throws -> R
    ) throws -> R {
        let start = batch * size
        let isTail = start + size > samples.count
        return try (isTail ? tailInputs : samples.inputs).withUnsafeBufferPointer { inputs in
            try labels.withUnsafeBufferPointer { labels in
                try weights.withUnsafeBufferPointer { weights in
                    guard let inputs = inputs.baseAddress, let weights = weights.baseAddress else {
                        throw ZooError(.mismatch, "the samples have no numbers")
                    }
                    return try body(
                        isTail ? inputs : inputs + start * samples.sampleSize,
                        labels.baseAddress.flatMap { labels.isEmpty ? nil : $0 + start }, weights + start)
                }
            }
        }
    }
}

extension Samples {
    /// Some of the samples, in the given order; a sample may come several times.
    ///
    /// - Throws: `notFound` for no samples or a place past the last one.
    public func subset(_ places: some Sequence<Int>) throws -> Samples {
        let places = Array(places)
        guard !places.isEmpty, let first = places.min(), let last = places.max(), first >= 0, last < count else {
            throw ZooError(.notFound, "a subset of \(places.count) samples reaches past the \(count) there are")
        }
        var inputs: [Float] = []
        inputs.reserveCapacity(places.count * sampleSize)
        for place in places { inputs += self.inputs[place * sampleSize..<(place + 1) * sampleSize] }
        return Samples(
            checkedInputs: inputs, inputShape: inputShape, labels: labels.isEmpty ? [] : places.map { labels[$0] },
            count: places.count)
    }
}
