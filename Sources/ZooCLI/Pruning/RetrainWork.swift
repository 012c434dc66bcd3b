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

/// The steps of `zoo prune retrain`: the pruned network and its control through the same batches.
final class RetrainWork {
    private let command: PruneRetrain
    private let session: Session
    /// The pruned network, then the control.
    private let runs: [Retraining]
    private let teacher: Teacher?
    private let rate: Double

    init(_ command: PruneRetrain, _ session: Session) throws {
        self.command = command
        self.session = session
        let targets = [(command.model, command.to)] + (command.control.map { [($0, command.to + "-control")] } ?? [])
        for (_, target) in targets { try HuggingFaceFolder.check(target, replacing: command.replace) }
        let domain = try TripletSet.read(command.domain), general = try command.general.map { try TripletSet.read($0) }
        let sets = [domain] + (general.map { [$0] } ?? [])
        if let test = command.test {
            let held = try TripletSet.read(test)
            for set in sets { try set.requireDisjoint(from: held) }
        }
        var runs: [Retraining] = []
        for (place, (label, target)) in targets.enumerated() {
            let (selected, model) = try Self.open(label, command, session)
            let limit = min(model.maximumLength, command.maxLength)
            let tokens = try sets.map { set in
                let tokens = try TripletTokens(
                    set, model: model, limit: limit, queryPrefix: command.queryPrefix,
                    documentPrefix: command.documentPrefix, jobs: session.jobs)
                if place == 0 { tokens.note(set.name, limit: limit, session) }
                return tokens.triplets
            }
            let network = PrunableNetwork(
                label: selected.label, graph: model.graph, source: try selected.open(),
                place: selected.place ?? selected.label)
            runs.append(
                try Retraining(
                    network, target: target, isControl: place == 1, data: tokens, limit: limit, command, session.seed))
            guard runs[place].dataDigest == runs[0].dataDigest else {
                throw ZooError(
                    .mismatch, "\(label) and \(command.model) make other tokens of the same texts",
                    hint: "a control must see the very same batches: give the network before pruning")
            }
        }
        self.runs = runs
        rate = command.rate ?? (runs[0].network.source.parameterCount > 100_000_000 ? 2e-5 : 5e-5)
        teacher = try command.distill > 0 ? Teacher(Self.teacher(command), command, session) : nil
    }

    private static func teacher(_ command: PruneRetrain) throws -> String {
        guard let label = command.teacher ?? command.control else {
            throw ZooError(
                .usage, "--distill needs a network to stay near",
                hint: "name the network before pruning with --teacher, or with --control")
        }
        return label
    }

    private static func open(
        _ label: String, _ command: PruneRetrain, _ session: Session
    ) throws -> (SelectedCheckpoint, TextModel) {
        let selected = try SelectorResolver(catalogPath: session.catalogPath).resolveOne(label)
        let isDecoder = try selected.open().tensorInfos.contains { $0.name.hasSuffix("embed_tokens.weight") }
        let model = try TextModel(
            selected, architecture: command.architecture, settings: command.set, tokenizer: command.tokenizer,
            batch: 32, session, defaults: JSONObject([("pooling", .string(isDecoder ? "last" : "mean"))]))
        return (selected, model)
    }

    /// The network before pruning, whose vectors the trained ones stay near.
    private struct Teacher {
        let label: String
        let encoder: TextEncoder
        let digest: String

        init(_ label: String, _ command: PruneRetrain, _ session: Session) throws {
            let (selected, model) = try RetrainWork.open(label, command, session)
            self.label = selected.label
            encoder = model.encoder
            let network = PrunableNetwork(
                label: label, graph: model.graph, source: try selected.open(), place: selected.place ?? label)
            digest = try network.digest(of: model.graph.parameterNames)
        }

        /// Unit vectors of the texts of a batch.
        func vectors(_ triplets: [TokenTriplet], jobs: Int) throws -> [[Float]] {
            try encoder.embed(SplitTripletLoss.texts(triplets), jobs: jobs).map { vector in
                let size = vector.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
                return vector.map { Float(Double($0) / max(size, 1e-12)) }
            }
        }
    }

    func run() throws -> RetrainReport {
        let state = try RetrainState(
            output: command.to, settings: settings().text(), networks: runs.count, session: session)
        for (place, run) in runs.enumerated() { try state.restore(run, place) }
        let progress = session.progress("retrain", total: command.steps * runs.count, unit: .items("steps"))
        progress.advance(by: runs.reduce(0) { $0 + $1.position })
        do {
            while let step = runs.map(\.position).min(), step < command.steps {
                try Cancellation.check()
                try self.step(step, progress)
                try state.save(runs)
            }
        } catch let error as ZooError where error.code == .interrupted {
            try state.save(runs, now: true)
            throw error
        }
        progress.finish()
        var results: [RetrainReport.Run] = []
        for run in runs { results.append(try RetrainReport.Run(run, run.weights.state(over: run.network.source))) }
        let report = RetrainReport(
            command: command, runs: results, rate: rate, teacher: teacher?.label, seed: session.seed)
        for (run, result) in zip(runs, results) {
            try run.network.write(
                try run.weights.state(over: run.network.source), to: run.target, mask: run.mask,
                json: report.json(result, source: run.network), replacing: command.replace, session: session)
        }
        state.remove()
        return report
    }

    /// Takes one step with every network that has not taken it yet. The control runs beside the pruned network, each
    /// with its share of the threads: results do not depend on how many there are.
    private func step(_ step: Int, _ progress: ProgressReporter) throws {
        let due = runs.filter { $0.position == step }, share = max(1, session.jobs / due.count)
        for run in due { run.draw() }
        // All draw the same batches.
        let vectors = try teacher.map { try $0.vectors(due[0].triplets, jobs: session.jobs) }
        let rate = Retraining.rate(self.rate, step: step, of: command.steps, warmup: command.warmup)
        let distillation = command.distill
        try Parallel.forEach(count: due.count, jobs: session.jobs) { place in
            try due[place].take(rate: rate, teacher: vectors, distillation: distillation, jobs: share)
            progress.advance()
        }
    }

    /// Everything that the outcome follows from: a saved state of other settings is not taken up.
    private func settings() throws -> JSONValue {
        var json = JSONObject([
            ("steps", .int(Int64(command.steps))), ("batch", .int(Int64(command.batch))), ("rate", .double(rate)),
            ("warmup", .double(command.warmup)), ("mix", .string(command.mix)),
            ("distillation", .double(command.distill)), ("teacher", teacher.map { .string($0.digest) } ?? .null),
            ("seed", .int(Int64(bitPattern: session.seed))),
        ])
        json["networks"] = .array(try runs.map { .string(try $0.digest()) })
        return .object(json)
    }
}

/// Where retraining goes on after an interrupt: a file beside the folder, written by rename and removed at the end.
private final class RetrainState {
    private let path: String
    private let settings: String
    private let found: CheckpointFile?
    private let networks: Int
    private var savedAt = ProgressReporter.monotonicSeconds()
    private static let interval = 60.0, key = "zoo_state"

    init(output: String, settings: String, networks: Int, session: Session) throws {
        path = (output.hasSuffix("/") ? String(output.dropLast()) : output) + ".state.safetensors"
        self.settings = ContentDigest.of(Bytes(Array(settings.utf8)))
        self.networks = networks
        guard MergeModels.isReadable(path) else {
            found = nil
            return
        }
        let file = try CheckpointFile.open(path)
        let text = file.metadata[Self.key]?.string ?? "{}"
        let json = try ZooError.locate(path) { try JSONParser.parse(text).object ?? JSONObject() }
        guard json["settings"]?.string == self.settings, json["networks"]?.int == networks else {
            session.warn("\(path) is of a run with other settings; it is started anew")
            found = nil
            return
        }
        found = file
        session.note("going on from \(path)")
    }

    func restore(_ run: Retraining, _ place: Int) throws {
        guard let found else { return }
        try ZooError.locate(path) { try run.restore(found.source, prefix: "\(place).") }
    }

    func save(_ runs: [Retraining], now: Bool = false) throws {
        let time = ProgressReporter.monotonicSeconds()
        guard now || time - savedAt >= Self.interval else { return }
        var state = StateDict()
        for (place, run) in runs.enumerated() {
            for (name, tensor) in try run.saved() { state["\(place).\(name)"] = tensor }
        }
        let json = JSONObject([("settings", .string(settings)), ("networks", .int(Int64(networks)))])
        try SafetensorsWriter.writeUninterrupted(
            state, to: path, metadata: [Self.key: JSONValue.object(json).text()])
        // Counted from the end: saving takes a few seconds of a minute at most.
        savedAt = ProgressReporter.monotonicSeconds()
    }

    func remove() { unlink(path) }
}
