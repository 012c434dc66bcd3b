import ZooBase
import ZooFormats
import ZooNN
import ZooTrain

/// What a model serves: classes of a data set under fixed transforms of its inputs.
struct RetrievalTask: Sendable, Hashable {
    /// `rot90:1,3,5`, or the manifest's name.
    var name: String
    /// The data's classes; nil for all.
    var classes: [Int]?
    /// The transforms in their order.
    var transforms: [InputTransform] = []

    /// The task of a model that `zoo train` made; nil when its configuration says nothing of one.
    init?(config: JSONObject) throws {
        let classes = config["dataset::classes"]?.array?.compactMap(\.int)
        let transforms = try (config["dataset::transform"]?.array ?? []).map { try InputTransform($0) }
        guard classes != nil || !transforms.isEmpty else { return nil }
        self.init(classes: classes, transforms: transforms)
    }

    init(classes: [Int]?, transforms: [InputTransform], name: String? = nil) {
        self.classes = classes
        self.transforms = transforms
        let which = classes.map { $0.sorted().map(String.init).joined(separator: ",") } ?? "all"
        self.name = ""
        self.name = name ?? "\(domain):\(which)"
    }

    /// A task by the name that another was given: `rot90+noise=0.5:1,3,5`.
    ///
    /// - Throws: `usage` for a name of another form.
    init(named name: String) throws {
        let parts = name.split(separator: ":", maxSplits: 1).map(String.init)
        guard parts.count == 2 else {
            throw ZooError(.usage, "'\(name)' does not say its classes", hint: "name the tasks in a manifest (--tasks)")
        }
        let classes = parts[1].split(separator: ",").map { Int($0) }
        guard parts[1] == "all" || !classes.contains(nil) else {
            throw ZooError(.usage, "'\(name)': the classes are whole numbers")
        }
        transforms =
            try parts[0] == "identity"
            ? [] : parts[0].split(separator: "+").map { try InputTransform(.string(String($0))) }
        self.classes = parts[1] == "all" ? nil : classes.compactMap { $0 }
        self.name = name
    }

    /// The kind of inputs it has; tasks of one domain differ in their classes alone.
    var domain: String { transforms.isEmpty ? "identity" : transforms.map(\.description).joined(separator: "+") }

    /// The output of a model for each of the data's classes `labels`: classes in the order in which the task lists them
    /// when the model has as many outputs, else the numbers of the classes themselves; nil when neither fits.
    func outputs(for labels: [Int], of classCount: Int) -> [Int]? {
        let listed = classes ?? labels
        if listed.count == classCount {
            let places = labels.map { listed.firstIndex(of: $0) }
            return places.contains(nil) ? nil : places.compactMap { $0 }
        }
        return labels.allSatisfy { $0 < classCount } ? labels : nil
    }

    /// The samples of the task among those of a data set; labels stay the data's.
    ///
    /// - Throws: `notFound` when it has none of the classes.
    func samples(of data: Samples, seed: UInt64) throws -> Samples {
        try ZooError.locate("task '\(name)'") {
            var settings = TrialSettings()
            settings.classes = classes
            settings.transforms = transforms
            return try TrainingData(train: data).prepared(settings, base: seed).train
        }
    }

    /// A part of samples: at most so many of each class, drawn by a generator.
    ///
    /// - Throws: `mismatch` when a class has fewer than that.
    static func draw(_ samples: Samples, shots: Int, _ generator: inout SeededGenerator) throws -> [Int] {
        try Set(samples.labels).sorted().flatMap { label in
            var members = samples.labels.indices.filter { samples.labels[$0] == label }
            guard members.count >= shots else {
                throw ZooError(
                    .mismatch, "class \(label) has \(members.count) samples; \(shots) are asked for",
                    hint: "ask for fewer with --shots")
            }
            generator.shuffle(&members)
            return Array(members.prefix(shots))
        }
    }
}

/// Tasks and their models in a YAML file.
///
///     tasks:
///       - name: odd digits turned
///         classes: [1, 3, 5, 7, 9]
///         transform: rot90
///         models: ["where:zoo = 'mine'", private.safetensors]
struct TaskManifest {
    /// A task and the selectors of its models.
    var tasks: [(task: RetrievalTask, models: [String])] = []

    /// Reads a manifest.
    ///
    /// - Throws: `corrupt` or `usage` with the file and the place.
    init(_ path: String) throws {
        let text = try Bytes(mapping: path).withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
        let root = try ManifestNode(text: text, file: path).json()
        guard let rows = root["tasks"]?.array, root.object?.count == 1 else {
            throw ZooError(
                .usage, "\(path): expected one key, 'tasks', with a list", hint: "docs/retrieval.md shows one")
        }
        var names = Set<String>()
        for (place, row) in rows.enumerated() {
            try ZooError.locate("\(path): tasks[\(place)]") {
                let object = row.object ?? JSONObject()
                let known = ["name", "classes", "transform", "models"]
                for (key, _) in object where !known.contains(key) {
                    throw ZooError(
                        .usage, "unknown key '\(key)'", hint: NearestName.hint(key, in: known, kind: "keys"))
                }
                let list = object["classes"]?.array
                let classes = list?.compactMap(\.int)
                guard classes?.count == list?.count, classes?.isEmpty != true else {
                    throw ZooError(.usage, "'classes' is a list of whole numbers")
                }
                let value = object["transform"] ?? .null
                let transforms = try value == .null ? [] : (value.array ?? [value]).map { try InputTransform($0) }
                let task = RetrievalTask(classes: classes, transforms: transforms, name: object["name"]?.string)
                guard names.insert(task.name).inserted else {
                    throw ZooError(.usage, "the task '\(task.name)' is there twice")
                }
                let models =
                    object["models"]?.array?.compactMap(\.string) ?? object["models"]?.string.map { [$0] } ?? []
                tasks.append((task, models))
            }
        }
    }
}
