import ZooBase

/// One split of a data set, before its samples are read.
public struct DatasetSplit: Sendable, Hashable {
    /// `train`, `val`, `test`; `all` where the data are not split; `TASK.test` where they hold several tasks.
    public var name: String
    /// How many samples.
    public var count: Int
    /// The extents of one input: `[C, H, W]`, `[D]`.
    public var inputShape: [Int]
    /// How many classes; nil when only the labels could tell.
    public var classCount: Int?
    /// The classes' names in the order of their labels; empty when they are not known.
    public var classNames: [String]

    /// Describes a split.
    public init(
        name: String, count: Int, inputShape: [Int], classCount: Int? = nil, classNames: [String] = []
    ) {
        self.name = name
        self.count = count
        self.inputShape = inputShape
        self.classCount = classCount ?? (classNames.isEmpty ? nil : classNames.count)
        self.classNames = classNames
    }
}

/// Labelled samples in named splits. Opening one reads headers; a split's samples are read when they are asked for.
///
/// Conforming types live with the formats they read (`ZooData`); whatever trains, evaluates or merges takes the protocol.
public protocol Dataset: Sendable {
    /// What it is called in messages: the file, or the manifest's identifier.
    var name: String { get }
    /// The splits, in the order of the source.
    var splits: [DatasetSplit] { get }

    /// The samples of a split, ready for a network: prepared as the manifest says.
    ///
    /// - Throws: `notFound` for a split that is not there; whatever reading it throws.
    func samples(split: String) throws -> Samples
}

extension Dataset {
    /// A split by its name.
    ///
    /// - Throws: `notFound`, with the nearest name or the list.
    public func split(named split: String) throws -> DatasetSplit {
        if let found = splits.first(where: { $0.name == split }) { return found }
        throw ZooError(
            .notFound, "\(name): there is no split '\(split)'",
            hint: NearestName.hint(split, in: splits.map(\.name), kind: "splits"))
    }
}
