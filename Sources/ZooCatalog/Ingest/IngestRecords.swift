import ZooBase

/// An archive, folder or file that models come from.
public struct SourceRecord: Sendable, Hashable {
    /// Where it is.
    public var path: String
    /// `zip`, `tar`, `tar.gz`, `7z`, `folder`, `file`.
    public var kind: String
    /// Its size; nil for a folder.
    public var byteCount: Int?
    /// When it was changed, nanoseconds since 1970.
    public var modified: Int?
    /// A digest of its bytes where one was computed.
    public var digest: String?
    /// The manifest used, by name.
    public var manifest: String?

    /// Creates a record.
    public init(
        path: String, kind: String, byteCount: Int? = nil, modified: Int? = nil, digest: String? = nil,
        manifest: String? = nil
    ) {
        self.path = path
        self.kind = kind
        self.byteCount = byteCount
        self.modified = modified
        self.digest = digest
        self.manifest = manifest
    }
}

/// How far a source got.
public enum SourceState: String, Sendable {
    /// Begun, not ended: the same command goes on where it stopped.
    case indexing
    /// Complete.
    case indexed
    /// Could not be read.
    case failed
}

/// What `CatalogWriter.begin` found.
public struct SourceProgress: Sendable {
    /// The source's id.
    public var id: Int64
    /// True when an earlier run completed it and size, time and digest are what they were.
    public var isComplete: Bool
    /// The models (by `CatalogWriter.key`) that need not be read again.
    public var completedModels: Set<String>
}

/// A population of models.
public struct ZooRecord: Sendable, Hashable {
    /// Unique name.
    public var name: String
    /// The architecture that all share, where they do.
    public var architecture: String?
    /// The data set they were trained on.
    public var dataset: String?
    /// Licence identifier.
    public var licence: String?
    /// How to cite it.
    public var citation: String?

    /// Creates a record.
    public init(
        name: String, architecture: String? = nil, dataset: String? = nil, licence: String? = nil,
        citation: String? = nil
    ) {
        self.name = name
        self.architecture = architecture
        self.dataset = dataset
        self.licence = licence
        self.citation = citation
    }
}

/// What is known to be wrong with a model.
public struct ModelFlags: OptionSet, Sendable, Hashable {
    /// The bits.
    public let rawValue: Int

    /// Flags from bits.
    public init(rawValue: Int) { self.rawValue = rawValue }

    /// Training ended before the configured epoch.
    public static let incomplete = ModelFlags(rawValue: 1)
    /// Training left an error.
    public static let failed = ModelFlags(rawValue: 2)
    /// The loss left the finite numbers.
    public static let diverged = ModelFlags(rawValue: 4)
    /// Another model has the same configuration.
    public static let duplicate = ModelFlags(rawValue: 8)
    /// There are no results.
    public static let noResult = ModelFlags(rawValue: 16)
    /// There are no checkpoints.
    public static let noCheckpoint = ModelFlags(rawValue: 32)

    /// The names of those that are set.
    public var names: [String] { Self.columns.enumerated().compactMap { rawValue >> $0 & 1 == 1 ? $1 : nil } }

    /// The columns of the flags, in the order of the bits.
    static let columns = ["incomplete", "failed", "diverged", "duplicate", "no_result", "no_checkpoint"]
}

/// The results of one epoch.
public struct ResultRow: Sendable {
    /// The epoch, as the source counts.
    public var epoch: Int
    /// The numbers that have columns.
    public var values: EpochValues
    /// Further numbers by name; NaN is kept.
    public var extras: [(name: String, value: Double)]

    /// Creates a row.
    public init(epoch: Int, values: EpochValues, extras: [(name: String, value: Double)] = []) {
        self.epoch = epoch
        self.values = values
        self.extras = extras
    }
}

/// How a checkpoint's bytes lie in the source.
public enum CheckpointEncoding: String, Sendable {
    /// As they are, at `offset`.
    case stored
    /// A raw deflate stream at `offset`.
    case deflate
    /// Only a pass over the archive reaches them.
    case none
}

/// Whether a checkpoint's numbers are sound.
public enum CheckpointHealth: String, Sendable {
    /// All numbers are finite.
    case ok
    /// Some weight is NaN.
    case nan
    /// Some weight is infinite, none is NaN.
    case infinite
    /// The reader refused the file.
    case unreadable
}

/// One checkpoint to record.
public struct CheckpointIngest: Sendable {
    /// The epoch; nil where there is none (a single published model).
    public var epoch: Int?
    /// The member's path relative to the model's folder.
    public var path: String
    /// The first (perhaps compressed) byte in the source; nil when it cannot be addressed.
    public var offset: Int?
    /// How many bytes are stored there.
    public var storedBytes: Int?
    /// How they are stored.
    public var encoding: CheckpointEncoding
    /// How many bytes when unpacked.
    public var byteCount: Int
    /// `safetensors`, `pytorch`, …
    public var format: String
    /// The tensors; nil when they could not be listed.
    public var layout: Layout?
    /// Hexadecimal digest of the unpacked bytes (32 digits); nil when not computed.
    public var digest: String?
    /// nil: not checked.
    public var health: CheckpointHealth?

    /// Creates a record.
    public init(
        epoch: Int?, path: String, offset: Int?, storedBytes: Int?, encoding: CheckpointEncoding, byteCount: Int,
        format: String, layout: Layout?, digest: String? = nil, health: CheckpointHealth? = nil
    ) {
        self.epoch = epoch
        self.path = path
        self.offset = offset
        self.storedBytes = storedBytes
        self.encoding = encoding
        self.byteCount = byteCount
        self.format = format
        self.layout = layout
        self.digest = digest
        self.health = health
    }
}

/// One model to record, with all its results and checkpoints.
public struct ModelIngest: Sendable {
    /// The zoo's id.
    public var zoo: Int64
    /// The source's id.
    public var source: Int64
    /// A short name, unique within the zoo as far as the source allows.
    public var name: String
    /// The folder inside the source; empty for the root. With the name unique in the source.
    public var path: String
    /// The architecture, where known.
    public var architecture: String?
    /// The configuration, verbatim; nested objects become keys joined by points.
    public var config: JSONObject
    /// What is known to be wrong.
    public var flags: ModelFlags
    /// Trial id, date, host.
    public var bookkeeping: JSONObject
    /// The results; of rows with equal epochs the last one counts.
    public var results: [ResultRow]
    /// The checkpoints; of members with equal paths the last one counts.
    public var checkpoints: [CheckpointIngest]

    /// Creates a record.
    public init(
        zoo: Int64, source: Int64, name: String, path: String, architecture: String? = nil,
        config: JSONObject = JSONObject(), flags: ModelFlags = [], bookkeeping: JSONObject = JSONObject(),
        results: [ResultRow] = [], checkpoints: [CheckpointIngest] = []
    ) {
        self.zoo = zoo
        self.source = source
        self.name = name
        self.path = path
        self.architecture = architecture
        self.config = config
        self.flags = flags
        self.bookkeeping = bookkeeping
        self.results = results
        self.checkpoints = checkpoints
    }
}
