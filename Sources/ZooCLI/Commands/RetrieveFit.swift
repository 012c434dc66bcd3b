import ArgumentParser
import ZooBase
import ZooCatalog
import ZooNN
import ZooReport
import ZooRetrieval
import ZooTrain

/// `zoo retrieve fit`: captures models and trains the encoders.
package struct RetrieveFit: ZooCommand {
    package static let configuration = CommandConfiguration(
        commandName: "fit",
        abstract: "Capture models on public probes, train vectors for models and queries, and write the index.",
        discussion: """
            Every model is asked about the probes and about points between them that lie on its class boundaries; only \
            scores are read, so programs and services of this machine can be indexed too (--boxes). Tasks are what the \
            configurations of 'zoo train' say (classes, transform), or --tasks. Everything learned is in one file \
            beside the catalog. Samples of later queries must not be among the data named here. An interrupted fit leaves a \
            folder INDEX.partial from which the same command goes on.

            Example:
              zoo retrieve fit "where:zoo = 'retrieval-digits'" --probes digits-retrieval:val \
            --queries digits-retrieval:query --map-data digits-retrieval:train
            """)

    @Argument(help: "Checkpoints: files, folders, ARCHIVE!/MEMBER, ids, NAME@EPOCH, 'where:…'.")
    package var selectors: [String]

    @Option(help: ArgumentHelp("Unlabelled inputs that cover the modality, with split.", valueName: "data"))
    package var probes: String

    @Option(help: ArgumentHelp("Labelled samples that training queries are drawn from.", valueName: "data"))
    package var queries: String

    @Option(
        help: ArgumentHelp("Labelled samples for the feature map 'net'. Default: --queries.", valueName: "data"))
    package var mapData: String?

    @Option(help: ArgumentHelp("A manifest of tasks and their models.", valueName: "file"))
    package var tasks: String?

    @Option(help: ArgumentHelp("A manifest of programs and services to index too.", valueName: "file"))
    package var boxes: String?

    @Option(help: "The feature map: net, raw or pca.")
    package var map: FeatureMap.Kind = .net

    @Option(help: "The encoder: set, lstm, or tans for comparison.")
    package var encoder: EncoderKind = .set

    @Option(
        help: ArgumentHelp(
            "ranking; published, as the public code runs; graded or listwise: by the accuracy of every model on every task.",
            valueName: "loss"))
    package var loss: RetrievalLoss = .ranking

    @Flag(help: "Train on the tasks of models alone, not also on tasks composed of their classes.")
    package var wholeTasks = false

    @Option(
        help: ArgumentHelp(
            "Weight of telling tasks apart; 1 as published, for catalogues that do not grow.", valueName: "number"))
    package var lambda: Double = 0

    @Option(help: ArgumentHelp("Probes.", valueName: "n"))
    package var probeCount: Int = ProbePool.defaultCount

    @Option(
        help: ArgumentHelp(
            "Transforms of the probes, separated by commas. Default: those of the tasks.", valueName: "list"))
    package var transforms: String?

    @Option(help: ArgumentHelp("Draws of class nodes per model.", valueName: "number"))
    package var draws: Int = 6

    @Option(help: ArgumentHelp("Steps of training.", valueName: "number"))
    package var steps: Int = 1500

    @Option(help: ArgumentHelp("Samples per class of a training query.", valueName: "number"))
    package var shots: Int = 5

    @Option(help: ArgumentHelp("Tasks, chosen by --seed, that are indexed but not trained on.", valueName: "number"))
    package var holdOut: Int = 0

    @Flag(help: "Read nodes alone, no boundary points.")
    package var nodesOnly = false

    @Flag(help: "Use the models' labels alone, as of a box that gives no scores.")
    package var labelsOnly = false

    @OptionGroup package var target: IndexOption
    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    package func validate() throws {
        func check(_ name: String, _ value: Int, _ range: ClosedRange<Int>) throws {
            guard !range.contains(value) else { return }
            throw ValidationError("--\(name) takes a number from \(range.lowerBound) to \(range.upperBound).")
        }
        try check("probe-count", probeCount, 10...1_000_000)
        try check("draws", draws, 1...100)
        try check("steps", steps, 1...1_000_000)
        try check("shots", shots, 1...10_000)
        try check("hold-out", holdOut, 0...1_000_000)
        if !(0...1e6).contains(lambda) { throw ValidationError("--lambda takes a number from 0 on.") }
    }

    package func run(in session: Session) throws {
        let start = ContinuousClock.now
        let probeData = try Self.samples(probes, labelled: false)
        let queryData = try Self.samples(queries, labelled: true)
        let mapSamples = try mapData.map { try Self.samples($0, labelled: true) } ?? queryData
        for (name, samples) in [("--queries", queryData), ("--map-data", mapSamples)]
        where samples.inputShape != probeData.inputShape {
            throw ZooError(
                .mismatch, "\(name) has samples of shape \(samples.inputShape), --probes of \(probeData.inputShape)")
        }
        var (items, failures) = try Self.items(
            selectors, tasks: tasks, target: target, inputShape: probeData.inputShape, session)
        if let boxes {
            items += try BoxManifest(boxes, inputShape: probeData.inputShape).items
        }
        var settings = RetrievalFit.Settings()
        settings.map = map
        settings.encoder = encoder
        settings.probeCount = probeCount
        settings.draws = draws
        settings.shots = shots
        settings.usesBoundaries = !nodesOnly
        settings.labelsOnly = labelsOnly
        settings.heldOutTasks = holdOut
        settings.training.loss = loss
        settings.training.composesTasks = !wholeTasks
        settings.training.lambda = lambda
        settings.training.steps = steps
        let path = IndexFile.path(target.index, session)
        let folder = FitFolder(index: path, session)
        let work = RetrievalFit(
            settings: settings, session: session, folder: folder, probes: probeData, queries: queryData,
            mapData: mapSamples)
        let made = try work.run(items, transforms: try poolTransforms(items))
        failures += made.failures
        try IndexFile.write(made.index, to: path)
        folder.remove()
        let summary = IndexSummary(
            path: path, index: made.index, added: made.index.models.count, start: start, trained: made.trained,
            gradeQueries: made.gradeQueries)
        try session.emit(summary.json, as: summary.table)
        guard failures.isEmpty else { throw PartialFailure(failures, of: items.count + failures.count, kind: "models") }
    }

    private func poolTransforms(_ items: [CaptureItem]) throws -> [[InputTransform]] {
        if let transforms {
            return try transforms.split(separator: ",").map { name in
                name == "identity" ? [] : try name.split(separator: "+").map { try InputTransform(.string(String($0))) }
            }
        }
        var lists: [[InputTransform]] = []
        for item in items { if let list = item.task?.transforms, !lists.contains(list) { lists.append(list) } }
        return lists.isEmpty ? [[]] : lists
    }

    /// The samples of one split.
    static func samples(_ text: String, labelled: Bool) throws -> Samples {
        let source = try DataSource(text, defaultSplit: nil)
        guard source.splits.count == 1 else {
            throw ZooError(
                .usage, "'\(text)' has the splits \(source.splits.joined(separator: ", ")); one is needed",
                hint: "name it after a colon")
        }
        return try source.samples(source.splits[0], labelled: labelled)
    }

    /// What is to be captured, with the tasks that configurations or a manifest know.
    static func items(
        _ selectors: [String], tasks: String?, target: IndexOption, inputShape: [Int], _ session: Session
    ) throws -> ([CaptureItem], [PartialFailure.Item]) {
        let resolver = SelectorResolver(catalogPath: session.catalogPath)
        var checkpoints = try resolver.resolve(selectors)
        var known: [String: RetrievalTask] = [:]
        if let tasks {
            for entry in try TaskManifest(tasks).tasks {
                let found = try entry.models.isEmpty ? [] : resolver.resolve(entry.models)
                for checkpoint in found { known[checkpoint.label] = entry.task }
                checkpoints += found
            }
        }
        var labels = Set<String>()
        checkpoints = checkpoints.filter { labels.insert($0.label).inserted }
        guard !checkpoints.isEmpty else { return ([], []) }
        var models = try ZooModels(
            checkpoints, inputShape: inputShape, architecture: target.architecture, settings: target.set,
            session: session)
        models.assign(known)
        return (models.models.map(CaptureItem.init), models.failures)
    }
}

/// What `fit` and `add` tell of an index.
struct IndexSummary {
    let path: String
    let index: RetrievalIndex
    let added: Int
    let start: ContinuousClock.Instant
    var trained: TrainedEncoder?
    var gradeQueries = 0

    private var seconds: Double {
        let time = (ContinuousClock.now - start).components
        return Double(time.seconds) + Double(time.attoseconds) * 1e-18
    }

    private var queries: Int { gradeQueries + index.models.suffix(added).reduce(0) { $0 + $1.queryCount } }
    private var bytes: Int { IndexFile.byteCount(path) ?? 0 }
    private var uncovered: Int { index.models.suffix(added).count { $0.coverage < Knowledge.lowCoverage } }

    var table: Table {
        var table = Table([
            .init("index", isPath: true), .init("models", .integer, unit: .count),
            .init("added", .integer, unit: .count),
            .init("trained_tasks", .integer), .init("model_queries", .integer, unit: .count),
            .init("uncovered", .integer), .init("validation_mrr", .double), .init("bytes", .integer, unit: .bytes),
            .init("seconds", .double, unit: .seconds),
        ])
        table.append([
            .text(path), .int(index.models.count), .int(added), .int(index.trainedTasks.count), .int(queries),
            .int(uncovered), index.validationMRR.map { .double($0) } ?? .null, .int(bytes), .double(seconds),
        ])
        return table
    }

    var json: JSONValue {
        var object = JSONObject()
        object["index"] = .string(path)
        object["models"] = .int(Int64(index.models.count))
        object["added"] = .int(Int64(added))
        object["trained_tasks"] = .int(Int64(index.trainedTasks.count))
        object["model_queries"] = .int(Int64(queries))
        object["uncovered"] = .int(Int64(uncovered))
        object["validation_mrr"] = index.validationMRR.map { .double($0) } ?? .null
        object["composed_mrr"] = trained?.composedMRR.map { .double($0) } ?? .null
        object["validation_tau"] = trained?.validationTau.map { .double($0) } ?? .null
        object["best_step"] = trained.map { .int(Int64($0.bestStep)) } ?? .null
        object["map_digest"] = .string(index.map.digest)
        object["encoder_digest"] = .string(index.encoder.digest)
        object["pool_digest"] = .string(index.pool.digest)
        object["bytes"] = .int(Int64(bytes))
        object["seconds"] = .double(seconds)
        return .object(object)
    }
}
