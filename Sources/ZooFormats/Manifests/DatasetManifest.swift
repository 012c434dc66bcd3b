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
        /// What else is done to the inputs, in words.
        public var note: String?
    }
}

extension DatasetManifest {
    package static let keys = ManifestKeys(
        required: ["id", "title", "task", "licence"],
        optional: ["classes", "sources", "citation", "preparations", "notes"])
    package static let preparationKeys = ManifestKeys(
        required: ["name"], optional: ["zoos", "input", "train", "validation", "test", "mean", "std", "note"])
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
        note = try members["note"]?.text()
        guard mean.count == std.count else { throw node.fault("\(mean.count) means but \(std.count) deviations") }
    }

    private static func number(_ node: ManifestNode) throws -> Double {
        guard let number = node.json().double, number.isFinite else { throw node.fault("expected a number") }
        return number
    }
}
