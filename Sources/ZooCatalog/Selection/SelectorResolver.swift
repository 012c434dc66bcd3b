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
    /// The file or folder it was named by; nil for what the catalog found. With an adapter: the base's.
    public let place: String?
    /// The row of the base, when an adapter is added to a catalogued checkpoint.
    public let baseRow: CheckpointRow?
    private let opener: @Sendable () throws -> any TensorSource

    init(
        label: String, row: CheckpointRow?, place: String? = nil, baseRow: CheckpointRow? = nil,
        opener: @escaping @Sendable () throws -> any TensorSource
    ) {
        self.label = label
        self.row = row
        self.place = place
        self.baseRow = baseRow
        self.opener = opener
    }

    /// The checkpoint with an adapter merged into it, tensor by tensor when it is read.
    fileprivate func adding(_ adapter: String, at location: String) -> SelectedCheckpoint {
        let label = "\(label)+\(adapter)"
        return SelectedCheckpoint(label: label, row: nil, place: place, baseRow: row ?? baseRow) { [self] in
            let found = try Adapter.open(location)
            let base = try open()
            return try ZooError.locate(label) { try AdaptedSource(base: base, adapter: found) }
        }
    }

    /// Its tensors; reads the table of contents.
    public func open() throws -> any TensorSource { try opener() }
}

/// Finds what selectors mean, the same everywhere a model is meant: a catalog id (`412`), a path to a file or Hugging
/// Face folder, a member (`zoo.zip!/trial_3/checkpoint_000050/checkpoints`), `NAME@EPOCH|@last|@best`, or a query in
/// quotes that starts with `where:`.
///
/// `BASE+ADAPTER` is any of these with a LoRA adapter, a folder or member, merged into it.
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
            if let (base, adapter) = try Self.split(text) { return try resolve(base, adapter: adapter) }
            let opened = try catalog ?? open(for: text)
            catalog = opened
            return try opened.resolve(text).map(selected)
        }
    }

    /// The checkpoints of a selector with an adapter merged into each.
    ///
    /// - Parameter adapter: a folder as PEFT writes it, its weights, a member of an archive, or what the catalog has of one.
    public func resolve(_ base: String, adapter: String) throws -> [SelectedCheckpoint] {
        let location = Self.isPlace(adapter) ? adapter : try resolveOne(adapter).row?.location ?? adapter
        return try resolve([base]).map { $0.adding(adapter, at: location) }
    }

    /// `BASE+ADAPTER` taken apart; nil for text that means something else. Queries keep their plus signs, and so do
    /// names in the catalog unless one side of the sign is a file or folder.
    private static func split(_ text: String) throws -> (base: String, adapter: String)? {
        guard !text.hasPrefix("where:"), text.contains("+"), !isPlace(text) else { return nil }
        let parts = text.split(separator: "+", omittingEmptySubsequences: false).map(String.init)
        guard parts.contains(where: { !$0.isEmpty && isPlace($0) }) else { return nil }
        guard parts.count == 2, parts.allSatisfy({ !$0.isEmpty }) else {
            throw ZooError(
                .usage, "'\(text)' is no model: expected BASE+ADAPTER, found \(parts.count - 1) plus signs",
                hint: "merge one adapter at a time with 'zoo lora merge', or rename paths that hold a plus sign")
        }
        return (parts[0], parts[1])
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
        return SelectedCheckpoint(label: text, row: nil, place: text) { try CheckpointFile.open(text).source }
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
