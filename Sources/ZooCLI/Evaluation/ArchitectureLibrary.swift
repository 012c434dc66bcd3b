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
    /// - Throws: `usage` for a setting without `=`; what is wrong with the first bad file.
    init(_ session: Session, explicit name: String?, settings: [String]) throws {
        let known = try Self.resolver()
        explicit =
            if let name, access(name, F_OK) == 0 { try Self.template(name) } else {
                try name.map(known.template)
            }
        resolver = known
        self.settings = try Self.parse(settings)
        catalogPath = session.catalogPath
    }

    /// The architecture files of the `manifests` folder.
    static func resolver() throws -> ArchitectureResolver {
        let root = Terminal.environment("ZOO_MANIFESTS") ?? folder
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
        let result = Result { try resolver.choose(request, explicit: explicit) }.mapError(ZooError.wrap)
        chosen[request] = result
        return try result.get()
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
