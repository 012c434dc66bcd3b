import ArgumentParser
import ZooBase
import ZooData
import ZooFormats
import ZooNN

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The options by which a command takes labelled data.
package struct DataOption: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The data: a file, folder, archive member, data set manifest or its name; after a colon the splits.",
            valueName: "path[:split]"))
    package var data: String

    @Option(
        help: ArgumentHelp("The tensor or column of the labels. Default: y_SPLIT, or what is usual.", valueName: "name")
    )
    package var labels: String?

    @Option(help: ArgumentHelp("A preparation of the data set's manifest.", valueName: "name"))
    package var preparation: String?

    @Option(
        help: ArgumentHelp(
            "Use this many samples of each split, chosen by --seed and stratified by class.", valueName: "number"))
    package var subset: Int?

    /// Nothing given.
    package init() {}

    /// Refuses values out of range.
    package func validate() throws {
        if let subset, subset < 1 { throw ValidationError("--subset takes a number from 1 on, not \(subset).") }
    }

    /// Opens the data; no samples are read yet.
    ///
    /// - Throws: as `DataSource.init`.
    package func open(_ session: Session, defaultSplit: String = "test") throws -> DataSource {
        try DataSource(
            data, labels: labels, preparation: preparation, subset: subset, seed: session.seed,
            defaultSplit: defaultSplit)
    }
}

/// The data that `--data PATH|MANIFEST|NAME[:SPLIT,…]` means: a data set and the splits asked for.
package struct DataSource: Sendable {
    /// The data set, reduced when a subset was asked for.
    package let dataset: any Dataset
    /// The splits asked for, in that order; the default split, or the only one there is.
    package let splits: [String]
    private let stored: StoredDataset?

    /// Where manifests are, from the working folder; `$ZOO_MANIFESTS` names another `manifests` folder.
    private static let manifests = "manifests"

    /// Opens data.
    ///
    /// - Parameters:
    ///   - text: a path that exists wins over one with a colon and splits; a name is that of `manifests/datasets/NAME.yaml`.
    ///   - defaultSplit: the split taken when none is named and there are several; nil takes all.
    /// - Throws: `notFound` for a file, name or split that is not there; `usage` for an empty list of splits; what
    ///   opening throws.
    package init(
        _ text: String, labels: String? = nil, preparation: String? = nil, subset: Int? = nil, seed: UInt64 = 0,
        defaultSplit: String? = "test"
    ) throws {
        let (path, names) = try Self.parse(text)
        var opened = try Self.open(path, labels: labels, preparation: preparation)
        stored = opened as? StoredDataset
        if let names {
            for name in names { _ = try opened.split(named: name) }
            splits = names
        } else if opened.splits.count == 1 {
            splits = opened.splits.map(\.name)
        } else if let defaultSplit {
            splits = [try opened.split(named: defaultSplit).name]
        } else {
            splits = opened.splits.map(\.name)
        }
        if let subset { opened = try opened.subset(count: subset, seed: seed) }
        dataset = opened
    }

    /// The path and the splits behind the last colon; nil when the text names none.
    private static func parse(_ text: String) throws -> (path: String, names: [String]?) {
        guard !text.isEmpty else {
            throw ZooError(.usage, "--data is empty", hint: "name a file, a folder or a manifest")
        }
        // A file of that very name wins, so that paths with colons can be given.
        guard access(text, F_OK) != 0, let colon = text.lastIndex(of: ":") else { return (text, nil) }
        let names = text[text.index(after: colon)...].split(separator: ",").map(String.init)
        guard !names.isEmpty else { throw ZooError(.usage, "--data names no split after the colon") }
        // A split named twice is one split.
        var seen = Set<String>()
        return (String(text[..<colon]), names.filter { seen.insert($0).inserted })
    }

    private static func open(_ path: String, labels: String?, preparation: String?) throws -> any Dataset {
        // The part before `!/` is the file of a member inside an archive.
        let file = path.firstRange(of: "!/").map { String(path[..<$0.lowerBound]) } ?? path
        if access(file, R_OK) == 0 {
            if file == path, path.hasSuffix(".yaml") || path.hasSuffix(".yml") {
                return try ManifestDataset.open(path, preparation: preparation, labels: labels)
            }
            guard preparation == nil else {
                throw ZooError(
                    .usage, "--preparation goes with a data set manifest, not with \(path)",
                    hint: "write a manifest that names the file (docs/data.md)")
            }
            return try StoredDataset.open(path, labels: labels)
        }
        let folder = (Terminal.environment("ZOO_MANIFESTS") ?? manifests) + "/datasets"
        let manifest = "\(folder)/\(path).yaml"
        if !path.contains("/"), access(manifest, R_OK) == 0 {
            return try ManifestDataset.open(manifest, preparation: preparation, labels: labels)
        }
        throw ZooError(
            .notFound, "\(path): no such file",
            hint: "--data takes a file, a folder, a manifest or the name of one, and splits after a colon")
    }

    /// The samples of a split.
    ///
    /// - Parameter labelled: whether samples without labels are an error.
    /// - Throws: `notFound` for missing labels; what reading throws.
    package func samples(_ split: String, labelled: Bool = true) throws -> Samples {
        var samples = try dataset.samples(split: split)
        samples.origin = "\(dataset.name):\(split)"
        guard labelled, samples.labels.isEmpty else { return samples }
        throw ZooError(
            .notFound, "\(dataset.name): there are no labels for the split '\(split)'",
            hint: "samples need labels here; a manifest, or --labels where a command has it, names the tensor or column"
        )
    }

    /// What was found and what is done to the numbers, in words; nil when there is nothing to say.
    package func description(of split: String) -> String? {
        guard let found = dataset.splits.first(where: { $0.name == split }) else { return nil }
        let shape = found.inputShape.map(String.init).joined(separator: "×")
        let how = stored.map { "; \($0.format), \($0.treatment(of: split))" } ?? ""
        return "\(dataset.name):\(split): \(Quantity.count(found.count)) samples of \(shape)\(how)"
    }
}
