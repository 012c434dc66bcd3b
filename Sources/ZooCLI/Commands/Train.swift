import ArgumentParser
import Synchronization
import ZooBase
import ZooCatalog
import ZooFormats
import ZooNN
import ZooReport
import ZooTrain

/// `zoo train`: a zoo grown from a manifest.
package struct Train: ZooCommand {
    package static let configuration = CommandConfiguration(
        abstract: "Grow a zoo: train one network over a grid of settings and seeds, and catalog it.",
        discussion: """
            The manifest (docs/train.md) names a data set, a network, an optimiser and the axes of a grid. Trials run in \
            parallel, one thread each, and are written as Ray Tune writes them: params.json, result.json, \
            checkpoint_NNNNNN. The files depend on manifest, data and --seed alone, not on --jobs. An interrupted run \
            goes on where it stopped; finished trials are left alone. A trial whose loss leaves the finite numbers ends \
            there, with its last finite checkpoint, and is no failure of the run. Trials that fail are listed and the \
            rest is trained (exit status 3).

            Example:
              zoo train manifests/train/digits-demo.yaml --dry-run
              zoo train manifests/train/digits-demo.yaml --to zoos
              zoo train manifests/train/digits-phase-small.yaml --to zoos --archive zip
            """)

    @Argument(help: "The manifest.")
    package var manifest: String

    @Option(help: ArgumentHelp("Folder in which the zoo's folder is made.", valueName: "folder"))
    package var to: String = "zoos"

    @Option(
        help: ArgumentHelp("Also pack the zoo: zip or tar.gz; the archive is cataloged instead.", valueName: "kind"))
    package var archive: String?

    @Flag(help: "List trials, parameters, steps and the estimated time, and train nothing.")
    package var dryRun = false

    @Flag(help: "Do not catalog the zoo.")
    package var noIndex = false

    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    package func validate() throws {
        let kinds = FolderPacking.Kind.allCases.map(\.rawValue)
        if let archive, !kinds.contains(archive) {
            throw ValidationError("--archive takes \(kinds.joined(separator: " or ")), not '\(archive)'.")
        }
    }

    package func run(in session: Session) throws {
        let manifest = try TrainingManifest(yaml: ManifestLibrary.text(self.manifest), file: self.manifest)
        let data = try Self.data(manifest.data)
        let training = try ZooTraining(
            manifest, data: data, into: to, seed: session.seed, resolver: ArchitectureLibrary.resolver())
        for text in training.warnings { session.warn(text) }
        if dryRun { return try plan(training, session) }
        let start = ContinuousClock.now
        let indexer = GrowingCatalog(noIndex || archive != nil ? nil : training.path, zoo: manifest.id, session)
        let progress = session.progress("train", total: training.trials.count, unit: .items("trials"))
        let outcomes: [ZooTraining.Outcome]
        do {
            outcomes = try training.run(jobs: session.jobs, warn: { session.warn($0) }) { trial, outcome in
                if case .diverged(let text) = outcome { session.detail("\(trial.name): \(text)") }
                progress.advance(by: 1)
                indexer.trialEnded()
            }
        } catch let error as ZooError where error.code == .interrupted {
            progress.finish()
            indexer.interrupted()
            throw error
        }
        progress.finish()
        try finish(training, manifest, outcomes, indexer, start, session)
    }

    /// The samples of the manifest's splits.
    private static func data(_ data: TrainingManifest.Data) throws -> TrainingData {
        func samples(_ split: String, labels: String?) throws -> Samples {
            let source = try DataSource("\(data.path):\(split)", labels: labels)
            return try source.samples(split)
        }
        return TrainingData(
            train: try samples(data.train, labels: data.labels),
            validation: try data.validation.map { try samples($0, labels: nil) },
            test: try data.test.map { try samples($0, labels: nil) })
    }

    private func plan(_ training: ZooTraining, _ session: Session) throws {
        let seconds = try training.estimate(jobs: session.jobs)
        var table = Table([
            .init("trial"), .init("parameters", .integer, unit: .count), .init("epochs", .integer),
            .init("steps", .integer, unit: .count), .init("checkpoints", .integer),
        ])
        for trial in training.trials {
            table.append([
                .text(trial.name), .int(trial.parameterCount), .int(trial.settings.epochs), .int(trial.steps),
                .int(trial.settings.checkpoints.count(epochs: trial.settings.epochs)),
            ])
        }
        let rows: [JSONValue] = training.trials.map { trial in
            [
                "trial": .string(trial.name), "parameters": .int(Int64(trial.parameterCount)),
                "epochs": .int(Int64(trial.settings.epochs)), "steps": .int(Int64(trial.steps)),
            ]
        }
        try session.emit(
            [
                "output": .string(training.path), "trials": .array(rows),
                "steps": .int(Int64(training.trials.reduce(0) { $0 + $1.steps })),
                "estimated_seconds": .double(seconds),
            ], as: table)
        session.note(
            "\(Quantity.count(training.trials.count)) trials, about \(Quantity.duration(seconds)) on \(session.jobs) threads"
        )
    }

    private func finish(
        _ training: ZooTraining, _ manifest: TrainingManifest, _ outcomes: [ZooTraining.Outcome],
        _ indexer: GrowingCatalog, _ start: ContinuousClock.Instant, _ session: Session
    ) throws {
        var source = training.path
        if let kind = archive.flatMap(FolderPacking.Kind.init) {
            source = "\(training.path).\(kind.rawValue)"
            try FolderPacking.pack(training.path, name: manifest.id, to: source, as: kind)
            session.note("wrote \(source)")
        }
        var summary = TrainingSummary(training.trials, outcomes)
        summary.source = source
        if !noIndex { summary.report = try indexer.finish(source) }
        let duration = ContinuousClock.now - start
        summary.seconds = Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18
        try session.emit(summary.json, as: summary.table)
        if !summary.diverged.isEmpty {
            session.note("\(summary.diverged.count) trials diverged; their last finite epoch is kept")
        }
        guard summary.failures.isEmpty else {
            throw PartialFailure(summary.failures, of: outcomes.count, kind: "trials")
        }
    }
}

/// What `zoo train` did.
private struct TrainingSummary {
    var source = ""
    var seconds = 0.0
    var report: IndexReport?
    private(set) var trained = 0
    private(set) var found = 0
    private(set) var diverged: [(name: String, reason: String)] = []
    private(set) var failures: [PartialFailure.Item] = []

    init(_ trials: [ZooTraining.Trial], _ outcomes: [ZooTraining.Outcome]) {
        for (trial, outcome) in zip(trials, outcomes) {
            switch outcome {
            case .trained: trained += 1
            case .found: found += 1
            case .diverged(let reason): diverged.append((trial.name, reason))
            case .failed(let error): failures.append(PartialFailure.Item(trial.name, error))
            }
        }
    }

    /// The keys of `index`, and how the trials ended.
    var json: JSONValue {
        let indexed = report.flatMap { IndexReports.json([$0]).object }
        var object = JSONObject([("source", .string(source))])
        for (key, value) in indexed ?? JSONObject() { object[key] = value }
        object["trained"] = .int(Int64(trained))
        object["found"] = .int(Int64(found))
        object["diverged"] = .array(diverged.map { ["trial": .string($0.name), "reason": .string($0.reason)] })
        object["failed"] = .array(
            failures.map { ["trial": .string($0.name), "reason": .string($0.error.message)] })
        object["seconds"] = .double(seconds)
        return .object(object)
    }

    var table: Table {
        var table = Table([
            .init("source", isPath: true), .init("trained", .integer, unit: .count),
            .init("found", .integer, unit: .count), .init("diverged", .integer, unit: .count),
            .init("failed", .integer, unit: .count), .init("checkpoints", .integer, unit: .count),
            .init("seconds", .double, unit: .seconds),
        ])
        table.append([
            .text(source), .int(trained), .int(found), .int(diverged.count), .int(failures.count),
            report.map { .int($0.checkpointCount) } ?? .null, .double(seconds),
        ])
        return table
    }
}

/// Catalogs a zoo while it grows: now and then when a trial has ended, and at the end.
private final class GrowingCatalog: Sendable {
    private struct State {
        var isBusy = false
        var next = ContinuousClock.now + .seconds(30)
        /// Trials that ended since the zoo was cataloged last.
        var ended = 0
    }

    private let path: String?
    private let zoo: String
    private let session: Session
    private let state = Mutex(State())

    init(_ path: String?, zoo: String, _ session: Session) {
        self.path = path
        self.zoo = zoo
        self.session = session
    }

    /// Indexes when the last time is long enough ago: indexing takes a tenth of the time at most.
    func trialEnded() {
        guard let path else { return }
        let isDue = state.withLock { state in
            state.ended += 1
            guard !state.isBusy, ContinuousClock.now >= state.next else { return false }
            state.isBusy = true
            state.ended = 0
            return true
        }
        guard isDue else { return }
        let start = ContinuousClock.now
        do { _ = try index(path) } catch {
            session.detail("not cataloged yet: \(ZooError.wrap(error).message)")
        }
        let wait = max(.seconds(30), (ContinuousClock.now - start) * 10)
        state.withLock { state in
            state.isBusy = false
            state.next = ContinuousClock.now + wait
        }
    }

    /// Catalogs what was finished before an interrupt. The request to stop is withdrawn meanwhile; a second one ends the
    /// process.
    func interrupted() {
        guard let path, state.withLock({ $0.ended }) > 0 else { return }
        Cancellation.reset()
        defer { Cancellation.request() }
        do { _ = try index(path) } catch {
            session.warn("finished trials are not cataloged yet: \(ZooError.wrap(error).message)")
        }
    }

    /// Indexes everything.
    func finish(_ source: String) throws -> IndexReport { try index(source) }

    private func index(_ source: String) throws -> IndexReport {
        var options = IndexOptions()
        options.zooName = zoo
        options.jobs = session.jobs
        return try Indexer(options).index(source, into: Catalog.openOrCreate(session.catalogPath))
    }
}
