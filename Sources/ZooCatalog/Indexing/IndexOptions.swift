import ZooBase
import ZooFormats

/// How a source is indexed.
public struct IndexOptions: Sendable {
    /// The zoo that the models belong to; nil takes the manifest's id, else the source's name without extension.
    public var zooName: String?
    /// A description of the source: layout, licence, citation, aliases.
    public var manifest: Manifest?
    /// A layout by name; nil: the manifest's, else chosen folder by folder.
    public var layoutName: String?
    /// Threads.
    public var jobs = Parallel.processorCount
    /// Read every checkpoint's bytes for digest and health, not the table of contents alone. Off, an archive of
    /// terabytes is cataloged from its directories.
    public var readsWeights = true
    /// Index again what is unchanged.
    public var restarts = false
    /// List optimiser states as checkpoints too.
    public var includesOptimizer = false

    /// The defaults.
    public init() {}
}

/// What indexing did.
public struct IndexReport: Sendable {
    /// The source's absolute path.
    public var source: String
    /// The zoo.
    public var zoo: String
    /// Models recorded, those of an earlier, interrupted run included.
    public var modelCount = 0
    /// Models that an earlier run had recorded and that were not read again.
    public var resumedCount = 0
    /// Checkpoints recorded by this run.
    public var checkpointCount = 0
    /// Tensors in them.
    public var tensorCount = 0
    /// Floating-point elements in them.
    public var parameterCount = 0
    /// Members that could not be indexed, and why.
    public var skipped: [SkippedMember] = []
    /// Members that are no part of a zoo, by reason.
    public var ignored: [String: Int] = [:]
    /// Wall-clock seconds.
    public var seconds = 0.0
    /// True when nothing had changed since the last complete run.
    public var wasComplete = false
    /// The file of metrics beside the source, where there is one.
    public var metrics: MetricImport?

    init(source: String, zoo: String) {
        self.source = source
        self.zoo = zoo
    }
}

/// Who hears how far indexing got.
public protocol IndexObserver: Sendable {
    /// The models of the source are known.
    func found(models: Int, checkpoints: Int)
    /// Some more were recorded.
    func recorded(models: Int, checkpoints: Int)
}
