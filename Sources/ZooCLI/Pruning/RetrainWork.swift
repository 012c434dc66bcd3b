import ZooAutodiff
import ZooBase
import ZooCatalog
import ZooFormats
import ZooNN
import ZooPrune
import ZooReport
import ZooTensor
import ZooTrain

/// The steps of `zoo prune retrain`: the pruned network and its control through the same batches.
struct RetrainWork {
    let command: PruneRetrain
    let session: Session
    /// The pruned network, then the control.
    private let runs: [Retraining]
    private let rate: Double

    init(_ command: PruneRetrain, _ session: Session) throws {
        self.command = command
        self.session = session
        let targets = [(command.model, command.to)] + (command.control.map { [($0, command.to + "-control")] } ?? [])
        for (_, target) in targets { try HuggingFaceFolder.check(target, replacing: command.replace) }
        let domain = try TripletSet.read(command.domain), general = try command.general.map { try TripletSet.read($0) }
        if let test = command.test {
            let held = try TripletSet.read(test)
            for set in [domain] + (general.map { [$0] } ?? []) { try set.requireDisjoint(from: held) }
        }
        var runs: [Retraining] = []
        for (place, (label, target)) in targets.enumerated() {
            let selected = try SelectorResolver(catalogPath: session.catalogPath).resolveOne(label)
            let isDecoder = try selected.open().tensorInfos.contains { $0.name.hasSuffix("embed_tokens.weight") }
            let model = try TextModel(
                selected, architecture: command.architecture, settings: command.set, tokenizer: command.tokenizer,
                batch: 32, session, defaults: JSONObject([("pooling", .string(isDecoder ? "last" : "mean"))]))
            let limit = min(model.maximumLength, command.maxLength)
            let sets = [domain] + (general.map { [$0] } ?? [])
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
        }
        self.runs = runs
        rate = command.rate ?? (runs[0].network.source.parameterCount > 100_000_000 ? 2e-5 : 5e-5)
    }

    func run() throws -> RetrainReport {
        let progress = session.progress("retrain", total: command.steps * runs.count, unit: .items("steps"))
        let runs = runs, rate = rate, command = command
        // Batches run on one thread each; the network and its control run side by side.
        try Parallel.forEach(count: runs.count, jobs: session.jobs) { place in
            try runs[place].run(steps: command.steps, rate: rate, warmup: command.warmup) { progress.advance() }
        }
        progress.finish()
        var results: [RetrainReport.Run] = []
        for run in runs {
            let state = try run.weights.state(over: run.network.source)
            let result = try RetrainReport.Run(run, state)
            results.append(result)
        }
        let report = RetrainReport(command: command, runs: results, rate: rate, seed: session.seed)
        for (run, result) in zip(runs, results) {
            try run.network.write(
                try run.weights.state(over: run.network.source), to: run.target, mask: run.mask,
                json: report.json(result, source: run.network), replacing: command.replace, session: session)
        }
        return report
    }
}

/// One network in training. `@unchecked Sendable`: one thread runs it, and results are read afterwards.
final class Retraining: @unchecked Sendable {
    let network: PrunableNetwork
    let target: String
    let isControl: Bool
    let weights: ModelWeights
    /// What must stay zero; nil for a network without zeros.
    let mask: PruneMask?
    private(set) var losses: [Double] = []
    private let layout: StatisticsLayout
    private let objectives: [TripletObjective]
    private let turns: (domain: Int, general: Int)
    private let seed: UInt64
    private var executors: [Executor<Float>] = []
    /// The norm to which gradients are clipped.
    private static let clip = 1.0
    private static let keptExecutors = 3

    init(
        _ network: PrunableNetwork, target: String, isControl: Bool, data: [[TokenTriplet]], limit: Int,
        _ command: PruneRetrain, _ seed: UInt64
    ) throws {
        self.network = network
        self.target = target
        self.isControl = isControl
        self.seed = seed
        let graph = network.graph, infos = network.source.tensorInfos
        let roles = graph.tensorRoles
        let layout = try StatisticsLayout(
            names: graph.trainableNames.filter { roles[$0] != .embedding }, tensors: infos)
        self.layout = layout
        weights = try ModelWeights(graph, source: network.source)
        objectives = try data.map { triplets in
            try TripletObjective(
                graph, tensors: infos, layout: layout, triplets: triplets, estimator: .microBatch, batch: command.batch,
                seed: seed, maximumLength: limit, sumsInputs: false, keptPrograms: 8)
        }
        turns = objectives.count == 1 ? (1, 0) : command.turns ?? (1, 1)
        mask = isControl ? nil : try Self.mask(network)
    }

    /// The mask beside the network, else its zeros.
    private static func mask(_ network: PrunableNetwork) throws -> PruneMask? {
        if let folder = network.folder, MergeModels.isReadable(folder + "/mask.bin") {
            let mask = try PruneMask(reading: folder + "/mask.bin")
            for entry in mask.entries {
                let values = try network.source.tensor(named: entry.name)
                guard values.shape == entry.shape else {
                    throw ZooError(.mismatch, "\(folder)/mask.bin is of other shapes than the weights")
                }
                let isHeld = values.withFloats { numbers in
                    numbers.indices.allSatisfy { entry.keeps($0) || numbers[$0] == 0 }
                }
                guard isHeld else {
                    throw ZooError(.mismatch, "\(folder): '\(entry.name)' is not zero everywhere mask.bin says so")
                }
            }
            return mask
        }
        let matrices = try CandidateMatrix.all(
            of: network.graph, tensors: network.source.tensorInfos, layers: .linear)
        let mask = try PruneMask(zerosOf: network.source, matrices: matrices)
        return mask.zeroCount == 0 ? nil : mask
    }

    /// Trains.
    ///
    /// - Throws: `numeric` when the loss is not finite; `interrupted`.
    func run(steps: Int, rate: Double, warmup: Double, afterStep: () -> Void) throws {
        var optimiser = Optimiser(.adamw)
        optimiser.weightDecay = 0
        var gradient = [Float](repeating: 0, count: layout.count)
        var first = gradient, second = gradient
        var generators = objectives.indices.map { SeededGenerator(seed: seed &+ 1 &+ UInt64($0)) }
        var orders = objectives.map { _ in [Int]() }
        for step in 0..<steps {
            try Cancellation.check()
            let side = step % (turns.domain + turns.general) < turns.domain ? 0 : 1
            if orders[side].isEmpty { orders[side] = generators[side].permutation(objectives[side].batchCount) }
            let loss = try take(objectives[side], orders[side].removeLast(), &gradient)
            guard loss.isFinite else {
                throw ZooError(
                    .numeric, "\(network.label): the loss of step \(step + 1) is not finite", hint: "lower --rate")
            }
            losses.append(loss)
            let norm = gradient.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
            if norm > Self.clip {
                let factor = Float(Self.clip / norm)
                for place in gradient.indices { gradient[place] *= factor }
            }
            try update(
                optimiser, gradient, &first, &second, step: step + 1,
                rate: Self.rate(rate, step: step, of: steps, warmup: warmup))
            afterStep()
        }
    }

    /// Up in a line over the warm-up, then down to zero.
    static func rate(_ rate: Double, step: Int, of steps: Int, warmup: Double) -> Double {
        let rise = Int((warmup * Double(steps)).rounded(.up))
        if step < rise { return rate * Double(step + 1) / Double(rise) }
        return rate * Double(steps - step) / Double(max(1, steps - rise))
    }

    /// The gradient of a batch, without pruned weights.
    private func take(_ objective: TripletObjective, _ batch: Int, _ gradient: inout [Float]) throws -> Double {
        let compiled = try objective.program(of: batch)
        let executor: Executor<Float>
        if let place = executors.firstIndex(where: { $0.compiled === compiled }) {
            executor = executors.remove(at: place)
        } else {
            if executors.count == Self.keptExecutors { executors.removeFirst() }
            executor = compiled.makeExecutor()
        }
        executors.append(executor)
        try executor.bind(parameters: weights.pointers(for: compiled.program))
        try objective.withInputs(of: batch, compiled.program) { reals, indices in
            try executor.run(reals: reals, indices: indices)
        }
        for (place, entry) in layout.entries.enumerated() {
            let values = executor.output(1 + place), held = mask?[entry.name]
            for index in 0..<values.count {
                gradient[entry.range.lowerBound + index] = held.map { $0.keeps(index) } ?? true ? values[index] : 0
            }
        }
        return Double(executor.output(0)[0])
    }

    private func update(
        _ optimiser: Optimiser, _ gradient: [Float], _ first: inout [Float], _ second: inout [Float], step: Int,
        rate: Double
    ) throws {
        for entry in layout.entries {
            let memory = try weights.memory(of: entry.name)
            guard let parameters = memory.baseAddress else { continue }
            gradient.withUnsafeBufferPointer { gradient in
                first.withUnsafeMutableBufferPointer { first in
                    second.withUnsafeMutableBufferPointer { second in
                        guard let g = gradient.baseAddress, let m = first.baseAddress, let v = second.baseAddress else {
                            return
                        }
                        let start = entry.range.lowerBound
                        optimiser.update(
                            parameters, g + start, [m + start, v + start], count: entry.range.count, step: step,
                            rate: rate, momentum: optimiser.betas[0])
                    }
                }
            }
            guard let held = mask?[entry.name] else { continue }
            for index in 0..<memory.count where !held.keeps(index) { memory[index] = 0 }
        }
    }
}

/// What `zoo prune retrain` tells.
struct RetrainReport {
    /// One network.
    struct Run {
        let label: String, target: String
        let isControl: Bool
        let losses: [Double]
        let zeros: Int
        /// Whether every pruned weight is zero, to the bit.
        let isHeld: Bool

        init(_ run: Retraining, _ state: StateDict) throws {
            (label, target, isControl, losses) = (run.network.label, run.target, run.isControl, run.losses)
            zeros = run.mask?.zeroCount ?? 0
            isHeld =
                try run.mask?.entries.allSatisfy { entry in
                    try state.tensor(named: entry.name).withFloats { values in
                        values.indices.allSatisfy { entry.keeps($0) || values[$0].bitPattern == 0 }
                    }
                } ?? true
            guard isHeld else { throw ZooError(.internal, "a pruned weight of \(run.network.label) came back") }
        }

        func mean(_ part: ArraySlice<Double>) -> Double { part.reduce(0, +) / Double(max(1, part.count)) }
        var early: Double { mean(losses.prefix(max(1, losses.count / 10))) }
        var late: Double { mean(losses.suffix(max(1, losses.count / 10))) }
    }

    let command: PruneRetrain
    let runs: [Run]
    let rate: Double
    let seed: UInt64

    private func object(_ run: Run) -> JSONObject {
        JSONObject([
            ("model", .string(run.label)), ("output", .string(run.target)), ("control", .bool(run.isControl)),
            ("steps", .int(Int64(run.losses.count))), ("first_loss", .double(run.early)),
            ("last_loss", .double(run.late)), ("zeros", .int(Int64(run.zeros))), ("zeros_held", .bool(run.isHeld)),
        ])
    }

    private var settings: [(String, JSONValue)] {
        [
            ("steps", .int(Int64(command.steps))), ("batch", .int(Int64(command.batch))), ("rate", .double(rate)),
            ("warmup", .double(command.warmup)), ("mix", .string(command.general == nil ? "1:0" : command.mix)),
            ("domain", .string(command.domain)), ("general", command.general.map { .string($0) } ?? .null),
            ("seed", .int(Int64(bitPattern: seed))),
        ]
    }

    /// What goes into `prune.json`: what the network's own said, and the retraining.
    func json(_ run: Run, source: PrunableNetwork) throws -> JSONObject {
        var json = JSONObject([("tool", .string("zoo \(ZooVersion.string)"))])
        if let folder = source.folder, MergeModels.isReadable(folder + "/prune.json") {
            let path = folder + "/prune.json"
            json = try ZooError.locate(path) { try JSONParser.parse(Bytes(mapping: path)).object ?? json }
        }
        var own = object(run)
        for (key, value) in settings { own[key] = value }
        own["losses"] = .array(run.losses.map { .double($0) })
        json["retraining"] = .object(own)
        return json
    }

    var json: JSONObject {
        var json = JSONObject(settings)
        json["runs"] = .array(runs.map { .object(object($0)) })
        return json
    }

    var table: Table {
        var table = Table([
            .init("network", isPath: true), .init("output", isPath: true), .init("first_loss", .double, digits: 5),
            .init("last_loss", .double, digits: 5), .init("zeros", .integer, unit: .count),
        ])
        for run in runs {
            table.append([
                .text(run.label), .text(run.target), .double(run.early), .double(run.late), .int(run.zeros),
            ])
        }
        return table
    }

    func notes(_ session: Session) {
        if runs.allSatisfy({ !$0.isControl }) {
            session.note(
                "no --control: a gain over the untrained network may be training, not pruning")
        }
        session.note("seed \(seed); all pruned weights are zero still")
    }
}
