import ZooBase

/// A data set of which every split is reordered or reduced when it is read.
public struct SelectedDataset: Dataset {
    /// That of the data set underneath.
    public var name: String { base.name }
    /// The splits with the counts they have after the selection.
    public let splits: [DatasetSplit]

    private let base: any Dataset
    private let select: @Sendable (Samples) throws -> Samples

    init(_ base: any Dataset, splits: [DatasetSplit], select: @escaping @Sendable (Samples) throws -> Samples) {
        self.base = base
        self.splits = splits
        self.select = select
    }

    /// The selected samples of a split.
    public func samples(split: String) throws -> Samples {
        _ = try self.split(named: split)
        return try select(base.samples(split: split))
    }
}

extension Dataset {
    /// Every split in the random order of a seed; the same seed gives the same order for ever.
    public func shuffled(seed: UInt64) -> SelectedDataset {
        SelectedDataset(self, splits: splits) { $0.shuffled(seed: seed) }
    }

    /// At most `count` samples of every split, stratified by class.
    ///
    /// - Throws: `usage` for a count under one.
    public func subset(count: Int, seed: UInt64) throws -> SelectedDataset {
        guard count > 0 else { throw ZooError(.usage, "a subset has at least one sample, not \(count)") }
        return SelectedDataset(self, splits: splits.map { $0.with(count: min(count, $0.count)) }) {
            try $0.subset(count: min(count, $0.count), seed: seed)
        }
    }

    /// A fraction of every split, stratified by class.
    ///
    /// - Throws: `usage` unless `0 < fraction <= 1`.
    public func subset(fraction: Double, seed: UInt64) throws -> SelectedDataset {
        let counted = try splits.map { $0.with(count: try SampleSelection.size(fraction: fraction, of: $0.count)) }
        return SelectedDataset(self, splits: counted) {
            try $0.subset(count: SampleSelection.size(fraction: fraction, of: $0.count), seed: seed)
        }
    }
}

/// A data set in which one split is carved out of another by a seeded, stratified fraction.
public struct CarvedDataset: Dataset {
    /// That of the data set underneath.
    public var name: String { base.name }
    /// The splits; the new one comes last.
    public let splits: [DatasetSplit]

    private let base: any Dataset
    private let source: String
    private let carved: String
    private let fraction: Double
    private let seed: UInt64

    /// Carves `carved` out of `source`, which keeps the rest.
    ///
    /// - Throws: `notFound` when there is no such split, `usage` when the new one exists or the fraction leaves none.
    public init(_ base: any Dataset, carve carved: String, from source: String, fraction: Double, seed: UInt64) throws {
        let whole = try base.split(named: source)
        guard !base.splits.contains(where: { $0.name == carved }) else {
            throw ZooError(.usage, "\(base.name): there is a split '\(carved)' already")
        }
        let size = try SampleSelection.size(fraction: fraction, of: whole.count)
        guard size < whole.count else {
            throw ZooError(.usage, "\(base.name): a fraction of \(fraction) leaves nothing of split '\(source)'")
        }
        self.base = base
        self.source = source
        self.carved = carved
        self.fraction = fraction
        self.seed = seed
        var new = whole.with(count: size)
        new.name = carved
        splits = base.splits.map { $0.name == source ? $0.with(count: $0.count - size) : $0 } + [new]
    }

    /// The samples of a split.
    public func samples(split: String) throws -> Samples {
        guard split == source || split == carved else { return try base.samples(split: split) }
        let parts = try base.samples(split: source).split(fraction: fraction, seed: seed)
        return split == carved ? parts.0 : parts.1
    }
}

extension Dataset {
    /// A new split `carved` holding `fraction` of `source`, which keeps the rest; stratified, by a seed.
    ///
    /// - Throws: as `CarvedDataset.init`.
    public func split(_ source: String, fraction: Double, into carved: String, seed: UInt64) throws -> CarvedDataset {
        try CarvedDataset(self, carve: carved, from: source, fraction: fraction, seed: seed)
    }
}

extension DatasetSplit {
    func with(count: Int) -> DatasetSplit {
        var copy = self
        copy.count = count
        return copy
    }
}
