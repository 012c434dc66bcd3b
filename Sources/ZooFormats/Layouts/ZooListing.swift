import ZooBase

/// One checkpoint of a model: a file, or several that together hold one state dict.
public struct CheckpointListing: Sendable, Hashable {
    /// What a checkpoint file holds.
    public enum Kind: UInt8, Sendable, Hashable {
        /// A state dict.
        case weights
        /// The state of an optimiser.
        case optimizer
    }

    /// The file; of a sharded checkpoint its index (`model.safetensors.index.json`) or, where that is missing, the
    /// first shard.
    public var member: ArchiveMember
    /// The epoch (Ray Tune's `training_iteration`) or step that the name gives; nil when it gives none.
    public var epoch: Int?
    /// The shards in order; empty for a checkpoint in one file.
    public var shardMembers: [ArchiveMember]
    /// Weights or optimiser state.
    public var kind: Kind
}

/// One model: a trial, a fine-tune, a file. `path` and `name` together identify it in its archive.
public struct ModelListing: Sendable {
    /// The trial folder's name, a Hugging Face `org/name`, or a file's name without extension.
    public var name: String
    /// The model's folder inside the archive; empty for the root.
    public var path: String
    /// The layout that found it: `ray-tune`, `hugging-face`, `hugging-face-adapter`, `flat`, `tree`.
    public var layout: String
    /// The hyper-parameters: `params.json`, `config.json`, a sidecar.
    public var configMember: ArchiveMember?
    /// Where in the config file this model's settings are, when one file describes several models.
    public var configEntry: ConfigEntry?
    /// The results, one JSON object a line.
    public var resultMember: ArchiveMember?
    /// The results as CSV: a fallback.
    public var progressMember: ArchiveMember?
    /// The text of the error that ended the training.
    public var errorMember: ArchiveMember?
    /// Weights and optimiser states in order of epochs (those without an epoch last), weights before optimiser.
    public var checkpoints: [CheckpointListing]
    /// What the path itself says: values of a manifest's placeholders (`seed`), `revision` of a hub snapshot,
    /// `base_model` of an adapter, `architecture` of a Hugging Face config.
    public var bindings: [(key: String, value: String)]

    /// The folder above the model's: the experiment that a trial belongs to.
    public var experimentPath: String { path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "" }

    /// The value of a binding.
    public func binding(_ key: String) -> String? { bindings.first { $0.key == key }?.value }
}

/// Where one model's settings are in a JSON file about many.
public struct ConfigEntry: Sendable, Hashable {
    /// The member that names the model in a list of objects; nil when the file is an object keyed by model.
    public var key: String?
    /// The value of that member, or the key.
    public var value: String
}

/// A folder of trials.
public struct ExperimentListing: Sendable, Hashable {
    /// The folder inside the archive; empty for the root.
    public var path: String
    /// The search space (`config.json`), when there is one.
    public var configMember: ArchiveMember?
    /// How many models lie directly in it.
    public var modelCount: Int
}

/// The models of an archive.
public struct ZooListing: Sendable {
    /// The models, folders in the order of their first file, files of a folder in order of their names.
    public let models: ModelListings
    /// The folders that hold Ray Tune trials.
    public let experiments: [ExperimentListing]
    /// Stored data sets (`dataset.pt` and the like), listed and not read.
    public let datasetMembers: [ArchiveMember]
    /// Members left out, counted by reason.
    public let ignored: [String: Int]
    /// Members that contradict the layout, at most `maximumProblemCount` of them.
    public let problems: [SkippedMember]
    /// How many problems there are, listed or not.
    public let problemCount: Int

    /// The most problems listed one by one.
    public static let maximumProblemCount = 10_000

    /// How many checkpoints all models have together, optimiser states aside.
    public var weightCount: Int { models.storage.weightCount }
}

/// The models of a listing, made when asked for: 2.6 million checkpoints take 20 bytes each until then.
public struct ModelListings: RandomAccessCollection, Sendable {
    let storage: ListingStorage

    /// 0.
    public var startIndex: Int { 0 }
    /// How many models.
    public var endIndex: Int { storage.models.count }

    /// One model with its checkpoints.
    ///
    /// - Complexity: O(its checkpoints).
    public subscript(position: Int) -> ModelListing { storage.model(position) }
}
