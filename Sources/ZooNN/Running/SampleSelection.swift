import ZooBase

/// Which samples to take: pure functions of counts, labels and a seed, the same on every machine and for ever.
public enum SampleSelection {
    /// All samples in random order.
    public static func shuffled(count: Int, seed: UInt64) -> [Int] {
        var generator = SeededGenerator(seed: seed)
        return generator.permutation(count)
    }

    /// `size` samples, every class in its share of the whole; ascending.
    ///
    /// Class c with n_c of n samples gives ⌊size·n_c/n⌋, and those with the largest remainders one more until `size` is
    /// reached (of equal remainders the lower class). Within a class the first of a seeded shuffle are taken.
    ///
    /// - Parameter labels: of all samples; empty draws from all alike.
    /// - Precondition: `0 <= size <= count`.
    public static func subset(size: Int, count: Int, labels: [Int32], seed: UInt64) -> [Int] {
        precondition(size >= 0 && size <= count && (labels.isEmpty || labels.count == count))
        var generator = SeededGenerator(seed: seed)
        guard !labels.isEmpty else { return generator.permutation(count).prefix(size).sorted() }
        var members: [Int32: [Int]] = [:]
        for (index, label) in labels.enumerated() { members[label, default: []].append(index) }
        let classes = members.keys.sorted()
        var shares = classes.map { wide(size, members[$0]?.count ?? 0, count) }
        let missing = size - shares.reduce(0) { $0 + $1.whole }
        let order = shares.indices.sorted {
            shares[$0].rest != shares[$1].rest ? shares[$0].rest > shares[$1].rest : $0 < $1
        }
        for position in order.prefix(missing) { shares[position].whole += 1 }
        var taken: [Int] = []
        taken.reserveCapacity(size)
        for (label, share) in zip(classes, shares) {
            var indices = members[label] ?? []
            generator.shuffle(&indices)
            taken += indices.prefix(share.whole)
        }
        return taken.sorted()
    }

    /// size·part/count and its remainder, in whole numbers.
    private static func wide(_ size: Int, _ part: Int, _ count: Int) -> (whole: Int, rest: Int) {
        guard count > 0 else { return (0, 0) }
        let product = size.multipliedFullWidth(by: part)
        let parts = count.dividingFullWidth(product)
        return (parts.quotient, parts.remainder)
    }

    /// How many samples a fraction is: rounded to nearest, at least one where the fraction is above zero.
    ///
    /// - Throws: `usage` unless `0 < fraction <= 1`.
    public static func size(fraction: Double, of count: Int) throws -> Int {
        guard fraction > 0, fraction <= 1 else {
            throw ZooError(.usage, "a fraction of samples lies above 0 and is at most 1, not \(fraction)")
        }
        return min(count, max(1, Int((fraction * Double(count)).rounded())))
    }
}

extension Samples {
    /// Chosen samples, in the order given. Precondition: every index is that of a sample, and there is one.
    public func selecting(_ indices: [Int]) -> Samples {
        precondition(!indices.isEmpty)
        let size = sampleSize
        let chosen = [Float](unsafeUninitializedCapacity: indices.count * size) { output, filled in
            inputs.withUnsafeBufferPointer { source in
                for (place, index) in indices.enumerated() {
                    let run = UnsafeBufferPointer(rebasing: source[index * size..<(index + 1) * size])
                    _ = UnsafeMutableBufferPointer(rebasing: output[place * size..<(place + 1) * size])
                        .initialize(from: run)
                }
            }
            filled = indices.count * size
        }
        return copy(
            inputs: chosen, labels: labels.isEmpty ? [] : indices.map { labels[$0] }, count: indices.count)
    }

    /// The samples in the random order of a seed.
    public func shuffled(seed: UInt64) -> Samples { selecting(SampleSelection.shuffled(count: count, seed: seed)) }

    /// A part of the samples, stratified by class.
    ///
    /// - Throws: `usage` when there are not so many, or none are asked for.
    public func subset(count size: Int, seed: UInt64) throws -> Samples {
        guard size > 0, size <= count else {
            throw ZooError(.usage, "a subset of \(size) out of \(count) samples")
        }
        return selecting(SampleSelection.subset(size: size, count: count, labels: labels, seed: seed))
    }

    /// Two parts, both stratified by class: the first holds `fraction` of the samples.
    ///
    /// - Throws: `usage` when one of them would be empty.
    public func split(fraction: Double, seed: UInt64) throws -> (Samples, Samples) {
        let size = try SampleSelection.size(fraction: fraction, of: count)
        guard size < count else { throw ZooError(.usage, "a fraction of \(fraction) of \(count) samples leaves none") }
        let first = SampleSelection.subset(size: size, count: count, labels: labels, seed: seed)
        let taken = Set(first)
        return (selecting(first), selecting((0..<count).filter { !taken.contains($0) }))
    }

    /// Samples from numbers at hand.
    ///
    /// - Throws: `notFound` for no samples; `mismatch` when counts do not fit, a label is negative or not below `labelLimit`,
    ///   or an input is not finite, naming the sample.
    public init(inputs: [Float], inputShape: [Int], labels: [Int32], count: Int) throws {
        guard count > 0 else { throw ZooError(.notFound, "the data set has no samples") }
        let size = inputShape.reduce(1, *)
        guard inputs.count == count * size else {
            throw ZooError(.mismatch, "\(count) samples of shape \(inputShape) are not \(inputs.count) numbers")
        }
        guard labels.isEmpty || labels.count == count else {
            throw ZooError(.mismatch, "\(labels.count) labels for \(count) samples")
        }
        try Self.check(labels: labels)
        if let position = inputs.firstIndex(where: { !$0.isFinite }) {
            throw ZooError(.mismatch, "the input of sample \(position / max(1, size)) is NaN or infinite")
        }
        self.init(checkedInputs: inputs, inputShape: inputShape, labels: labels, count: count)
    }
}
