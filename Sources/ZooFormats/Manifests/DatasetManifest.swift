import ZooBase

/// A data set that zoos were trained on: its shape, its splits and how its inputs were normalised, as the zoos used it.
public struct DatasetManifest: Sendable {
    /// The name on the command line; the file is `datasets/<id>.yaml`.
    public var id: String
    /// One line.
    public var title: String
    /// `classification`, `language-modelling` or `physics`.
    public var task: String
    /// How many classes.
    public var classCount: Int?
    /// An SPDX identifier, or `not stated`.
    public var licence: String
    /// Where its files are.
    public var sources: [Manifest.Source]
    /// How to cite it.
    public var citation: Manifest.Citation?
    /// The ways in which zoos split and prepared it.
    public var preparations: [Preparation]
    /// Anything else worth knowing.
    public var notes: [String]
    /// Its files, by split, or one for all under nil; empty when the data are elsewhere. Paths count from the manifest.
    public var files: [(split: String?, path: String)]
    /// The reader of the files; nil to recognise them.
    public var format: String?
    /// The tensor or column of the labels, when it is not the usual one.
    public var labelName: String?
    /// What inputs are divided by: 255 for bytes, 16 for the digits of scikit-learn.
    public var scale: Double?
    /// Mean of each channel (or one of all) that is taken off after scaling, unless a preparation is chosen.
    public var mean: [Double]
    /// Deviation of each channel that inputs are divided by.
    public var std: [Double]
    /// Height and width that pictures are resampled to.
    public var resize: [Int]?
    /// Colours that pictures are converted to: 1 or 3.
    public var channels: Int?
    /// Labels that stand for others: `{10: 0}`.
    public var labelMap: [Int: Int]
    /// Splits carved out of others.
    public var carvings: [Carving]

    /// A split that is a seeded fraction of another, which keeps the rest.
    public struct Carving: Sendable, Hashable {
        /// The new split.
        public var name: String
        /// The split it is taken from.
        public var from: String
        /// How much of it, above 0 and under 1.
        public var fraction: Double
        /// The seed of the choice.
        public var seed: UInt64
    }

    /// One way to split and normalise the data.
    public struct Preparation: Sendable {
        /// A name: `default` or that of the zoos.
        public var name: String
        /// The zoos that use it.
        public var zoos: [String]
        /// The shape of one input (channels, height, width).
        public var inputShape: [Int]
        /// Samples in the training, validation and test split.
        public var train: Int?
        /// Samples for validation.
        public var validation: Int?
        /// Samples for testing.
        public var test: Int?
        /// Per-channel mean taken off the inputs (one value for all channels, or one each).
        public var mean: [Double]
        /// Per-channel standard deviation the inputs are divided by.
        public var std: [Double]
        /// Height and width that pictures are resampled to.
        public var resize: [Int]?
        /// Colours that pictures are converted to: 1 or 3.
        public var channels: Int?
        /// What else is done to the inputs, in words.
        public var note: String?
    }
}

extension DatasetManifest {
    package static let keys = ManifestKeys(
        required: ["id", "title", "task", "licence"],
        optional: [
            "classes", "sources", "citation", "preparations", "notes", "files", "format", "label", "scale",
            "normalise", "resize", "channels", "labels", "splits",
        ])
    package static let normaliseKeys = ManifestKeys(required: ["mean", "std"], optional: [])
    package static let carvingKeys = ManifestKeys(required: ["from", "fraction"], optional: ["seed"])
    package static let preparationKeys = ManifestKeys(
        required: ["name"],
        optional: ["zoos", "input", "train", "validation", "test", "mean", "std", "resize", "channels", "note"])
    static let tasks = ["classification", "language-modelling", "physics"]

    /// Reads the manifest's text.
    ///
    /// - Throws: as `Manifest.init(yaml:file:)`.
    public init(yaml text: String, file: String) throws {
        let root = try ManifestNode(text: text, file: file)
        let members = try root.object(Self.keys)
        id = try Manifest.identifier(members["id"] ?? root)
        title = try (members["title"] ?? root).text()
        task = try (members["task"] ?? root).choice(Self.tasks)
        licence = try (members["licence"] ?? root).text()
        classCount = try members["classes"]?.count()
        sources = try members["sources"]?.list().map(Manifest.Source.init) ?? []
        citation = try members["citation"].map(Manifest.Citation.init)
        preparations = try members["preparations"]?.list().map(Preparation.init) ?? []
        notes = try members["notes"]?.list().map { try $0.text() } ?? []
        files = try members["files"].map(Self.files) ?? []
        format = try members["format"]?.text()
        labelName = try members["label"]?.text()
        scale = try members["scale"].map { try Self.positive($0) }
        let normalise = try members["normalise"]?.object(Self.normaliseKeys)
        mean = try normalise?["mean"]?.list().map(Preparation.number) ?? []
        std = try normalise?["std"]?.list().map(Self.positive) ?? []
        guard mean.count == std.count else { throw root.fault("\(mean.count) means but \(std.count) deviations") }
        resize = try members["resize"].map(Self.size)
        channels = try members["channels"].map(Self.channels)
        labelMap = try members["labels"].map(Self.labelMap) ?? [:]
        carvings = try members["splits"]?.openObject().map { try Carving(name: $0.key, $0.value) } ?? []
    }

    private static func files(_ node: ManifestNode) throws -> [(split: String?, path: String)] {
        if node.isMapping { return try node.openObject().map { ($0.key, try $0.value.text()) } }
        return [(nil, try node.text())]
    }

    static func positive(_ node: ManifestNode) throws -> Double {
        let number = try Preparation.number(node)
        guard number > 0 else { throw node.fault("expected a number above zero") }
        return number
    }

    static func size(_ node: ManifestNode) throws -> [Int] {
        let extents = try node.list().map { try $0.count() }
        guard extents.count == 2, extents.allSatisfy({ (1...1 << 14).contains($0) }) else {
            throw node.fault("expected height and width, from 1 to 16384")
        }
        return extents
    }

    static func channels(_ node: ManifestNode) throws -> Int {
        let count = try node.count()
        guard count == 1 || count == 3 else { throw node.fault("expected 1 or 3") }
        return count
    }

    private static func labelMap(_ node: ManifestNode) throws -> [Int: Int] {
        var map: [Int: Int] = [:]
        for (key, value) in try node.openObject() {
            guard let from = Int(key) else { throw value.fault("'\(key)' is no whole number") }
            map[from] = try value.count()
        }
        return map
    }
}

extension DatasetManifest.Carving {
    init(name: String, _ node: ManifestNode) throws {
        let members = try node.object(DatasetManifest.carvingKeys)
        self.name = name
        from = try members["from"]?.text() ?? ""
        fraction = try members["fraction"].map { try DatasetManifest.positive($0) } ?? 0
        seed = UInt64(try members["seed"]?.count() ?? 0)
        guard fraction < 1 else { throw node.fault("a fraction lies above 0 and under 1") }
    }
}

extension DatasetManifest.Preparation {
    init(_ node: ManifestNode) throws {
        let members = try node.object(DatasetManifest.preparationKeys)
        name = try members["name"]?.text() ?? ""
        zoos = try members["zoos"]?.list().map(Manifest.identifier) ?? []
        inputShape = try members["input"]?.list().map { try $0.count() } ?? []
        train = try members["train"]?.count()
        validation = try members["validation"]?.count()
        test = try members["test"]?.count()
        mean = try members["mean"]?.list().map(Self.number) ?? []
        std = try members["std"]?.list().map(Self.number) ?? []
        resize = try members["resize"].map(DatasetManifest.size)
        channels = try members["channels"].map(DatasetManifest.channels)
        note = try members["note"]?.text()
        guard mean.count == std.count else { throw node.fault("\(mean.count) means but \(std.count) deviations") }
    }

    static func number(_ node: ManifestNode) throws -> Double {
        guard let number = node.json().double, number.isFinite else { throw node.fault("expected a number") }
        return number
    }
}
