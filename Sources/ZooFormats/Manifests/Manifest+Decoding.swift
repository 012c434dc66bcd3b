import ZooBase

extension Manifest {
    package static let keys = ManifestKeys(
        required: ["id", "title", "licence", "layout"],
        optional: [
            "summary", "sources", "citation", "architectures", "datasets", "models", "checkpoints", "experiments",
            "grid", "aliases", "results", "training", "defects",
        ])
    package static let sourceKeys = ManifestKeys(
        required: [], optional: ["zenodo", "url", "file", "bytes", "sha256", "note"])
    package static let citationKeys = ManifestKeys(required: [], optional: ["text", "bibtex", "doi", "arxiv"])
    package static let layoutKeys = ManifestKeys(required: ["kind"], optional: ["trees", "ignore"])
    package static let treeKeys = ManifestKeys(
        required: ["checkpoints"],
        optional: ["optimizers", "config", "config_key", "config_value", "results", "progress"])
    package static let experimentKeys = ManifestKeys(
        required: ["name"], optional: ["note", "dataset", "architecture", "models", "fixed", "swept"])
    package static let gridKeys = ManifestKeys(required: ["load", "temperature"], optional: ["repetition"])
    package static let directionKeys = ManifestKeys(required: ["key", "increases"], optional: ["values"])
    package static let axisKeys = ManifestKeys(required: ["key"], optional: ["values"])
    package static let resultsKeys = ManifestKeys(
        required: [], optional: ["accuracy_unit", "epoch_key", "planned_epochs_key", "columns"])

    /// Reads a manifest's text.
    ///
    /// - Parameter file: its name, for messages.
    /// - Throws: `corrupt` naming file, line and key: an unknown key (with the nearest known one), a missing one, a
    ///   value of another kind; `usage` for a pattern that makes no sense; `limit`.
    public init(yaml text: String, file: String) throws {
        let root = try ManifestNode(text: text, file: file)
        let members = try root.object(Self.keys)
        // The required keys are there: `object` has checked.
        id = try Self.identifier(members["id"] ?? root)
        title = try (members["title"] ?? root).text()
        licence = try (members["licence"] ?? root).text()
        layout = try Layout(members["layout"] ?? root)
        summary = try members["summary"]?.text()
        sources = try members["sources"]?.list().map(Source.init) ?? []
        citation = try members["citation"].map(Citation.init)
        architectures = try members["architectures"]?.list().map { try $0.text() } ?? []
        datasets = try members["datasets"]?.list().map(Self.identifier) ?? []
        modelCount = try members["models"]?.count()
        checkpointCount = try members["checkpoints"]?.count()
        experiments = try members["experiments"]?.list().map(Experiment.init) ?? []
        grid = try members["grid"].map(Grid.init)
        aliases = try members["aliases"]?.openObject().map { ($0.key, try $0.value.text()) } ?? []
        results = try members["results"].map(Self.results) ?? TrialOptions()
        training = try members["training"].map(Self.settings) ?? JSONObject()
        defects = try members["defects"]?.list().map { try $0.text() } ?? []
    }

    /// A name of small letters, digits and `-`.
    static func identifier(_ node: ManifestNode) throws -> String {
        let text = try node.text()
        let isName = text.utf8.allSatisfy { $0 == 0x2D || $0 &- 0x30 < 10 || $0 &- 0x61 < 26 }
        guard isName, text.utf8.first != 0x2D else {
            throw node.fault("'\(text)' is no identifier; expected small letters, digits and '-'")
        }
        return text
    }

    /// A mapping of settings with any keys.
    static func settings(_ node: ManifestNode) throws -> JSONObject {
        JSONObject(try node.openObject().map { ($0.key, $0.value.json()) })
    }

    private static func results(_ node: ManifestNode) throws -> TrialOptions {
        let members = try node.object(resultsKeys)
        var options = TrialOptions()
        options.accuracyUnit = try members["accuracy_unit"].flatMap {
            AccuracyUnit(rawValue: try $0.choice(AccuracyUnit.allCases.map(\.rawValue)))
        }
        options.epochKey = try members["epoch_key"]?.text()
        options.plannedEpochsKey = try members["planned_epochs_key"]?.text()
        for (name, key) in try members["columns"]?.openObject() ?? [] {
            let names = ResultColumn.allCases.map(\.name)
            guard let column = ResultColumn.allCases.first(where: { $0.name == name }) else {
                throw key.fault(
                    "'\(name)' is no result column; expected \(names.joined(separator: ", "))",
                    hint: NearestName.hint(name, in: names, kind: "names"))
            }
            options.columns[try key.text()] = column
        }
        return options
    }
}

extension Manifest.Source {
    init(_ node: ManifestNode) throws {
        let members = try node.object(Manifest.sourceKeys)
        guard members["zenodo"] != nil || members["url"] != nil || members["file"] != nil else {
            throw node.fault("a source needs 'zenodo', 'url' or 'file'")
        }
        zenodo = try members["zenodo"]?.count()
        url = try members["url"]?.text()
        file = try members["file"]?.text()
        byteCount = try members["bytes"]?.count()
        sha256 = try members["sha256"]?.text()
        note = try members["note"]?.text()
        if let digest = sha256, let node = members["sha256"] {
            let isHexadecimal = digest.utf8.allSatisfy { $0 &- 0x30 < 10 || $0 &- 0x61 < 6 }
            guard digest.utf8.count == 64, isHexadecimal else { throw node.fault("expected 64 hexadecimal digits") }
        }
    }
}

extension Manifest.Citation {
    init(_ node: ManifestNode) throws {
        let members = try node.object(Manifest.citationKeys)
        guard !members.isEmpty else { throw node.fault("expected 'text', 'bibtex', 'doi' or 'arxiv'") }
        text = try members["text"]?.text()
        bibtex = try members["bibtex"]?.text()
        doi = try members["doi"]?.text()
        arxiv = try members["arxiv"]?.text()
    }
}

extension Manifest.Layout {
    init(_ node: ManifestNode) throws {
        let members = try node.object(Manifest.layoutKeys)
        kind = try members["kind"]?.choice(ZooLayouts.names) ?? ""
        trees = try members["trees"]?.list().map(Self.tree) ?? []
        ignored = try members["ignore"]?.list().map(Self.pattern) ?? []
        if kind == "tree", trees.isEmpty { throw node.fault("layout 'tree' needs 'trees'") }
        if kind != "tree", !trees.isEmpty || !ignored.isEmpty {
            throw node.fault("'trees' and 'ignore' belong to layout 'tree'; the layout here is '\(kind)'")
        }
    }

    private static func pattern(_ node: ManifestNode) throws -> PathPattern {
        do { return try PathPattern(node.text()) } catch let error as ZooError {
            throw error.message.hasPrefix("pattern") ? node.fault(error.message, code: error.code) : error
        }
    }

    private static func tree(_ node: ManifestNode) throws -> TreeGroup {
        let members = try node.object(Manifest.treeKeys)
        let checkpoints = try members["checkpoints"]?.list().map(pattern) ?? []
        let optimizers = try members["optimizers"]?.list().map(pattern) ?? []
        let key = try members["config_key"].map { node in node.json() == .string("") ? "" : try node.text() }
        do {
            return try TreeGroup(
                checkpoints: checkpoints, optimizers: optimizers, config: members["config"].map(pattern),
                configKey: key, configValue: members["config_value"]?.text() ?? "{model}",
                results: members["results"].map(pattern), progress: members["progress"].map(pattern))
        } catch let error as ZooError where error.code == .usage && !error.message.hasPrefix(node.file) {
            throw node.fault(error.message, code: .usage)
        }
    }
}

extension Manifest.Experiment {
    init(_ node: ManifestNode) throws {
        let members = try node.object(Manifest.experimentKeys)
        name = try members["name"]?.text() ?? ""
        note = try members["note"]?.text()
        dataset = try members["dataset"].map(Manifest.identifier)
        architecture = try members["architecture"]?.text()
        modelCount = try members["models"]?.count()
        fixed = try members["fixed"].map(Manifest.settings) ?? JSONObject()
        swept =
            try members["swept"]?.openObject().map { key, value in
                Manifest.Axis(key: key, values: try value.list().map { $0.json() })
            } ?? []
    }
}

extension Manifest.Axis {
    init(_ members: [String: ManifestNode]) throws {
        key = try members["key"]?.text() ?? ""
        values = try members["values"]?.list().map { $0.json() } ?? []
    }
}

extension Manifest.Grid {
    init(_ node: ManifestNode) throws {
        let members = try node.object(Manifest.gridKeys)
        load = try Self.direction(members["load"] ?? node, names: ["load", "capacity"])
        temperature = try Self.direction(members["temperature"] ?? node, names: ["temperature", "coldness"])
        repetition = try members["repetition"].map { try Manifest.Axis($0.object(Manifest.axisKeys)) }
    }

    /// `increases: load` when a larger value is more of the axis' quantity, `increases: capacity` (or `coldness`)
    /// when it is less.
    private static func direction(_ node: ManifestNode, names: [String]) throws -> Direction {
        let members = try node.object(Manifest.directionKeys)
        let increases = try members["increases"]?.choice(names) == names[0]
        return Direction(axis: try Manifest.Axis(members), increases: increases)
    }
}
