import ZooBase
import ZooCatalog
import ZooFormats
import ZooMerge

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
        // A path may hold a plus sign of its own.
        let whole = reference.description
        guard reference.adapter == nil || Self.isReadable(whole) else {
            throw ZooError(
                .unsupported, "'\(whole)': adapters in recipes are not read yet",
                hint: "merge the adapter into its model first")
        }
        let selected = try SelectorResolver(catalogPath: catalogPath).resolve([whole])
        let inputs = try selected.map { found in
            let folder = found.row == nil && Self.isFolder(whole) ? whole : nil
            let source = try found.open()
            return MergeInput(
                label: found.label, source: source, config: try folder.flatMap { try config(inFolder: $0) },
                folder: folder)
        }
        opened += selected
        return inputs
    }

    private func config(inFolder folder: String) throws -> JSONObject? {
        let path = "\(folder)/config.json"
        guard Self.isReadable(path) else { return nil }
        let json = try ZooError.locate(path) { try JSONParser.parse(try Bytes(mapping: path)) }
        guard let object = json.object else { throw ZooError(.corrupt, "\(path): not a JSON object") }
        return object
    }

    static func isReadable(_ path: String) -> Bool { access(path, R_OK) == 0 }

    private static func isFolder(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }
}
