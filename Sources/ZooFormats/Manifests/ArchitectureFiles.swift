import ZooBase

/// Reads files under `manifests/architectures/` (YAML, or JSON, which is YAML too) as plain values.
public enum ArchitectureFiles {
    /// The content of a file.
    ///
    /// - Throws: `notFound`, `io`; `corrupt` with the line for text that is no YAML; `limit` for one that is too large.
    public static func json(at path: String) throws -> JSONValue {
        try ManifestNode(text: ManifestLibrary.text(path), file: path).json()
    }

    /// The paths of all `*.yaml` files of a folder, sorted; none when there is no such folder.
    public static func paths(in folder: String) throws -> [String] {
        try ManifestLibrary.yamlFiles(folder).map { "\(folder)/\($0)" }
    }
}
