import ZooBase

/// The arrays of one batch by the names of the program's inputs.
struct BatchInputs {
    var reals: [(name: String, values: UnsafePointer<Float>)] = []
    var integers: [(name: String, values: UnsafePointer<Int32>)] = []

    func real(_ name: String) throws -> UnsafePointer<Float> {
        guard let found = reals.first(where: { $0.name == name }) else {
            throw ZooError(.internal, "no values for input '\(name)'")
        }
        return found.values
    }

    func integers(_ name: String) throws -> UnsafePointer<Int32> {
        guard let found = integers.first(where: { $0.name == name }) else {
            throw ZooError(.internal, "no integers for input '\(name)'")
        }
        return found.values
    }
}

/// Samples cut into batches of one size; the last one is filled up with copies of its first sample, of weight zero.
///
/// Batches are summed in groups whose number depends on the data alone, so that sums do not depend on the threads.
struct SampleBatches: Sendable {
    let samples: Samples
    /// Samples per batch: whole groups of lanes.
    let size: Int
    /// Batches.
    let count: Int
    /// What sums of losses are divided by: samples, or predicted tokens.
    let totalWeight: Double
    /// Predicted tokens and their labels, for language models.
    let tokens: TokenBatch?
    private let inputName: String
    private let maskName: String?
    private let tailInputs: [Float]
    private let labels: [Int32]
    private let weights: [Float]
    private let points: PointInputs?

    /// All points of a physics-informed loss: one batch.
    private struct PointInputs: Sendable {
        var coordinates: [Float]
        var target: [Float]
    }

    static let labelsName = "labels", weightsName = "sample weights"

    /// Kernels hold samples in lanes of 16.
    static func roundedSize(_ wanted: Int, for samples: Samples) -> Int {
        min((wanted + 15) / 16, (samples.count + 15) / 16) * 16
    }

    init(_ samples: Samples, wanted: Int, inputName: String) {
        self.init(samples, exactly: Self.roundedSize(wanted, for: samples), inputName: inputName)
    }

    /// Batches of just this size, even when there are fewer samples.
    init(_ samples: Samples, exactly size: Int, inputName: String) {
        self.samples = samples
        self.size = size
        self.inputName = inputName
        count = (samples.count + size - 1) / size
        let missing = count * size - samples.count, whole = samples.count / size * size
        let first = Array(samples.inputs[(whole * samples.sampleSize)...].prefix(samples.sampleSize))
        tailInputs =
            missing == 0
            ? [] : Array(samples.inputs[(whole * samples.sampleSize)...]) + (0..<missing).flatMap { _ in first }
        labels = samples.labels.isEmpty ? [] : samples.labels + [Int32](repeating: 0, count: missing)
        weights = [Float](repeating: 1, count: samples.count) + [Float](repeating: 0, count: missing)
        totalWeight = Double(samples.count)
        tokens = nil
        points = nil
        maskName = nil
    }

    /// Sequences of tokens; rows that fill up the last batch are padding alone and predict nothing.
    ///
    /// - Throws: `mismatch` when no token is predicted.
    init(_ sequences: TokenBatch, wanted: Int, inputName: String, maskName: String?) throws {
        size = min(max(1, wanted), sequences.count)
        count = (sequences.count + size - 1) / size
        let rows = (0..<sequences.count).map { row in
            Array(sequences.ids[row * sequences.length..<row * sequences.length + sequences.lengths[row]])
        }
        let padded = try TokenBatch(rows, length: sequences.length, count: count * size)
        totalWeight = padded.labelWeights.reduce(0.0) { $0 + Double($1) }
        guard totalWeight > 0 else { throw ZooError(.mismatch, "no sequence has a second token to predict") }
        tokens = padded
        samples = Samples(
            checkedInputs: sequences.ids.map { Float($0) }, inputShape: [sequences.length], labels: [],
            count: sequences.count)
        labels = padded.labels
        weights = padded.labelWeights
        self.inputName = inputName
        self.maskName = maskName
        (tailInputs, points) = ([], nil)
    }

    /// The points of a physics-informed loss: one batch, one loss.
    init(_ list: ConvectionPoints, inputName: String) {
        let coordinates = list.coordinates.map { Float($0) }
        points = PointInputs(coordinates: coordinates, target: list.target.map { Float($0) })
        samples = Samples(checkedInputs: coordinates, inputShape: [coordinates.count], labels: [], count: 1)
        (size, count, totalWeight, tokens) = (1, 1, 1, nil)
        self.inputName = inputName
        (maskName, tailInputs, labels, weights) = (nil, [], [], [1])
    }

    /// What the losses of a batch are divided by for their mean.
    func weight(_ batch: Int) -> Double {
        let numbers = size * (tokens?.length ?? 1)
        return weights[batch * numbers..<min((batch + 1) * numbers, weights.count)].reduce(0.0) { $0 + Double($1) }
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
    private static let partialSums = 1 << 27

    /// Lends the arrays of a batch.
    func withBatch<R>(_ batch: Int, _ body: (BatchInputs) throws -> R) throws -> R {
        if let tokens { return try withTokens(tokens, batch, body) }
        if let points { return try withPoints(points, body) }
        let start = batch * size
        let isTail = start + size > samples.count
        return try (isTail ? tailInputs : samples.inputs).withUnsafeBufferPointer { inputs in
            try labels.withUnsafeBufferPointer { labels in
                try weights.withUnsafeBufferPointer { weights in
                    guard let inputs = inputs.baseAddress, let weights = weights.baseAddress else {
                        throw ZooError(.mismatch, "the samples have no numbers")
                    }
                    var arrays = BatchInputs(reals: [
                        (inputName, isTail ? inputs : inputs + start * samples.sampleSize),
                        (Self.weightsName, weights + start),
                    ])
                    if !labels.isEmpty, let labels = labels.baseAddress {
                        arrays.integers = [(Self.labelsName, labels + start)]
                    }
                    return try body(arrays)
                }
            }
        }
    }

    private func withTokens<R>(_ tokens: TokenBatch, _ batch: Int, _ body: (BatchInputs) throws -> R) throws -> R {
        let start = batch * size * tokens.length
        return try tokens.ids.withUnsafeBufferPointer { ids in
            try tokens.mask.withUnsafeBufferPointer { mask in
                try labels.withUnsafeBufferPointer { labels in
                    try weights.withUnsafeBufferPointer { weights in
                        guard let ids = ids.baseAddress, let mask = mask.baseAddress, let labels = labels.baseAddress,
                            let weights = weights.baseAddress
                        else { throw ZooError(.mismatch, "the sequences have no tokens") }
                        return try body(
                            BatchInputs(
                                reals: [(maskName ?? "", mask + start), ("label_weights", weights + start)],
                                integers: [(inputName, ids + start), (Self.labelsName, labels + start)]))
                    }
                }
            }
        }
    }

    private func withPoints<R>(_ points: PointInputs, _ body: (BatchInputs) throws -> R) throws -> R {
        try points.coordinates.withUnsafeBufferPointer { coordinates in
            try points.target.withUnsafeBufferPointer { target in
                guard let coordinates = coordinates.baseAddress, let target = target.baseAddress else {
                    throw ZooError(.mismatch, "the loss has no points")
                }
                return try body(BatchInputs(reals: [(inputName, coordinates), ("target", target)]))
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
