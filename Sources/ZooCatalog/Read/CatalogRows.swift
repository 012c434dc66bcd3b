import ZooBase
import ZooTensor

/// A checkpoint with all that is needed to read its weights.
public struct CheckpointRow: Sendable, Hashable {
    /// The catalog id.
    public var id: Int64
    /// The model's id.
    public var modelID: Int64
    /// The model's name.
    public var model: String
    /// The zoo's name.
    public var zoo: String
    /// The architecture, where known.
    public var architecture: String?
    /// The epoch, where there is one.
    public var epoch: Int?
    /// The results of the epoch.
    public var results: EpochValues
    /// The source's id.
    public var sourceID: Int64
    /// The source's path.
    public var sourcePath: String
    /// The source's kind (`zip`, `folder`, …).
    public var sourceKind: String
    /// The member's path inside the source.
    public var member: String
    /// The first stored byte in the source; nil when it cannot be addressed.
    public var offset: Int?
    /// How many bytes are stored.
    public var storedBytes: Int?
    /// How they are stored.
    public var encoding: CheckpointEncoding
    /// How many bytes when unpacked.
    public var byteCount: Int
    /// The format (`pytorch`, `safetensors`, …).
    public var format: String
    /// The layout's id; nil when the tensors could not be listed.
    public var layoutID: Int64?
    /// Hexadecimal digest of the unpacked bytes, where computed.
    public var digest: String?
    /// Whether the numbers are sound; nil: not checked.
    public var health: CheckpointHealth?
    /// The source's size when it was indexed; nil for a folder.
    public var sourceByteCount: Int?
    /// The source's time when it was indexed, nanoseconds since 1970; nil for a folder.
    public var sourceModified: Int?

    static let columns = """
        c.id, c.model_id, m.name, z.name, m.architecture, c.epoch, \(EpochValues.columns.map { "c.\($0)" }
        .joined(separator: ", ")), c.nan_mask, o.id, o.path, o.kind, m.path, c.path, c.offset, c.stored_bytes,
        c.encoding, c.byte_count, c.format, c.layout_id, c.digest, c.health, o.byte_count, o.modified
        """
    static let joins = """
        CROSS JOIN model m ON m.id = c.model_id CROSS JOIN zoo z ON z.id = m.zoo_id
        CROSS JOIN source o ON o.id = c.source_id
        """

    init(_ row: SQLStatement) throws {
        id = row.int(0)
        modelID = row.int(1)
        model = row.text(2)
        zoo = row.text(3)
        architecture = row.optionalText(4)
        epoch = row.optionalInt(5)
        results = EpochValues(from: row, at: 6)
        sourceID = row.int(14)
        sourcePath = row.text(15)
        sourceKind = row.text(16)
        member = [row.text(17), row.text(18)].filter { !$0.isEmpty }.joined(separator: "/")
        offset = row.optionalInt(19)
        storedBytes = row.optionalInt(20)
        let encoding = row.text(21)
        guard let known = CheckpointEncoding(rawValue: encoding) else {
            throw ZooError(.corrupt, "checkpoint \(id): the catalog has the unknown encoding '\(encoding)'")
        }
        self.encoding = known
        byteCount = Int(row.int(22))
        format = row.text(23)
        layoutID = row.optionalInt(24).map { Int64($0) }
        digest = row.optionalText(25)
        health = row.optionalText(26).flatMap(CheckpointHealth.init)
        sourceByteCount = row.optionalInt(27)
        sourceModified = row.optionalInt(28)
    }
}

/// A model with its configuration and where it stands.
public struct ModelRow: Sendable {
    /// The catalog id.
    public var id: Int64
    /// The name.
    public var name: String
    /// The zoo.
    public var zoo: ZooRecord
    /// The source's path and kind.
    public var sourcePath: String
    /// The source's kind.
    public var sourceKind: String
    /// The folder inside the source.
    public var path: String
    /// The architecture, where known.
    public var architecture: String?
    /// What is known to be wrong.
    public var flags: ModelFlags
    /// The configuration as the source has it.
    public var config: JSONObject
    /// Trial id, date, host.
    public var bookkeeping: JSONObject
    /// How many checkpoints.
    public var checkpointCount: Int
    /// The epochs of the first, last and best checkpoint.
    public var firstEpoch: Int?
    /// The epoch of the last checkpoint.
    public var lastEpoch: Int?
    /// The epoch of the best checkpoint.
    public var bestEpoch: Int?
    /// Parameters of the last checkpoint.
    public var parameterCount: Int?
}

/// A value measured on a checkpoint or a pair of them.
public struct MetricRow: Sendable, Hashable {
    /// The checkpoint.
    public var checkpoint: Int64
    /// The second of a pair.
    public var other: Int64?
    /// What was measured.
    public var name: String
    /// The value; NaN is kept.
    public var value: Double
    /// Its standard error, where known.
    public var error: Double?
    /// The run that measured it.
    public var run: Int64?
    /// Why there is no value, or what is wrong with it.
    public var note: String?

    /// Creates a row.
    public init(
        checkpoint: Int64, other: Int64? = nil, name: String, value: Double, error: Double? = nil, run: Int64? = nil,
        note: String? = nil
    ) {
        self.checkpoint = checkpoint
        self.other = other
        self.name = name
        self.value = value
        self.error = error
        self.run = run
        self.note = note
    }
}

/// Where a derived checkpoint comes from: one parent and its part.
public struct LineageRow: Sendable, Hashable {
    /// The derived checkpoint.
    public var child: Int64
    /// What it was made from.
    public var parent: Int64
    /// `ingredient`, `base`, `task`, …
    public var role: String
    /// The weight it entered with, where there is one.
    public var coefficient: Double?
    /// The run that made it.
    public var run: Int64?

    /// Creates a row.
    public init(child: Int64, parent: Int64, role: String, coefficient: Double? = nil, run: Int64? = nil) {
        self.child = child
        self.parent = parent
        self.role = role
        self.coefficient = coefficient
        self.run = run
    }
}

/// How something was computed: enough to do it again.
public struct RunRecord: Sendable, Hashable {
    /// The command line.
    public var command: String
    /// The seed.
    public var seed: Int?
    /// The data set's name.
    public var dataset: String?
    /// The version of the tool.
    public var toolVersion: String
    /// When it began, ISO 8601 in UTC.
    public var started: String
    /// How long it took.
    public var seconds: Double?
    /// The machine.
    public var machine: String?
    /// What its values depend on beyond the checkpoints, as text: equal text, equal values.
    public var settings: String?

    /// Creates a record.
    public init(
        command: String, seed: Int? = nil, dataset: String? = nil, toolVersion: String, started: String,
        seconds: Double? = nil, machine: String? = nil, settings: String? = nil
    ) {
        self.command = command
        self.seed = seed
        self.dataset = dataset
        self.toolVersion = toolVersion
        self.started = started
        self.seconds = seconds
        self.machine = machine
        self.settings = settings
    }
}

/// A data set as the catalog knows it.
public struct DatasetRecord: Sendable, Hashable {
    /// Unique name.
    public var name: String
    /// Where it is.
    public var path: String?
    /// A digest of its bytes.
    public var digest: String?
    /// Examples per split.
    public var splits: JSONObject
    /// Shape per array.
    public var shapes: JSONObject

    /// Creates a record.
    public init(
        name: String, path: String? = nil, digest: String? = nil, splits: JSONObject = JSONObject(),
        shapes: JSONObject = JSONObject()
    ) {
        self.name = name
        self.path = path
        self.digest = digest
        self.splits = splits
        self.shapes = shapes
    }
}
