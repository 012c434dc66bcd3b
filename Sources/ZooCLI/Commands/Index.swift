import ArgumentParser
import ZooBase
import ZooCatalog
import ZooFormats
import ZooReport

/// `zoo index`: archives, folders and files into the catalog.
package struct Index: ZooCommand {
    package static let configuration = CommandConfiguration(
        abstract: "Catalog archives, folders and files of checkpoints without unpacking them.",
        discussion: """
            Reads zip, tar (also gz, xz, zst, bz2), 7z and folders: Ray Tune trials, Hugging Face folders, single \
            files, or whatever a manifest describes. Nothing in a file is executed. Members that cannot be read are \
            listed and the rest is indexed (exit status 3). An interrupted run goes on where it stopped; an unchanged \
            source is not read again. Metrics that lie beside a source (zoo.metrics.jsonl beside zoo.tar.gz, written by \
            'zoo export --format metrics') are added; values that the catalog has stay.

            Example:
              zoo index zoos/digits-cnn.zip
              zoo index /data/tune_zoo_mnist.zip --zoo mnist --manifest manifests/mnist-cnn.yaml
              zoo index models/ --dry-run
            """)

    @Argument(help: "Archives, folders or checkpoint files.")
    package var sources: [String]

    @Option(help: ArgumentHelp("Name of the zoo. Default: the manifest's, else the source's.", valueName: "name"))
    package var zoo: String?

    @Option(help: ArgumentHelp("Description of the source: layout, licence, citation.", valueName: "file"))
    package var manifest: String?

    @Option(help: ArgumentHelp("auto, ray-tune, hugging-face, flat.", valueName: "name"))
    package var layout: String?

    @Flag(help: "List what would be indexed and write nothing.")
    package var dryRun = false

    @Flag(help: "Read tables of contents only: no digests, no check for NaN weights.")
    package var headersOnly = false

    @Flag(help: "Index again what has not changed.")
    package var restart = false

    @Flag(help: "Record optimiser states as checkpoints too.")
    package var optimizer = false

    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    package func run(in session: Session) throws {
        var options = IndexOptions()
        options.zooName = zoo
        options.manifest = try manifest.map { try ManifestLibrary.manifest(at: $0) }
        options.layoutName = layout
        if let layout { _ = try ZooLayouts.layout(named: layout) }
        options.jobs = session.jobs
        options.readsWeights = !headersOnly
        options.restarts = restart
        options.includesOptimizer = optimizer
        let (reports, failures) = try indexAll(options, session)
        try session.emit(IndexReports.json(reports), as: IndexReports.table(reports))
        for report in reports where report.wasComplete {
            session.note("\(report.source): unchanged since it was indexed; --restart reads it again")
        }
        for found in reports.compactMap(\.metrics) { IndexReports.say(found, session) }
        for report in reports where report.modelCount == 0 && report.skipped.isEmpty {
            session.warn("\(report.source): no checkpoint was found in it")
        }
        let skipped = reports.flatMap { report in
            report.skipped.map { PartialFailure.Item($0.path, ZooError(.corrupt, $0.reason)) }
        }
        if failures.count == sources.count, let only = failures.first, sources.count == 1 { throw only.error }
        guard failures.isEmpty, skipped.isEmpty else {
            let total = reports.reduce(skipped.count + failures.count) { $0 + $1.checkpointCount }
            throw PartialFailure(failures + skipped, of: total, kind: "members")
        }
    }

    private func indexAll(
        _ options: IndexOptions, _ session: Session
    ) throws -> (reports: [IndexReport], failures: [PartialFailure.Item]) {
        var reports: [IndexReport] = []
        var failures: [PartialFailure.Item] = []
        let catalog = dryRun ? nil : try Catalog.openOrCreate(session.catalogPath)
        for source in sources {
            let bar = IndexProgress(session, label: source)
            defer { bar.finish() }
            if source.hasSuffix(MetricFile.ending) {
                try addMetrics(source, catalog, session, &failures)
                continue
            }
            let indexer = Indexer(options, observer: bar)
            do {
                reports.append(try catalog.map { try indexer.index(source, into: $0) } ?? indexer.survey(source))
            } catch let error as ZooError where error.code != .interrupted && error.code != .busy {
                failures.append(PartialFailure.Item(source, error))
            }
        }
        return (reports, failures)
    }

    /// A file of metrics by itself.
    private func addMetrics(
        _ path: String, _ catalog: Catalog?, _ session: Session, _ failures: inout [PartialFailure.Item]
    ) throws {
        do {
            guard let catalog else {
                session.note("\(path): \(Quantity.count(try MetricFile(reading: path).values.count)) metrics")
                return
            }
            IndexReports.say(try catalog.importMetrics(path, zoo: zoo), session)
        } catch let error as ZooError where error.code != .interrupted && error.code != .busy {
            failures.append(PartialFailure.Item(path, error))
        }
    }
}

/// Shows checkpoints being recorded.
private final class IndexProgress: IndexObserver {
    private let reporter: ProgressReporter

    init(_ session: Session, label: String) {
        let name = label.split(separator: "/").last.map(String.init) ?? label
        reporter = session.progress(name, total: nil, unit: .items("checkpoints"))
    }

    func found(models: Int, checkpoints: Int) { reporter.setTotal(checkpoints) }

    func recorded(models: Int, checkpoints: Int) { reporter.advance(by: checkpoints) }

    func finish() { reporter.finish() }
}

/// Reports of one command.
enum IndexReports {
    /// One object for one source, a list for several.
    static func json(_ reports: [IndexReport]) -> JSONValue {
        reports.count == 1 ? json(reports[0]) : .array(reports.map(json))
    }

    private static func json(_ report: IndexReport) -> JSONValue {
        [
            "source": .string(report.source), "zoo": .string(report.zoo), "models": .int(Int64(report.modelCount)),
            "resumed": .int(Int64(report.resumedCount)), "checkpoints": .int(Int64(report.checkpointCount)),
            "tensors": .int(Int64(report.tensorCount)), "parameters": .int(Int64(report.parameterCount)),
            "unchanged": .bool(report.wasComplete),
            "metrics": report.metrics.map(metrics) ?? .null,
            "skipped": .array(
                report.skipped.map { ["member": .string($0.path), "reason": .string($0.reason)] }),
            "ignored": .object(
                JSONObject(report.ignored.sorted { $0.key < $1.key }.map { ($0.key, .int(Int64($0.value))) })),
            "seconds": .double(report.seconds),
        ]
    }

    private static func metrics(_ found: MetricImport) -> JSONValue {
        [
            "file": .string(found.path), "added": .int(Int64(found.added)), "known": .int(Int64(found.known)),
            "unmatched_checkpoints": .int(Int64(found.unmatched)),
        ]
    }

    /// Says what became of a file of metrics.
    static func say(_ found: MetricImport, _ session: Session) {
        session.note(
            "\(found.path): \(Quantity.count(found.added)) metrics added, \(Quantity.count(found.known)) were known")
        if found.unmatched > 0 {
            session.warn(
                "\(found.path): \(Quantity.count(found.unmatched)) of its checkpoints are not in the catalog, or others are"
            )
        }
    }

    static func table(_ reports: [IndexReport]) -> Table {
        var table = Table([
            .init("source", isPath: true), .init("zoo"), .init("models", .integer, unit: .count),
            .init("checkpoints", .integer, unit: .count), .init("tensors", .integer, unit: .count),
            .init("parameters", .integer, unit: .count), .init("skipped", .integer, unit: .count),
            .init("seconds", .double, unit: .seconds),
        ])
        for report in reports {
            table.append([
                .text(report.source), .text(report.zoo), .int(report.modelCount), .int(report.checkpointCount),
                .int(report.tensorCount), .int(report.parameterCount), .int(report.skipped.count),
                .double(report.seconds),
            ])
        }
        return table
    }
}
