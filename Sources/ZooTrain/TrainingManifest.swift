import ZooBase
import ZooFormats

/// A manifest of `zoo train`: one data set, and trials over a grid of settings.
package struct TrainingManifest: Sendable {
    /// The data: a file, and the names of its splits.
    package struct Data: Sendable, Hashable {
        package var path = ""
        package var train = "train"
        package var validation: String?
        package var test: String?
        /// The tensor of the training labels, when it is another than `y_SPLIT`.
        package var labels: String?
    }

    /// The zoo's name and that of its folder.
    package let id: String
    package let data: Data
    /// The trials in order.
    package let trials: [TrialSettings]

    package static let rootKeys = [
        "id", "title", "summary", "architecture", "data", "optimizer", "schedule", "init", "epochs", "batch_size",
        "drop_last", "label_smoothing", "label_noise", "augment", "transform", "classes", "relabel", "seeds", "grid",
        "trials", "checkpoints", "base", "freeze",
    ]

    /// Short names of grid axes, and the place each one sets.
    static let axes: [String: [String]] = {
        var axes: [String: [String]] = [
            "nlin": ["architecture", "activation"], "optimizer": ["optimizer", "name"],
            "schedule": ["schedule", "name"], "init": ["init", "name"], "seed": ["seed"],
            "checkpoints": ["checkpoints"],
        ]
        for key in [
            "width", "activation", "dropout", "hidden", "blocks", "channels", "kernels", "patch", "dim", "depth",
            "heads",
        ] {
            axes[key] = ["architecture", key]
        }
        for key in ["lr", "momentum", "weight_decay", "dampening", "nesterov", "betas", "eps"] {
            axes[key] = ["optimizer", key]
        }
        for key in [
            "epochs", "batch_size", "drop_last", "label_smoothing", "label_noise", "transform", "classes", "relabel",
            "base", "freeze",
        ] { axes[key] = [key] }
        return axes
    }()

    /// The most trials of a manifest.
    package static let maximumTrials = 100_000

    /// Reads a manifest's text.
    ///
    /// - Throws: `corrupt` for text that is no YAML, `limit`; `usage` listing everything that is wrong, with the
    ///   nearest names.
    package init(yaml text: String, file: String) throws {
        let problems = ManifestProblems()
        let root = ManifestSection(try ManifestNode(text: text, file: file).json(), path: "", problems)
        root.allow(Self.rootKeys)
        id = Self.identifier(root)
        data = Self.data(root)
        for key in ["architecture", "epochs"] where root.object[key] == nil && Self.isNeeded(key, root) {
            problems.add("'\(key)' is missing")
        }
        let assignments = try Self.assignments(root)
        var trials: [TrialSettings] = []
        for axes in assignments {
            trials.append(Self.trial(root, axes))
            // One bad value is in many trials; a few of them say enough.
            if problems.list.count > 50 { break }
        }
        try problems.check(file)
        guard !trials.isEmpty else { throw ZooError(.usage, "\(file): the grid has no trials") }
        self.trials = trials
    }

    private static func isNeeded(_ key: String, _ root: ManifestSection) -> Bool {
        let isSwept = root.object["grid"]?.object?.contains(key) ?? false
        return !isSwept && !(key == "architecture" && root.object["base"] != nil)
    }

    private static func identifier(_ root: ManifestSection) -> String {
        guard let id = root.text("id") else {
            root.problems.add("'id' is missing")
            return ""
        }
        let isName = id.utf8.allSatisfy { $0 == 0x2D || $0 == 0x5F || $0 &- 0x30 < 10 || $0 | 0x20 &- 0x61 < 26 }
        if !isName || id.hasPrefix("-") { root.fault("id", "'\(id)' is no name; letters, digits, '-' and '_' are") }
        return id
    }

    private static func data(_ root: ManifestSection) -> Data {
        var data = Data()
        if let text = root.object["data"]?.string {
            data.path = text
            data.test = "test"
            return data
        }
        let section = root.section("data")
        section.allow(["path", "train", "validation", "test", "labels"])
        if let path = section.text("path") { data.path = path } else { section.fault("path", "missing") }
        data.train = section.text("train") ?? "train"
        data.validation = section.text("validation")
        data.test = section.text("test")
        data.labels = section.text("labels")
        return data
    }

    // MARK: The grid

    /// The values of the axes of every trial: the grid's product, the explicit trials, each with every seed.
    private static func assignments(_ root: ManifestSection) throws -> [JSONObject] {
        let grid = root.section("grid")
        var product: [JSONObject] = root.object["grid"] == nil && root.object["trials"] != nil ? [] : [JSONObject()]
        for (key, value) in grid.object {
            checkAxis(key, root, grid)
            guard let values = value.array, !values.isEmpty else {
                grid.fault(key, "expected a list of values")
                continue
            }
            guard product.count <= maximumTrials / values.count else {
                throw ZooError(.limit, "the grid has more than \(maximumTrials) trials")
            }
            product = product.flatMap { axes in
                values.map { value in
                    var next = axes
                    next[key] = value
                    return next
                }
            }
        }
        if let value = root.object["trials"], value != .null, value.array == nil {
            root.fault("trials", "expected a list of mappings, found \(value.text())")
        }
        for (index, value) in (root.object["trials"]?.array ?? []).enumerated() {
            let trial = ManifestSection(value, path: "trials[\(index)]", root.problems)
            for (key, _) in trial.object { checkAxis(key, root, trial) }
            product.append(trial.object)
        }
        return try seeded(product, root)
    }

    /// Every trial with every seed.
    ///
    /// - Throws: `limit` for more than `maximumTrials`.
    private static func seeded(_ trials: [JSONObject], _ root: ManifestSection) throws -> [JSONObject] {
        let seeds = try seeds(root)
        let swept = trials.filter { !$0.contains("seed") }.count
        let total = trials.count - swept + swept * seeds.count
        guard total <= maximumTrials else {
            throw ZooError(
                .limit, "grid, trials and seeds: expected at most \(maximumTrials) trials, found \(total)",
                hint: "sweep fewer values, or split the manifest")
        }
        return trials.flatMap { trial in
            trial.contains("seed")
                ? [trial]
                : seeds.map { seed in
                    var next = trial
                    next["seed"] = .int(Int64(seed))
                    return next
                }
        }
    }

    /// The seeds: so many from zero on, or those listed; zero alone when the manifest does not say.
    private static func seeds(_ root: ManifestSection) throws -> [Int] {
        guard let value = root.object["seeds"], value != .null else { return [0] }
        if let count = value.int, count > 0 {
            guard count <= maximumTrials else {
                throw ZooError(.limit, "seeds: expected at most \(maximumTrials), found \(count)")
            }
            return Array(0..<count)
        }
        guard let list = value.array, list.allSatisfy({ ($0.int ?? -1) >= 0 }) else {
            root.fault("seeds", "expected a whole number from 1 on or a list of whole numbers, found \(value.text())")
            return [0]
        }
        let seeds = list.compactMap(\.int)
        if list.isEmpty { root.fault("seeds", "expected at least one") }
        if Set(seeds).count < seeds.count { root.fault("seeds", "a seed is listed twice") }
        return seeds
    }

    /// An axis must set something: by its short name, by a dotted path, or through `$name` somewhere.
    private static func checkAxis(_ key: String, _ root: ManifestSection, _ section: ManifestSection) {
        let head = key.split(separator: ".").first.map(String.init) ?? ""
        guard axes[key] == nil, !(key.contains(".") && rootKeys.contains(head)) else { return }
        if references(.object(root.object)).contains(key) { return }
        section.fault(
            key,
            "sets nothing and no value refers to $\(key) (\(NearestName.hint(key, in: axes.keys.sorted(), kind: "axes")))"
        )
    }

    private static func references(_ value: JSONValue) -> Set<String> {
        switch value {
        case .string(let text): text.hasPrefix("$") ? [String(text.dropFirst())] : []
        case .array(let list): list.reduce(into: []) { $0.formUnion(references($1)) }
        case .object(let object): object.reduce(into: []) { $0.formUnion(references($1.value)) }
        default: []
        }
    }

    // MARK: One trial

    private static func trial(_ root: ManifestSection, _ axes: JSONObject) -> TrialSettings {
        var content = root.object
        for key in ["grid", "trials", "seeds", "data", "id", "title", "summary"] { content[key] = nil }
        for key in ["optimizer", "schedule", "init"] {
            if let name = content[key]?.string { content[key] = .object(JSONObject([("name", .string(name))])) }
        }
        var value = JSONValue.object(content)
        // `hidden: [$width, $width]`: the architecture says itself where the axis goes.
        let placed = references(content["architecture"] ?? .null)
        for (key, setting) in axes where !(Self.axes[key]?.first == "architecture" && placed.contains(key)) {
            // A whole mapping takes the place of the section, a word that of its name.
            let path = Self.axes[key] ?? (key.contains(".") ? key.split(separator: ".").map(String.init) : [])
            let isSection = setting.object != nil && path.last == "name"
            if !path.isEmpty { value = assign(value, isSection ? path.dropLast() : path[...], setting) }
        }
        let resolved = substitute(value, axes, root.problems)
        return TrialReader(ManifestSection(resolved, path: "", root.problems), axes).settings
    }

    private static func assign(_ value: JSONValue, _ path: ArraySlice<String>, _ setting: JSONValue) -> JSONValue {
        guard let key = path.first else { return setting }
        var object = value.object ?? JSONObject()
        object[key] = assign(object[key] ?? .null, path.dropFirst(), setting)
        return .object(object)
    }

    private static func substitute(_ value: JSONValue, _ axes: JSONObject, _ problems: ManifestProblems) -> JSONValue {
        switch value {
        case .string(let text) where text.hasPrefix("$"):
            let name = String(text.dropFirst())
            if let found = axes[name] { return found }
            let names = axes.map(\.key)
            problems.add("\(text): no axis of that name (\(NearestName.hint(name, in: names, kind: "axes")))")
            return .null
        case .array(let list): return .array(list.map { substitute($0, axes, problems) })
        case .object(let object):
            return .object(JSONObject(object.map { ($0.key, substitute($0.value, axes, problems)) }))
        default: return value
        }
    }
}
