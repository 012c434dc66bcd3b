import ZooBase
import ZooNN

/// Unlabelled public inputs in a fixed order, on which every model is asked.
public struct ProbePool: Sendable {
    /// The inputs side by side.
    public let inputs: [Float]
    /// The extents of one.
    public let inputShape: [Int]
    /// How many.
    public let count: Int

    /// Probes by default.
    public static let defaultCount = 1000

    /// Numbers per probe.
    public var size: Int { inputShape.reduce(1, *) }

    /// A pool of stored inputs.
    ///
    /// - Throws: `mismatch` for none, or a number that does not fit the shape, or one that is not finite.
    public init(inputs: [Float], inputShape: [Int]) throws {
        let size = inputShape.reduce(1, *)
        guard size > 0, !inputs.isEmpty, inputs.count % size == 0 else {
            throw ZooError(.mismatch, "a probe pool of \(inputs.count) numbers for inputs of shape \(inputShape)")
        }
        guard inputs.allSatisfy(\.isFinite) else { throw ZooError(.numeric, "a probe is NaN or infinite") }
        self.inputs = inputs
        self.inputShape = inputShape
        count = inputs.count / size
    }

    /// Probes drawn from several sets of samples alike (one per transform), without replacement.
    ///
    /// - Throws: `mismatch` when the sets have inputs of different shapes or there are none.
    public init(_ sets: [Samples], count wanted: Int, seed: UInt64) throws {
        guard let first = sets.first, sets.allSatisfy({ $0.inputShape == first.inputShape }) else {
            throw ZooError(.mismatch, "probes come from inputs of one shape")
        }
        let places = sets.enumerated().flatMap { set, samples in (0..<samples.count).map { (set, $0) } }
        var generator = SeededGenerator(seed: seed)
        let order = generator.permutation(places.count).prefix(max(1, wanted))
        let size = first.sampleSize
        try self.init(
            inputs: order.flatMap { place -> ArraySlice<Float> in
                let (set, sample) = places[place]
                return sets[set].inputs[sample * size..<(sample + 1) * size]
            }, inputShape: first.inputShape)
    }

    /// One probe.
    func probe(_ place: Int) -> ArraySlice<Float> { inputs[place * size..<(place + 1) * size] }

    /// A place on the way from one probe to another.
    func mixed(_ from: Int, _ to: Int, _ share: Float) -> [Float] {
        zip(probe(from), probe(to)).map { $0 + share * ($1 - $0) }
    }

    /// What tells this pool from others.
    public var digest: String {
        var hash = Fingerprint()
        for extent in inputShape { hash.add(UInt64(extent)) }
        hash.add(inputs)
        return hash.text
    }
}
