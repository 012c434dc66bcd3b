import ZooBase
import ZooCatalog
import ZooFormats
import ZooNN
import ZooPrune
import ZooReport
import ZooTensor

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The steps of `zoo prune score`.
final class ScoreWork {
    private let command: PruneScore
    private let session: Session
    private let network: PrunableNetwork
    private let matrices: [CandidateMatrix]
    private let layout: StatisticsLayout
    private let weights: ModelWeights
    private let data: CalibrationData
    private let description: JSONObject
    private let maximumLength: Int
    private let encoder: TextEncoder?

    init(_ command: PruneScore, _ session: Session) throws {
        // Only scores are written over: another folder could be a network.
        let isOwn = MergeModels.isReadable(command.to + "/scores.json")
        try HuggingFaceFolder.check(command.to, replacing: isOwn)
        self.command = command
        self.session = session
        let isText = TextFile.isText(command.domain)
        guard isText == TextFile.isText(command.general) else {
            throw ZooError(.usage, "--domain and --general are of different kinds: one of texts, one of samples")
        }
        let opened =
            isText ? try Self.openTexts(command, session) : try Self.openSamples(command, session)
        (network, data, description) = (opened.network, opened.data, opened.description)
        (maximumLength, encoder) = (opened.maximumLength, opened.encoder)
        let infos = network.source.tensorInfos
        matrices = try CandidateMatrix.all(of: network.graph, tensors: infos, layers: command.layers)
        layout = StatisticsLayout(network.graph, tensors: infos, matrices: matrices, all: command.allTensors)
        weights = try ModelWeights(network.graph, source: network.source)
    }

    private struct Opened {
        var network: PrunableNetwork
        var data: CalibrationData
        var description: JSONObject
        var maximumLength = 1
        var encoder: TextEncoder?
    }

    // MARK: Data

    private static func openTexts(_ command: PruneScore, _ session: Session) throws -> Opened {
        let selected = try SelectorResolver(catalogPath: session.catalogPath).resolveOne(command.model)
        let infos = try selected.open().tensorInfos
        let isDecoder = infos.contains { $0.name.hasSuffix("embed_tokens.weight") }
        let model = try TextModel(
            selected, architecture: command.architecture, settings: command.set, tokenizer: command.tokenizer,
            batch: 32,
            session, defaults: JSONObject([("pooling", .string(isDecoder ? "last" : "mean"))]))
        let limit = min(model.maximumLength, command.maxLength)
        var data = CalibrationData(), description = JSONObject()
        var sets: [TripletSet] = []
        for (side, path) in [(CalibrationSide.domain, command.domain), (.general, command.general)] {
            let all = try TripletSet.read(path)
            let set = try chosen(all, command, model, limit, session)
            if set.triplets.count < 200 {
                session.warn(
                    "\(path): \(set.triplets.count) triplets are few; 200 to 1000 give steadier scores")
            }
            let tokens = try TripletTokens(
                set, model: model, limit: limit, queryPrefix: command.queryPrefix,
                documentPrefix: command.documentPrefix, jobs: session.jobs)
            tokens.note(path, limit: limit, session)
            data.triplets[side] = tokens.triplets
            description[side.rawValue] = .object(
                JSONObject([
                    ("path", .string(path)), ("count", .int(Int64(set.triplets.count))),
                    ("pool", .int(Int64(all.triplets.count))), ("digest", .string(String(set.digest, radix: 16))),
                    ("with_negative", .double(set.negativeShare)), ("cut_texts", .int(Int64(tokens.cutCount))),
                ]))
            sets.append(set)
        }
        if sets[0].digest == sets[1].digest {
            session.warn("--domain and --general are the same triplets: the sides say the same")
        }
        if let test = command.test {
            let held = try TripletSet.read(test)
            for set in sets { try set.requireDisjoint(from: held) }
        }
        description["kind"] = "texts"
        description["maximum_length"] = .int(Int64(limit))
        description["query_prefix"] = .string(command.queryPrefix)
        description["document_prefix"] = .string(command.documentPrefix)
        let network = PrunableNetwork(
            label: selected.label, graph: model.graph, source: try selected.open(),
            place: selected.place ?? selected.label)
        return Opened(
            network: network, data: data, description: description, maximumLength: limit, encoder: model.encoder)
    }

    /// As many triplets as asked for, when there are more.
    private static func chosen(
        _ all: TripletSet, _ command: PruneScore, _ model: TextModel, _ limit: Int, _ session: Session
    ) throws -> TripletSet {
        guard all.triplets.count > command.count else { return all }
        switch command.sampling {
        case .random:
            var generator = SeededGenerator(seed: session.seed)
            return try all.selecting(Array(generator.permutation(all.triplets.count).prefix(command.count)))
        case .representative:
            let queries = all.triplets.map { command.queryPrefix + $0.query }
            let tokens = try model.tokenizer.encode(queries, maximumLength: limit, jobs: session.jobs).map(\.ids)
            let progress = session.progress("embed \(all.name)", total: tokens.count, unit: .items("texts"))
            let vectors = try model.encoder.embed(tokens, jobs: session.jobs) { progress.advance(by: $0) }
            progress.finish()
            return try all.selecting(
                RepresentativeSampling.choose(command.count, of: vectors, seed: session.seed, jobs: session.jobs))
        }
    }

    private static func openSamples(_ command: PruneScore, _ session: Session) throws -> Opened {
        var data = CalibrationData(), description = JSONObject()
        var shape: [Int] = []
        for (side, text) in [(CalibrationSide.domain, command.domain), (.general, command.general)] {
            let source = try DataSource(text, subset: command.count, seed: session.seed)
            guard source.splits.count == 1 else {
                throw ZooError(.usage, "'\(text)' has several splits; one is needed", hint: "name it after a colon")
            }
            let samples = try source.samples(source.splits[0])
            data.samples[side] = samples
            shape = samples.inputShape
            description[side.rawValue] = .object(
                JSONObject([
                    ("path", .string(text)), ("count", .int(Int64(samples.count))),
                ]))
        }
        guard data.samples[.domain]?.inputShape == data.samples[.general]?.inputShape else {
            throw ZooError(.mismatch, "--domain and --general have samples of different shapes")
        }
        description["kind"] = "samples"
        let network = try PrunableNetwork(
            command.model, architecture: command.architecture, settings: command.set, inputShape: shape, session)
        return Opened(network: network, data: data, description: description)
    }

    private func objective(_ side: CalibrationSide) throws -> any CalibrationObjective {
        let infos = network.source.tensorInfos
        if let triplets = data.triplets[side] {
            return try TripletObjective(
                network.graph, tensors: infos, layout: layout, triplets: triplets, estimator: command.fisher,
                batch: command.batch, seed: session.seed, maximumLength: maximumLength, encoder: encoder,
                jobs: session.jobs)
        }
        guard let samples = data.samples[side] else { throw ZooError(.internal, "no data for \(side.rawValue)") }
        return try SampleObjective(
            network.graph, tensors: infos, layout: layout, samples: samples, estimator: command.fisher,
            batch: command.batch, seed: session.seed)
    }

    // MARK: The passes

    func run() throws -> ScoreReport {
        let scored = layout.entries.map(\.name)
        var json = JSONObject([
            ("tool", .string("zoo \(ZooVersion.string)")), ("model", .string(network.label)),
            ("model_digest", .string(try network.digest(of: scored))),
            ("architecture", network.graph.json), ("default_layers", .string(defaultLayers.rawValue)),
            ("scored", .array(scored.map { .string($0) })),
            ("matrices", .array(matrices.map { .string($0.name) })),
            ("fisher", .string(command.fisher.rawValue)),
            ("batch", .int(Int64(command.fisher == .perSample ? 1 : command.batch))),
            ("seed", .int(Int64(bitPattern: session.seed))), ("data", .object(description)),
        ])
        let objectives = try CalibrationSide.allCases.map { try objective($0) }
        let state = try ScoreState(
            output: command.to,
            settings: JSONValue.object(json).text() + objectives.map { String($0.digest) }.joined(separator: ","),
            session: session)
        let total = objectives.reduce(0) {
            $0 + (0..<$1.batchCount).reduce(0) { [o = $1] in $0 + o.sampleCount(of: $1) }
        }
        let progress = session.progress("calibrate", total: total, unit: .items("samples"))
        var sides: [SideStatistics] = []
        for (side, objective) in zip(CalibrationSide.allCases, objectives) {
            if let done = try state.finished(side, layout) {
                sides.append(done)
                progress.advance(by: (0..<objective.batchCount).reduce(0) { $0 + objective.sampleCount(of: $1) })
                continue
            }
            let pass = CalibrationPass(
                objective, layout: layout, weights: weights, reference: sides.first?.gradient)
            if try state.restore(pass, side) {
                progress.advance(by: (0..<pass.position).reduce(0) { $0 + objective.sampleCount(of: $1) })
            }
            do {
                try pass.run(jobs: session.jobs) { samples in
                    progress.advance(by: samples)
                    try state.save(pass, side, finished: sides, layout)
                }
            } catch let error as ZooError where error.code == .interrupted {
                try state.save(pass, side, finished: sides, layout, now: true)
                throw error
            }
            sides.append(try pass.statistics())
            try state.keep(side, sides, layout)
        }
        progress.finish()
        let report = ScoreReport(
            output: command.to, network: network.label, matrices: matrices, layout: layout, sides: sides)
        json["statistics"] = .object(report.json)
        try ScoreFolder.write(
            to: command.to, layout: layout, sides: Array(zip(CalibrationSide.allCases, sides)),
            calibration: data.tensors, json: json, jobs: session.jobs)
        state.remove()
        return report
    }

    /// What 'mask' prunes unless told: feed-forward layers where there is attention, else everything.
    private var defaultLayers: PruneLayers {
        let hasAttention = network.graph.nodes.contains { $0.op == .attention }
        return hasAttention && command.layers != .attn ? .mlp : command.layers
    }
}

/// Where scoring goes on after an interrupt: a file beside the folder, written by rename and removed at the end.
private final class ScoreState {
    private let path: String
    private let settings: String
    private let found: CheckpointFile?
    private let counts: JSONObject
    private var savedAt = ProgressReporter.monotonicSeconds()
    private static let interval = 60.0, key = "zoo_state"

    init(output: String, settings: String, session: Session) throws {
        path = (output.hasSuffix("/") ? String(output.dropLast()) : output) + ".state.safetensors"
        self.settings = ContentDigest.of(Bytes(Array(settings.utf8)))
        guard MergeModels.isReadable(path) else {
            (found, counts) = (nil, JSONObject())
            return
        }
        let file = try CheckpointFile.open(path)
        let text = file.metadata[Self.key]?.string ?? "{}"
        let json = try ZooError.locate(path) { try JSONParser.parse(text).object ?? JSONObject() }
        guard json["settings"]?.string == self.settings else {
            session.warn("\(path) is of a run with other settings; it is started anew")
            (found, counts) = (nil, JSONObject())
            return
        }
        (found, counts) = (file, json)
        session.note("going on from \(path)")
    }

    func restore(_ pass: CalibrationPass, _ side: CalibrationSide) throws -> Bool {
        guard let found, let own = counts[side.rawValue]?.object else { return false }
        try ZooError.locate(path) { try pass.restore(found.source, prefix: "\(side.rawValue).sums.", counts: own) }
        return true
    }

    /// A side that was done before the interrupt.
    func finished(_ side: CalibrationSide, _ layout: StatisticsLayout) throws -> SideStatistics? {
        guard let found, let own = counts["\(side.rawValue).done"]?.object else { return nil }
        return try ZooError.locate(path) {
            var statistics = SideStatistics(
                fisher: try found.source.tensor(named: "\(side.rawValue).fisher").floats(),
                gradient: try found.source.tensor(named: "\(side.rawValue).gradient").floats(),
                loss: own["loss"]?.double ?? .nan, batches: own["batches"]?.int ?? 0,
                samples: own["samples"]?.int ?? 0, skippedBatches: own["skipped"]?.int ?? 0)
            guard statistics.fisher.count == layout.count, statistics.gradient.count == layout.count else {
                throw ZooError(.mismatch, "the saved statistics are of another network")
            }
            for matrix in layout.summed {
                let names = (
                    "\(side.rawValue).means/\(matrix.name)", "\(side.rawValue).squares/\(matrix.name)"
                )
                statistics.inputMeans[matrix.name] = try found.source.tensor(named: names.0).floats()
                statistics.inputSquares[matrix.name] = try found.source.tensor(named: names.1).floats()
            }
            return statistics
        }
    }

    func save(
        _ pass: CalibrationPass, _ side: CalibrationSide, finished: [SideStatistics], _ layout: StatisticsLayout,
        now: Bool = false
    ) throws {
        let time = ProgressReporter.monotonicSeconds()
        guard now || time - savedAt >= Self.interval else { return }
        savedAt = time
        let (tensors, own) = pass.saved()
        var (state, json) = Self.done(finished, layout)
        for (name, tensor) in tensors { state["\(side.rawValue).sums.\(name)"] = tensor }
        json[side.rawValue] = .object(own)
        try write(state, json)
    }

    /// Keeps the first side when it is done; after the second the folder is written.
    func keep(_ side: CalibrationSide, _ sides: [SideStatistics], _ layout: StatisticsLayout) throws {
        guard side == .domain, found != nil || ProgressReporter.monotonicSeconds() - savedAt >= 5 else { return }
        let (state, json) = Self.done(sides, layout)
        try write(state, json)
        savedAt = ProgressReporter.monotonicSeconds()
    }

    private static func done(_ sides: [SideStatistics], _ layout: StatisticsLayout) -> (StateDict, JSONObject) {
        var state = StateDict(), json = JSONObject()
        for (side, statistics) in zip(CalibrationSide.allCases, sides) {
            state["\(side.rawValue).fisher"] = Tensor(statistics.fisher, shape: [layout.count])
            state["\(side.rawValue).gradient"] = Tensor(statistics.gradient, shape: [layout.count])
            for (name, values) in statistics.inputMeans {
                state["\(side.rawValue).means/\(name)"] = Tensor(values, shape: [values.count])
            }
            for (name, values) in statistics.inputSquares {
                state["\(side.rawValue).squares/\(name)"] = Tensor(values, shape: [values.count])
            }
            json["\(side.rawValue).done"] = .object(
                JSONObject([
                    ("loss", .double(statistics.loss)), ("batches", .int(Int64(statistics.batches))),
                    ("samples", .int(Int64(statistics.samples))), ("skipped", .int(Int64(statistics.skippedBatches))),
                ]))
        }
        return (state, json)
    }

    private func write(_ state: StateDict, _ counts: JSONObject) throws {
        var json = counts
        json["settings"] = .string(settings)
        try SafetensorsWriter.writeUninterrupted(
            state, to: path, metadata: [Self.key: JSONValue.object(json).text()])
    }

    func remove() { unlink(path) }
}
