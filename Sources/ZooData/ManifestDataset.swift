import ZooBase
import ZooFormats
import ZooNN

/// Opens the data that a data set manifest names.
public enum ManifestDataset {
    /// Reads the manifest at a path and opens its files.
    ///
    /// - Parameters:
    ///   - path: `….yaml`; files are found from its folder.
    ///   - preparation: one of its preparations by name; nil for the manifest's own `normalise`.
    /// - Throws: as `DatasetManifest.init(yaml:file:)`; `notFound` when it names no files or has no such preparation.
    public static func open(_ path: String, preparation: String? = nil, labels: String? = nil) throws -> any Dataset {
        let manifest = try DatasetManifest(yaml: ManifestLibrary.text(path), file: path)
        let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
        return try open(manifest, folder: folder, preparation: preparation, labels: labels)
    }

    /// Opens a manifest's files.
    ///
    /// - Parameter folder: what paths that do not begin with `/` count from, with a slash at its end; may be empty.
    public static func open(
        _ manifest: DatasetManifest, folder: String, preparation: String? = nil, labels: String? = nil
    ) throws -> any Dataset {
        guard !manifest.files.isEmpty else {
            throw ZooError(
                .notFound, "the data set '\(manifest.id)' names no files",
                hint: "add 'files: PATH' to its manifest, or give the path of the data itself")
        }
        let prepared = try self.preparation(manifest, preparation)
        var dataset: any Dataset = try stored(manifest, folder, prepared, labels ?? manifest.labelName)
        for carving in manifest.carvings {
            dataset = try dataset.split(
                carving.from, fraction: carving.fraction, into: carving.name, seed: carving.seed)
        }
        return dataset
    }

    private static func stored(
        _ manifest: DatasetManifest, _ folder: String, _ preparation: DataPreparation, _ labels: String?
    ) throws -> StoredDataset {
        let options = DataOptions(labels: labels, resize: preparation.resize, channels: preparation.channels)
        var format = manifest.format ?? ""
        let splits = try manifest.files.flatMap { name, path -> [StoredSplit] in
            let place = try DataPlace.open(path.hasPrefix("/") ? path : folder + path)
            let reader = try DatasetReaders.reader(for: place, format: manifest.format)
            format = reader.format
            let found = try reader.splits(place, options)
            guard let name else { return found }
            return [try renamed(found, name, place.name)]
        }
        return try StoredDataset(name: manifest.id, format: format, preparation: preparation, splits: splits)
    }

    /// The one split that a file named for a split means: the one of that name, or its only one.
    private static func renamed(_ splits: [StoredSplit], _ name: String, _ place: String) throws -> StoredSplit {
        guard var split = splits.first(where: { $0.split.name == name }) ?? (splits.count == 1 ? splits[0] : nil) else {
            throw ZooError(
                .notFound, "\(place): there is no split '\(name)'",
                hint: NearestName.hint(name, in: splits.map(\.split.name), kind: "splits"))
        }
        split.split.name = name
        return split
    }

    /// What is done to the inputs.
    ///
    /// - Throws: `notFound` for a preparation that is not there.
    static func preparation(_ manifest: DatasetManifest, _ name: String?) throws -> DataPreparation {
        var prepared = DataPreparation(
            scale: manifest.scale, mean: manifest.mean, std: manifest.std, resize: manifest.resize,
            channels: manifest.channels, labelMap: manifest.labelMap, classCount: manifest.classCount)
        guard let name else { return prepared }
        guard let chosen = manifest.preparations.first(where: { $0.name == name }) else {
            throw ZooError(
                .notFound, "the data set '\(manifest.id)' has no preparation '\(name)'",
                hint: NearestName.hint(name, in: manifest.preparations.map(\.name), kind: "preparations"))
        }
        prepared.mean = chosen.mean
        prepared.std = chosen.std
        prepared.resize = chosen.resize ?? prepared.resize
        prepared.channels = chosen.channels ?? prepared.channels
        prepared.inputShape = chosen.inputShape
        return prepared
    }
}
