import ArgumentParser
import ZooBase
import ZooCatalog
import ZooFormats
import ZooReport

/// `zoo verify`: whether the catalog still tells the truth.
package struct Verify: ZooCommand {
    package static let configuration = CommandConfiguration(
        abstract: "Check digests, missing epochs, NaN weights and duplicates.",
        discussion: """
            Every checkpoint is read again and its digest compared, unless --quick. Corrupt and vanished content is a \
            failure (exit status 1); NaN weights, gaps and duplicates are facts about the zoo and only listed.

            Example:
              zoo verify
              zoo verify --quick --json
            """)

    @Flag(help: "Look at the catalog only; read no checkpoint.")
    package var quick = false

    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    package func run(in session: Session) throws {
        let catalog = try Catalog(session.catalogPath)
        var findings = try CatalogFindings(catalog)
        if !quick { try checkDigests(catalog, session, &findings) }
        try session.emit(findings.json, as: findings.table)
        session.note(findings.summary)
        let failures = findings.failures
        if let first = failures.first {
            let more = failures.count > 1 ? " (and \(failures.count - 1) more)" : ""
            throw ZooError(
                .corrupt, "\(first.what): \(first.detail)\(more)", hint: "restore the source and run 'zoo index' again")
        }
    }

    private func checkDigests(_ catalog: Catalog, _ session: Session, _ findings: inout CatalogFindings) throws {
        var rows: [CheckpointRow] = []
        let store = WeightStore(cacheByteCount: 0)
        let progress = session.progress("verify", total: try catalog.counts().checkpoints, unit: .items("checkpoints"))
        func flush() throws {
            let batch = rows
            rows = []
            let results = try Parallel.map(count: batch.count, jobs: session.jobs) { index in
                Self.check(batch[index], store)
            }
            findings.rows += results.compactMap { $0 }
            progress.advance(by: batch.count)
        }
        var ids: [Int64] = []
        try catalog.stream(Query(columns: ["id"]), header: { _, _ in }) { row in
            if case .int(let id) = row[0] { ids.append(id) }
        }
        for start in stride(from: 0, to: ids.count, by: 1024) {
            rows = try catalog.checkpoints(ids: Array(ids[start..<min(start + 1024, ids.count)]))
            try flush()
        }
        progress.finish()
    }

    private static func check(_ row: CheckpointRow, _ store: WeightStore) -> CatalogFindings.Row? {
        guard let digest = row.digest else { return nil }
        do {
            let found = try store.digest(of: row)
            guard found != digest else { return nil }
            return .init(kind: .digest, what: row.location, detail: "digest is \(found), the catalog has \(digest)")
        } catch {
            return .init(kind: .unreadable, what: row.location, detail: ZooError.wrap(error).message)
        }
    }
}

/// What a check of a catalog found.
struct CatalogFindings {
    enum Kind: String {
        case digest, unreadable, unchecked, health, gap, duplicate, source
    }

    struct Row {
        var kind: Kind
        var what: String
        var detail: String
    }

    var rows: [Row] = []

    /// Looks at the catalog alone.
    init(_ catalog: Catalog) throws {
        for source in try catalog.sources() where source.state != .indexed {
            rows.append(
                Row(
                    kind: .source, what: source.record.path,
                    detail: source.message ?? "indexing was interrupted; run 'zoo index' again"))
        }
        let unchecked = try catalog.sql("SELECT count(*) FROM checkpoint WHERE digest IS NULL").rows[0][0].int ?? 0
        if unchecked > 0 {
            rows.append(
                Row(
                    kind: .unchecked, what: "\(unchecked) checkpoints",
                    detail: "have no digest to compare and were not looked at; 'zoo index --restart' reads them"))
        }
        for row in try catalog.unhealthyCheckpoints() {
            rows.append(Row(kind: .health, what: row.label, detail: "weights: \(row.health?.rawValue ?? "unknown")"))
        }
        for (_, name, epochs) in try catalog.missingEpochs() {
            let list = epochs.prefix(10).map(String.init).joined(separator: ", ") + (epochs.count > 10 ? ", …" : "")
            rows.append(Row(kind: .gap, what: name, detail: "no checkpoint of epoch \(list)"))
        }
        for group in try catalog.duplicates() {
            let ids = group.checkpoints.map(String.init)
            rows.append(
                Row(
                    kind: .duplicate,
                    what: "checkpoints \(ids.prefix(8).joined(separator: ", "))\(ids.count > 8 ? ", …" : "")",
                    detail: "\(ids.count) files with the same bytes"))
        }
    }

    /// What makes the command fail.
    var failures: [Row] { rows.filter { $0.kind == .digest || $0.kind == .unreadable } }

    var json: JSONValue {
        [
            "ok": .bool(failures.isEmpty),
            "problems": .array(
                rows.map {
                    ["kind": .string($0.kind.rawValue), "what": .string($0.what), "detail": .string($0.detail)]
                }),
        ]
    }

    var table: Table {
        Table(
            [.init("kind"), .init("what", isPath: true), .init("detail")],
            rows: rows.map { [.text($0.kind.rawValue), .text($0.what), .text($0.detail)] })
    }

    var summary: String {
        guard !rows.isEmpty else { return "all is well" }
        return Dictionary(grouping: rows, by: \.kind).map { "\($1.count) \($0.rawValue)" }.sorted()
            .joined(separator: ", ")
    }
}
