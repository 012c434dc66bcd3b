import ZooBase
import ZooCatalog
import ZooFormats
import ZooNN
import ZooTensor

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Finds the architecture of selected checkpoints: options, architecture files, the catalog's configurations.
final class ArchitectureLibrary {
    /// Where architecture files are, from the working folder; `$ZOO_MANIFESTS` names another `manifests` folder.
    private static let folder = "manifests"

    private let resolver: ArchitectureResolver
    private let explicit: ArchitectureTemplate?
    private let settings: JSONObject
    private let catalogPath: String
    private var catalog: Catalog?
    private var configs: [Int64: JSONObject] = [:]
    private var layouts: [Int64: [TensorInfo]] = [:]
    private var chosen: [ArchitectureRequest: Result<ChosenArchitecture, ZooError>] = [:]

    /// Reads options and files.
    ///
    /// - Throws: `usage` for a setting without `=` or one that no architecture has; what is wrong with the first bad file.
    init(_ session: Session, explicit name: String?, settings: [String]) throws {
        let known = try Self.resolver()
        explicit =
            if let name, access(name, F_OK) == 0 { try Self.template(name) } else {
                try name.map(known.template)
            }
        resolver = known
        self.settings = try Self.parse(settings)
        try ZooError.locate("--set") { [explicit, settings = self.settings] in
            try known.check(settings, explicit: explicit)
        }
        catalogPath = session.catalogPath
    }

    private static var root: String { Terminal.environment("ZOO_MANIFESTS") ?? folder }

    /// The architecture files of the `manifests` folder.
    static func resolver() throws -> ArchitectureResolver {
        return ArchitectureResolver(library: try ArchitectureFiles.paths(in: root + "/architectures").map(template))
    }

    private static func template(_ path: String) throws -> ArchitectureTemplate {
        try ZooError.locate(path) { try ArchitectureTemplate(json: ArchitectureFiles.json(at: path)) }
    }

    /// `key=value` pairs; values are JSON where they can be (`[2, 2, 0]`, `12`, `true`), else text.
    static func parse(_ settings: [String]) throws -> JSONObject {
        var object = JSONObject()
        for text in settings {
            guard let equals = text.firstIndex(of: "="), equals > text.startIndex else {
                throw ZooError(.usage, "--set \(text): expected KEY=VALUE")
            }
            let value = String(text[text.index(after: equals)...])
            // No JSON means text: `tanh` needs no quotes.
            object[String(text[..<equals])] = (try? JSONParser.parse(value)) ?? .string(value)
        }
        return object
    }

    /// Names and shapes of a checkpoint's tensors: from the catalog, else from its file.
    func tensors(of checkpoint: SelectedCheckpoint) throws -> [TensorInfo] {
        guard let layout = checkpoint.row?.layoutID else { return try checkpoint.open().tensorInfos }
        if let known = layouts[layout] { return known }
        let infos = try openCatalog().layout(layout).entries.map(\.info)
        layouts[layout] = infos
        return infos
    }

    /// The architecture of a checkpoint for inputs of the given extents.
    ///
    /// - Parameter beside: the configuration in the checkpoint's folder; the catalog's wins.
    func architecture(
        of checkpoint: SelectedCheckpoint, tensors: [TensorInfo], inputShape: [Int], beside: JSONObject = JSONObject()
    ) throws -> ChosenArchitecture {
        let request = ArchitectureRequest(
            tensors: tensors, inputShape: inputShape,
            config: try (checkpoint.row ?? checkpoint.baseRow).map { try beside.updated(with: config(of: $0.modelID)) }
                ?? beside,
            settings: settings)
        if let known = chosen[request] { return try known.get() }
        let result = Result { try resolver.choose(request, explicit: explicit) }.mapError { error in
            var wrapped = ZooError.wrap(error)
            if resolver.library.isEmpty, explicit == nil, [.notFound, .mismatch].contains(wrapped.code) {
                wrapped.hint +=
                    (wrapped.hint.isEmpty ? "" : "; ")
                    + "there are no files in \(Self.root)/architectures ($ZOO_MANIFESTS names another folder)"
            }
            return wrapped
        }
        chosen[request] = result
        return try result.get()
    }

    /// The one architecture of checkpoints whose tensors have the same names and shapes, and whose it is.
    ///
    /// Equal tensors do not make equal networks: activations, strides and padding leave no trace in the weights. Every
    /// checkpoint that has a configuration says what it is; the others follow the first that does.
    ///
    /// - Throws: `mismatch` with two checkpoints and their architectures where the networks differ in more than names.
    func shared(
        by checkpoints: [SelectedCheckpoint], tensors: [TensorInfo], inputShape: [Int]
    ) throws -> (chosen: ChosenArchitecture, owner: SelectedCheckpoint) {
        guard let first = checkpoints.first else {
            throw ZooError(.notFound, "no checkpoint is selected", hint: "'zoo query' shows what there is")
        }
        try loadConfigs(of: checkpoints)
        var found: (chosen: ChosenArchitecture, owner: SelectedCheckpoint)?
        for checkpoint in checkpoints {
            let beside = try configuration(of: checkpoint)
            guard beside.count > 0 else { continue }
            guard let known = found else {
                let own = try architecture(of: checkpoint, tensors: tensors, inputShape: inputShape, beside: beside)
                found = (own, checkpoint)
                continue
            }
            let own: ChosenArchitecture
            do {
                own = try architecture(of: checkpoint, tensors: tensors, inputShape: inputShape, beside: beside)
            } catch let error as ZooError where error.code != .interrupted {
                // A configuration that names no network says as little as none.
                continue
            }
            if let difference = Self.difference(known.chosen.graph, own.graph) {
                throw ZooError(
                    .mismatch,
                    "\(known.owner.label) and \(checkpoint.label) have equal shapes but are different networks: "
                        + "'\(known.chosen.graph.name)' (\(known.chosen.reason)) and '\(own.graph.name)' "
                        + "(\(own.reason)); \(difference)",
                    hint: "choose networks of one architecture, or give all of them one with --architecture or --set")
            }
        }
        if let found { return found }
        return try (architecture(of: first, tensors: tensors, inputShape: inputShape), first)
    }

    /// What is known of a checkpoint's network beside its weights: the catalog's configuration, else its folder's.
    private func configuration(of checkpoint: SelectedCheckpoint) throws -> JSONObject {
        if let row = checkpoint.row ?? checkpoint.baseRow { return try config(of: row.modelID) }
        return try TextModel.configuration(beside: checkpoint.label)
    }

    /// A node without the numbers that only training reads: networks trained with other dropout compute the same.
    private static func evaluated(_ node: GraphNode) -> GraphNode {
        var node = node
        if node.op == .dropout { node.attributes["probability"] = nil }
        if node.op == .batchNorm { node.attributes["momentum"] = nil }
        return node
    }

    /// Where two graphs differ first, in words; nil when they compute the same.
    private static func difference(_ a: ArchitectureGraph, _ b: ArchitectureGraph) -> String? {
        for (own, other) in zip(a.nodes.map(evaluated), b.nodes.map(evaluated)) where own != other {
            guard own.op == other.op else {
                return "'\(own.name)' is \(own.op.rawValue) in the first and \(other.op.rawValue) in the second"
            }
            let (before, after) = (JSONValue.object(own.attributes).text(), JSONValue.object(other.attributes).text())
            return before == after
                ? "'\(own.name)' reads other inputs or tensors"
                : "'\(own.name)' has \(before) in the first and \(after) in the second"
        }
        guard a.nodes.count == b.nodes.count else {
            return "the first has \(a.nodes.count) operations and the second \(b.nodes.count)"
        }
        return a.inputs == b.inputs && a.outputs == b.outputs ? nil : "inputs or outputs differ"
    }

    /// Reads the configurations of checkpoints' models in one go; without it each is read by itself.
    func loadConfigs(of checkpoints: [SelectedCheckpoint]) throws {
        let missing = Set(checkpoints.compactMap(\.row?.modelID)).subtracting(configs.keys)
        guard !missing.isEmpty else { return }
        configs.merge(try openCatalog().configs(of: missing.sorted())) { first, _ in first }
    }

    func config(of model: Int64) throws -> JSONObject {
        if let known = configs[model] { return known }
        let config = try openCatalog().model(model).config
        configs[model] = config
        return config
    }

    private func openCatalog() throws -> Catalog {
        if let catalog { return catalog }
        let opened = try Catalog(catalogPath)
        catalog = opened
        return opened
    }
}

extension JSONObject {
    /// The members of both, the other's where both have one.
    fileprivate func updated(with other: JSONObject) -> JSONObject {
        var result = self
        for (key, value) in other { result[key] = value }
        return result
    }
}
