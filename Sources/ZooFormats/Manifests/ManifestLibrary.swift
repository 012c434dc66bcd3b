import ZooBase

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The manifests of a folder.
public struct ManifestLibrary: Sendable {
    /// The zoos by identifier.
    public let zoos: [String: Manifest]
    /// The data sets by identifier.
    public let datasets: [String: DatasetManifest]

    /// Reads `*.yaml` of a folder and of its `datasets` folder.
    ///
    /// - Throws: `io`; what is wrong with the first bad manifest; `mismatch` when a file is not called after its `id`
    ///   or names a data set that is not there.
    public init(folder: String) throws {
        var zoos: [String: Manifest] = [:]
        var datasets: [String: DatasetManifest] = [:]
        for name in try Self.yamlFiles(folder + "/datasets") {
            let manifest = try DatasetManifest(
                yaml: Self.text("\(folder)/datasets/\(name)"), file: "datasets/\(name)")
            try Self.check(manifest.id, name, "datasets/\(name)")
            datasets[manifest.id] = manifest
        }
        for name in try Self.yamlFiles(folder) {
            let manifest = try Manifest(yaml: Self.text("\(folder)/\(name)"), file: name)
            try Self.check(manifest.id, name, name)
            for dataset in manifest.datasets + manifest.experiments.compactMap(\.dataset) where datasets[dataset] == nil
            {
                throw ZooError(
                    .mismatch, "\(name): there is no data set '\(dataset)'",
                    hint: NearestName.hint(dataset, in: datasets.keys.sorted(), kind: "names"))
            }
            zoos[manifest.id] = manifest
        }
        self.zoos = zoos
        self.datasets = datasets
    }

    /// A zoo by its identifier.
    ///
    /// - Throws: `notFound` with the nearest identifier.
    public func zoo(_ id: String) throws -> Manifest {
        if let manifest = zoos[id] { return manifest }
        throw ZooError(
            .notFound, "no manifest is called '\(id)'",
            hint: NearestName.hint(id, in: zoos.keys.sorted(), kind: "names"))
    }

    /// Reads one manifest file.
    ///
    /// - Throws: `notFound`, `io`, and as `Manifest.init(yaml:file:)`.
    public static func manifest(at path: String) throws -> Manifest { try Manifest(yaml: text(path), file: path) }

    private static func check(_ id: String, _ name: String, _ file: String) throws {
        guard name == id + ".yaml" else {
            throw ZooError(.mismatch, "\(file): its id is '\(id)'; expected the file to be called \(id).yaml")
        }
    }

    package static func text(_ path: String) throws -> String {
        let bytes = try Bytes(mapping: path)
        guard bytes.count <= ManifestNode.maximumByteCount else {
            throw ZooError(
                .limit, "\(path): \(bytes.count) bytes; a manifest has at most \(ManifestNode.maximumByteCount)")
        }
        guard let text = bytes.withUnsafeBytes({ String(validating: $0, as: UTF8.self) }) else {
            throw ZooError(.corrupt, "\(path): not UTF-8")
        }
        return text
    }

    /// The names ending in `.yaml`, in order; none when there is no such folder.
    package static func yamlFiles(_ folder: String) throws -> [String] {
        guard let handle = opendir(folder) else {
            if errno == ENOENT { return [] }
            throw ZooError.system("open \(folder)", errno: errno)
        }
        defer { closedir(handle) }
        var names: [String] = []
        while let entry = readdir(handle) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: Int(NAME_MAX) + 1) { String(cString: $0) }
            }
            if name.hasSuffix(".yaml"), !name.hasPrefix(".") { names.append(name) }
        }
        return names.sorted()
    }
}
