import ZooBase
import ZooNN
import ZooTensor

/// A data set in files, prepared as stated: what every reader's splits become.
public struct StoredDataset: Dataset {
    /// The path, or the manifest's identifier.
    public let name: String
    /// The splits.
    public var splits: [DatasetSplit] { stored.map(described) }
    /// The reader that found them.
    public let format: String
    /// What is done to the numbers.
    public let preparation: DataPreparation

    private let stored: [StoredSplit]

    /// Opens a file, folder, archive or member.
    ///
    /// - Parameters:
    ///   - format: the reader; nil to recognise the content.
    ///   - labels: the tensor or column of the labels, when it is not the usual one.
    /// - Throws: `notFound` for a path that is not there; `unsupported` for data of no known format; what readers throw.
    public static func open(
        _ path: String, format: String? = nil, labels: String? = nil, preparation: DataPreparation = DataPreparation()
    ) throws -> StoredDataset {
        let options = DataOptions(labels: labels, resize: preparation.resize, channels: preparation.channels)
        let place = try DataPlace.open(path)
        let reader = try DatasetReaders.reader(for: place, format: format)
        return try StoredDataset(
            name: path, format: reader.format, preparation: preparation, splits: reader.splits(place, options))
    }

    /// A data set of splits at hand.
    ///
    /// - Throws: `notFound` without splits, `mismatch` for two of one name.
    public init(name: String, format: String, preparation: DataPreparation, splits: [StoredSplit]) throws {
        guard !splits.isEmpty else { throw ZooError(.notFound, "\(name): there are no splits") }
        var seen: Set<String> = []
        for split in splits where !seen.insert(split.split.name).inserted {
            throw ZooError(.mismatch, "\(name): there are two splits '\(split.split.name)'")
        }
        self.name = name
        self.format = format
        self.preparation = preparation
        stored = splits
    }

    private func described(_ split: StoredSplit) -> DatasetSplit {
        var description = split.split
        description.inputShape = preparation.shape(description.inputShape)
        description.classCount = preparation.classCount ?? description.classCount
        return description
    }

    /// Whether a split has labels; false too for one that is not there.
    public func isLabelled(_ split: String) -> Bool { stored.first { $0.split.name == split }?.isLabelled ?? false }

    /// What is done to a split's numbers, in words.
    public func treatment(of split: String) -> String {
        stored.first { $0.split.name == split }.map { preparation.description(for: $0.dtype) } ?? ""
    }

    /// Reads and prepares a split.
    public func samples(split: String) throws -> Samples {
        _ = try self.split(named: split)
        guard let found = stored.first(where: { $0.split.name == split }) else {
            throw ZooError(.notFound, "\(name): there is no split '\(split)'")
        }
        var preparation = preparation
        preparation.classCount = preparation.classCount ?? found.split.classCount
        return try ZooError.locate("\(name):\(split)") { try preparation.samples(found.read(), dtype: found.dtype) }
    }
}
