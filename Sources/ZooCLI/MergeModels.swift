import ZooBase
import ZooCatalog
import ZooFormats
import ZooMerge
import ZooTensor

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Opens the models that a recipe names: folders and files by path, everything else as selectors of the catalog.
final class MergeModels {
    private let catalogPath: String
    /// What was opened, in order: the inputs of the plan.
    private(set) var opened: [SelectedCheckpoint] = []

    init(catalogPath: String) { self.catalogPath = catalogPath }

    /// The models of one reference; a query may name several.
    func open(_ reference: ModelReference) throws -> [MergeInput] {
        let resolver = SelectorResolver(catalogPath: catalogPath)
        // A path may hold a plus sign of its own.
        let whole = reference.description
        let found: [SelectedCheckpoint]
        if let adapter = reference.adapter, !Self.isReadable(whole) {
            found = try resolver.resolve(reference.path, adapter: adapter)
        } else {
            found = try resolver.resolve([whole])
        }
        opened += found
        return try found.map { try input($0) }
    }

    private func input(_ checkpoint: SelectedCheckpoint) throws -> MergeInput {
        let folder = checkpoint.place.flatMap { Self.isFolder($0) ? $0 : nil }
        let source = try checkpoint.open()
        let config = try folder.flatMap { try self.config(inFolder: $0) }
        return MergeInput(
            label: checkpoint.label, source: source, config: config.map { Self.adapted($0, source) }, folder: folder)
    }

    /// A configuration with the vocabulary of embeddings that an adapter replaced.
    static func adapted(_ config: JSONObject, _ source: any TensorSource) -> JSONObject {
        guard let adapted = source as? AdaptedSource, let rows = adapted.replacedVocabulary,
            config.contains("vocab_size")
        else { return config }
        var config = config
        config["vocab_size"] = .int(Int64(rows))
        return config
    }

    func config(inFolder folder: String) throws -> JSONObject? {
        let path = "\(folder)/config.json"
        guard Self.isReadable(path) else { return nil }
        let json = try ZooError.locate(path) { try JSONParser.parse(try Bytes(mapping: path)) }
        guard let object = json.object else { throw ZooError(.corrupt, "\(path): not a JSON object") }
        return object
    }

    static func isReadable(_ path: String) -> Bool { access(path, R_OK) == 0 }

    static func isFolder(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }
}
