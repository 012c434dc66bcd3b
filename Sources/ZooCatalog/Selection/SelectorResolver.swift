import Synchronization
import ZooBase
import ZooFormats
import ZooTensor

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A checkpoint that a selector names, in the catalog or not.
public struct SelectedCheckpoint: Sendable {
    /// How to call it in tables and messages.
    public let label: String
    /// Its row, when it is in the catalog.
    public let row: CheckpointRow?
    private let opener: @Sendable () throws -> any TensorSource

    init(label: String, row: CheckpointRow?, opener: @escaping @Sendable () throws -> any TensorSource) {
        self.label = label
        self.row = row
        self.opener = opener
    }

    /// Its tensors; reads the table of contents.
    public func open() throws -> any TensorSource { try opener() }
}

/// Finds what selectors mean, the same everywhere a model is meant: a catalog id (`412`), a path to a file or Hugging
/// Face folder, a member (`zoo.zip!/trial_3/checkpoint_000050/checkpoints`), `NAME@EPOCH|@last|@best`, or a query in
/// quotes that starts with `where:`.
///
/// A path that exists wins over a model of the same name; an id made of digits wins over a file of that name (write
/// `./412` for the file).
public struct SelectorResolver: Sendable {
    private let catalogPath: String
    private let store: WeightStore

    /// Creates a resolver; the catalog is opened when a selector needs it.
    public init(catalogPath: String, store: WeightStore = WeightStore()) {
        self.catalogPath = catalogPath
        self.store = store
    }

    /// The checkpoints that selectors name, in their order.
    ///
    /// - Throws: `notFound` or `usage` for the first selector that names nothing.
    public func resolve(_ selectors: [String]) throws -> [SelectedCheckpoint] {
        var catalog: Catalog?
        return try selectors.flatMap { text -> [SelectedCheckpoint] in
            if let file = file(text) { return [file] }
            let opened = try catalog ?? open(for: text)
            catalog = opened
            return try opened.resolve(text).map(selected)
        }
    }

    /// The one checkpoint that a selector names.
    ///
    /// - Throws: `usage` when it names several.
    public func resolveOne(_ selector: String) throws -> SelectedCheckpoint {
        let found = try resolve([selector])
        guard found.count == 1 else {
            throw ZooError(
                .usage, "'\(selector)' names \(found.count) checkpoints; one is needed", hint: "name one by its id")
        }
        return found[0]
    }

    /// A row of the catalog as a selected checkpoint.
    public func selected(_ row: CheckpointRow) -> SelectedCheckpoint {
        SelectedCheckpoint(label: row.label, row: row) { [store] in try store.source(of: row) }
    }

    /// Whether a selector means a file, folder or member rather than something in the catalog.
    public static func isPlace(_ text: String) -> Bool {
        let isID = !text.isEmpty && text.utf8.allSatisfy { 0x30...0x39 ~= $0 }
        return !isID && !text.hasPrefix("where:") && (text.contains("!/") || access(text, F_OK) == 0)
    }

    private func file(_ text: String) -> SelectedCheckpoint? {
        guard Self.isPlace(text) else { return nil }
        return SelectedCheckpoint(label: text, row: nil) { try CheckpointFile.open(text).source }
    }

    private func open(for selector: String) throws -> Catalog {
        do { return try Catalog(catalogPath) } catch let error as ZooError where error.code == .notFound {
            throw ZooError(
                .notFound, "'\(selector)' is no file, and there is no catalog \(catalogPath) to look in",
                hint: "check the path, or make a catalog with 'zoo index SOURCE'")
        }
    }
}

extension CheckpointRow {
    /// `zoo/model@epoch`.
    public var label: String { "\(zoo)/\(model)" + (epoch.map { "@\($0)" } ?? "") }

    /// `source!/member`.
    public var location: String { sourceKind == "folder" ? "\(sourcePath)/\(member)" : "\(sourcePath)!/\(member)" }
}
