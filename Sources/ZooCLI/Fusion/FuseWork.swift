import ZooBase
import ZooCatalog
import ZooFormats
import ZooMerge
import ZooNN
import ZooReport
import ZooTensor

/// The steps of `zoo fuse`.
struct FuseWork {
    /// The checkpoints and their network.
    let models: OneArchitecture
    private let command: Fuse
    private let session: Session
    private let data: [Samples]

    /// What came out.
    struct Result {
        var state: StateDict
        /// One per checkpoint; nil where the method has none.
        var coefficients: [Double?]
        var details: JSONObject
        var table: Table

        func json(output: String) -> JSONObject {
            var object = details
            object["output"] = .string(output)
            return object
        }
    }

    init(_ command: Fuse, _ session: Session) throws {
        self.command = command
        self.session = session
        let found = try SelectorResolver(catalogPath: session.catalogPath).resolve(command.selectors)
        let sets = command.method == .adamerging ? found.count - 1 : found.count
        guard sets > 0 else { throw ZooError(.usage, "adamerging takes a base and at least one task") }
        guard command.data.count == 1 || command.data.count == sets else {
            throw ZooError(
                .usage,
                "\(command.data.count) --data for \(sets) \(command.method == .adamerging ? "tasks" : "checkpoints")",
                hint: "give it once, or once for each")
        }
        let read = try command.data.map { text -> Samples in
            let source = try DataSource(text, labels: command.labels, seed: session.seed, defaultSplit: "train")
            guard source.splits.count == 1 else {
                throw ZooError(.usage, "--data \(text) names \(source.splits.count) splits; name one")
            }
            return try source.samples(source.splits[0], labelled: false).prefix(command.samples ?? .max)
        }
        data = read.count == sets ? read : Array(repeating: read[0], count: sets)
        models = try OneArchitecture(
            found, inputShape: data[0].inputShape, architecture: command.architecture, settings: command.set,
            session: session)
    }

    func run() throws -> Result {
        switch command.method {
        case .fisher: try fisher()
        case .regmean: try regMean()
        case .adamerging: try adaMerging()
        }
    }

    private func lambdas(_ count: Int) throws -> [Double] {
        guard let text = command.weights else { return AverageWeights.uniform(count: count) }
        let parts = text.split(separator: ",").map { String($0).trimming(while: \.isWhitespace) }
        let parsed = parts.compactMap(Double.init)
        guard parsed.count == parts.count else { throw ZooError(.usage, "'\(text)' is no list of numbers") }
        return try AverageWeights.weighted(parsed, count: count)
    }

    private func rows(_ coefficients: [Double?], _ counts: [Int]) -> Table {
        var table = Table([.init("checkpoint", isPath: true), .init("weight", .double), .init("samples", .integer)])
        for (place, checkpoint) in models.checkpoints.enumerated() {
            table.append([
                .text(checkpoint.label), coefficients[place].map { .double($0) } ?? .null, .int(counts[place]),
            ])
        }
        return table
    }

    private func details(_ coefficients: [Double?], _ counts: [Int]) -> JSONObject {
        JSONObject([
            ("method", .string(command.method.rawValue)),
            (
                "weights",
                .array(
                    models.checkpoints.indices.map {
                        [
                            "checkpoint": .string(models.checkpoints[$0].label),
                            "weight": coefficients[$0].map { .double($0) } ?? .null, "samples": .int(Int64(counts[$0])),
                        ]
                    })
            ),
        ])
    }

    private func fisher() throws -> Result {
        let sources = try models.checkpoints.map { try $0.open() }
        var options = FisherMerge.Options()
        options.weights = try lambdas(sources.count)
        options.floor = command.floor
        options.normalised = command.normalised
        options.favoursFirst = command.favourFirst
        let progress = session.progress("fisher", total: data.reduce(0) { $0 + $1.count }, unit: .items("samples"))
        var fishers: [FisherInformation] = []
        for (source, samples) in zip(sources, data) {
            fishers.append(
                try FisherInformation(
                    models.graph, source, samples: samples, kind: command.fisher, jobs: session.jobs
                ) { progress.advance(by: $0) })
        }
        progress.finish()
        if let folder = command.fisherTo { try store(fishers, in: folder) }
        let state = try FisherMerge.merge(sources, fishers: fishers.map(\.diagonal), options: options)
        let counts = data.map(\.count)
        var object = details(options.weights, counts)
        object["fisher"] = .string(command.fisher.rawValue)
        return Result(
            state: state, coefficients: options.weights, details: object, table: rows(options.weights, counts))
    }

    private func store(_ fishers: [FisherInformation], in folder: String) throws {
        for (place, fisher) in fishers.enumerated() {
            try CheckpointWriters.write(
                fisher.diagonal, to: "\(folder)/fisher-\(place + 1).safetensors",
                metadata: [
                    "format": "pt", "checkpoint": models.checkpoints[place].label,
                    "samples": String(fisher.sampleCount), "fisher": command.fisher.rawValue,
                ], jobs: session.jobs)
        }
    }

    private func regMean() throws -> Result {
        let sources = try models.checkpoints.map { try $0.open() }
        var options = RegMean.Options()
        options.alpha = command.alpha
        options.coefficients = try lambdas(sources.count)
        options.jobs = session.jobs
        let (graph, data) = (models.graph, data)
        let grams = try Parallel.map(count: sources.count, jobs: session.jobs) {
            try GramMatrices(graph, sources[$0], samples: data[$0])
        }
        let merged = try RegMean(sources, grams: grams, options: options)
        let counts = data.map(\.count)
        var object = details(options.coefficients, counts)
        object["alpha"] = .double(command.alpha)
        object["ridges"] = .object(
            JSONObject(merged.ridges.sorted { $0.key < $1.key }.map { ($0.key, .double($0.value)) }))
        let needed = merged.ridges.values.filter { $0 > 0 }.count
        if needed > 0 {
            session.note("\(Quantity.count(needed)) layers needed a ridge: their inputs do not span all features")
        }
        return Result(
            state: merged.state, coefficients: options.coefficients, details: object,
            table: rows(options.coefficients, counts))
    }

    private func adaMerging() throws -> Result {
        let sources = try models.checkpoints.map { try $0.open() }
        var options = AdaMerging.Options()
        options.granularity = command.per
        options.start = command.start
        options.rate = command.rate
        options.steps = command.steps
        options.seed = session.seed
        let progress = session.progress("adamerging", total: command.steps, unit: .items("steps"))
        let merged = try AdaMerging(
            models.graph, base: sources[0], tasks: zip(sources.dropFirst(), data).map { ($0, $1) }, options: options
        ) { progress.advance(by: $0) }
        progress.finish()
        let tasks = sources.count - 1
        let means = (0..<tasks).map { task in
            merged.coefficients.reduce(0) { $0 + $1[task] } / Double(merged.coefficients.count)
        }
        for task in merged.collapsedTasks {
            let counts = merged.predictions[task], total = counts.reduce(0, +)
            session.warn(
                "the predictions for \(models.checkpoints[task + 1].label) have collapsed: \(counts.max() ?? 0) of "
                    + "\(total) samples in one class, \(counts.count { $0 == 0 }) of \(counts.count) classes never; "
                    + "certainty is not correctness (try fewer --steps, a smaller --start, or --per task)")
        }
        var object = details([1] + means, [0] + data.map(\.count))
        object["coefficients"] = .object(
            JSONObject(
                zip(merged.rowNames, merged.coefficients).map { ($0, .array($1.map { .double($0) })) }))
        object["losses"] = .array(merged.losses.map { .double($0) })
        object["start_predictions"] = .array(
            merged.startPredictions.map { .array($0.map { .int(Int64($0)) }) })
        object["predictions"] = .array(merged.predictions.map { .array($0.map { .int(Int64($0)) }) })
        return Result(
            state: merged.state, coefficients: [1] + means, details: object,
            table: rows([1] + means, [0] + data.map(\.count)))
    }
}
