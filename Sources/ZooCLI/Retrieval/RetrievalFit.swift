import ZooBase
import ZooNN
import ZooRetrieval
import ZooTrain

/// Everything that a new index is made from.
struct RetrievalFit {
    /// What the command line says.
    struct Settings {
        var map = FeatureMap.Kind.net
        var encoder = EncoderKind.set
        var probeCount = ProbePool.defaultCount
        var draws = 6
        var iterations = 10
        var groups = 20
        var shots = 5
        var usesBoundaries = true
        var labelsOnly = false
        var heldOutTasks = 0
        var training = TrainingSettings()
    }

    let settings: Settings
    let session: Session
    /// What is kept until the index is written.
    let folder: FitFolder
    /// Probes, query samples to train on, samples that the map learns from.
    let probes: Samples, queries: Samples, mapData: Samples

    /// What a fit makes.
    struct Made {
        var index: RetrievalIndex
        var failures: [PartialFailure.Item]
        var trained: TrainedEncoder
        /// Inputs that models were asked about to grade them.
        var gradeQueries: Int
    }

    /// Makes an index of all items; encoders are trained on those of tasks that are not held out.
    func run(_ items: [CaptureItem], transforms: [[InputTransform]]) throws -> Made {
        try ModelCapture.refuseRepeated(items)
        let pool = try ProbePool(
            transforms.map { try transformed(probes, $0) }, count: settings.probeCount, seed: session.seed)
        let map = try featureMap(pool, transforms)
        var how = CaptureSettings()
        how.draws = settings.draws
        how.iterations = settings.iterations
        how.noiseCount = settings.encoder == .tans ? 256 : 0
        how.seed = session.seed
        let capture = try Capture(pool: pool, map: map, settings: how)
        let found = try ModelCapture(items, capture, labelsOnly: settings.labelsOnly, folder: folder, session)
        var shape = EncoderShape(settings.encoder, dimension: map.dimension)
        shape.usesBoundaries = settings.usesBoundaries
        shape.noiseCount = settings.encoder == .tans ? found.captured.first?.result.knowledge.noise.count ?? 0 : 0
        let (tasks, gradeQueries) = try trainingTasks(found.captured, map)
        var training = settings.training
        training.seed = session.seed
        let work = try EncoderTraining(
            shape, tasks: tasks, knowledge: found.captured.map(\.result.knowledge), settings: training)
        let state = try folder.state(of: work)
        let progress = session.progress("train", total: training.steps, unit: .items("steps"))
        defer { progress.finish() }
        let trained = try work.run(
            from: state, keep: { try folder.keep($0, of: work, isLast: $1) }, progress: { progress.advance(by: 1) })
        var index = RetrievalIndex(pool: pool, map: map, encoder: trained.encoder, capture: how)
        index.trainedTasks = tasks.map(\.name)
        index.positiveFloor = trained.positiveFloor
        index.validationMRR = trained.validationMRR
        try Self.add(found.captured, to: &index)
        return Made(index: index, failures: found.failures, trained: trained, gradeQueries: gradeQueries)
    }

    /// Encodes captured models and adds them.
    static func add(_ captured: [ModelCapture.Captured], to index: inout RetrievalIndex) throws {
        let runner = EncoderRunner(index.encoder)
        let madeWith = index.madeWith
        for item in captured {
            try index.add(
                item.entry(madeWith), vector: runner.vector(of: item.result.knowledge), answers: item.result.answers)
        }
    }

    private func transformed(_ samples: Samples, _ transforms: [InputTransform]) throws -> Samples {
        var how = TrialSettings()
        how.transforms = transforms
        return try TrainingData(train: samples).prepared(how, base: session.seed).train
    }

    /// The map of the settings' kind; `net` tells classes and transforms apart.
    private func featureMap(_ pool: ProbePool, _ transforms: [[InputTransform]]) throws -> FeatureMap {
        switch settings.map {
        case .raw: return .raw(pool)
        case .pca: return try .pca(pool)
        case .net:
            guard let classes = mapData.labels.max() else {
                throw ZooError(
                    .mismatch, "the feature map 'net' needs labels",
                    hint: "name labelled samples with --map-data, or take --map pca")
            }
            var inputs: [Float] = [], labels: [Int32] = []
            for (place, list) in transforms.enumerated() {
                let changed = try transformed(mapData, list)
                inputs += changed.inputs
                labels += changed.labels.map { $0 + Int32(place) * (classes + 1) }
            }
            let all = try Samples(
                inputs: inputs, inputShape: mapData.inputShape, labels: labels, count: labels.count)
            let digest = FeatureMap.netDigest(all, pool: pool, seed: session.seed)
            return try folder.map(.net, digest: digest, inputShape: pool.inputShape) {
                let progress = session.progress("feature map", total: 40, unit: .items("epochs"))
                defer { progress.finish() }
                return try .net(all, pool: pool, seed: session.seed) { progress.advance(by: 1) }
            }
        }
    }

    /// Query groups of every task that is trained on, and how many inputs models were asked about to grade them.
    private func trainingTasks(
        _ captured: [ModelCapture.Captured], _ map: FeatureMap
    ) throws -> (tasks: [TrainingTask], gradeQueries: Int) {
        // By name: models of one task may list its classes in different orders.
        var members: [String: [Int]] = [:], named: [String: RetrievalTask] = [:]
        for (place, item) in captured.enumerated() {
            guard let task = item.item.task else { continue }
            members[task.name, default: []].append(place)
            named[task.name] = named[task.name] ?? task
        }
        var tasks = named.values.sorted { $0.name < $1.name }
        var generator = SeededGenerator(seed: session.seed ^ 0x7461_736B)
        if settings.heldOutTasks > 0 {
            generator.shuffle(&tasks)
            guard settings.heldOutTasks + 2 <= tasks.count else {
                throw ZooError(
                    .usage,
                    "--hold-out \(settings.heldOutTasks) of \(tasks.count) tasks leaves fewer than two to train on")
            }
            tasks = tasks.dropFirst(settings.heldOutTasks).sorted { $0.name < $1.name }
        }
        let samples = try tasks.map { try $0.samples(of: queries, seed: session.seed) }
        var made: [TrainingTask] = []
        for (task, samples) in zip(tasks, samples) {
            let features = try map.apply(samples.inputs, count: samples.count)
            let groups = try ZooError.locate("task '\(task.name)'") {
                try (0..<settings.groups).map { _ in
                    try QuerySamples.classMeans(
                        features, samples.labels, RetrievalTask.draw(samples, shots: settings.shots, &generator))
                }
            }
            var training = TrainingTask(name: task.name, groups: groups, models: members[task.name] ?? [])
            training.domain = task.domain
            let labels = Set(samples.labels).sorted().map(Int.init)
            let outputs = training.models.map { model in
                captured[model].item.task.flatMap {
                    $0.outputs(for: labels, of: captured[model].result.knowledge.classes)
                }
            }
            if !outputs.contains(nil) { (training.labels, training.outputs) = (labels, outputs.compactMap { $0 }) }
            made.append(training)
        }
        guard settings.training.loss.readsGrades else { return (made, 0) }
        let grades = try ModelGrades(captured.map(\.item), samples, labelsOnly: settings.labelsOnly, session)
        for place in made.indices { made[place].grades = grades.accuracies.map { $0[place] } }
        return (made, grades.queryCount)
    }
}

/// Query samples as encoders read them.
enum QuerySamples {
    /// The mean features of each class among chosen samples `[C, d]`, classes in order.
    static func classMeans(_ features: Matrix, _ labels: [Int32], _ chosen: [Int]) throws -> Matrix {
        let classes = Set(chosen.map { labels[$0] }).sorted()
        var means = Matrix(rows: classes.count, columns: features.columns)
        for (c, label) in classes.enumerated() {
            let members = chosen.filter { labels[$0] == label }
            for row in members {
                for k in 0..<features.columns { means[c, k] += features[row, k] / Double(members.count) }
            }
        }
        return means
    }
}
