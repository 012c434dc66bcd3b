import ZooBase
import ZooNN
import ZooPrune
import ZooReport
import ZooTensor

/// The steps of `zoo prune mask`.
struct MaskWork {
    let command: PruneMaskCommand
    let session: Session
    let scored: ScoredNetwork
    let matrices: [CandidateMatrix]
    let method: any PruneMethod
    let group: PruneGroup
    let sparsity: Double

    init(_ command: PruneMaskCommand, _ session: Session) throws {
        self.command = command
        self.session = session
        let type = try PruneMethods.named(command.method)
        var settings = command.settings(seed: session.seed)
        settings.group = try command.group.map { try PruneGroup($0) }
        group = settings.group ?? type.defaultGroup
        if case .pattern(let keep, let of) = group {
            sparsity = 1 - Double(keep) / Double(of)
            if let stated = command.sparsity, abs(stated - sparsity) > 1e-9 {
                throw ZooError(
                    .usage, "--sparsity \(stated) contradicts --group \(group), which leaves \(keep) of \(of) weights")
            }
        } else {
            guard let stated = command.sparsity else {
                throw ZooError(.usage, "--sparsity is missing", hint: "state the share of weights to prune: 0.5")
            }
            sparsity = stated
        }
        settings.sparsity = sparsity
        method = type.init(settings)
        scored = try ScoredNetwork(command.scores, model: command.model, session)
        matrices = try scored.matrices(command.layers)
    }

    /// A mask, and the network with it.
    struct Result {
        var mask: PruneMask
        var state: any TensorSource
        var restoredRows = 0, restoredInFullMatrices = 0
        var report: JSONObject
        var isLayerwise = false
    }

    func run() throws -> MaskReport {
        let statistics = scored.statistics(matrices)
        var result: Result
        // p = 0 leaves every bit as it is, also of methods that adjust weights.
        if sparsity > 0, let layerwise = method as? any LayerwiseMethod, group != .global {
            result = try layered(layerwise)
        } else if sparsity > 0 {
            let list = try matrices.map { matrix in
                MaskSelection.Scored(matrix, try zerosFirst(method.scores(of: matrix, statistics), matrix, statistics))
            }
            let found = try MaskSelection.select(list, sparsity: sparsity, group: group)
            let mask = PruneMask(matrices, pruned: found.pruned)
            result = Result(
                mask: mask, state: try MaskedSource(scored.network.source, mask: mask),
                restoredRows: found.restoredRows, restoredInFullMatrices: found.restoredInFullMatrices,
                report: try method.report(statistics))
        } else {
            let mask = PruneMask(
                matrices,
                pruned: Dictionary(
                    matrices.map { ($0.name, [Bool](repeating: false, count: $0.count)) },
                    uniquingKeysWith: { first, _ in first }))
            result = Result(mask: mask, state: scored.network.source, report: JSONObject())
        }
        let plain = try magnitudeMask(statistics)
        let report = MaskReport(
            command: command, scored: scored, matrices: matrices, group: group, sparsity: sparsity, result: result,
            jaccard: result.mask.jaccard(plain), seed: session.seed)
        try scored.network.write(
            result.state, to: command.to, mask: result.mask, json: report.json, replacing: command.replace,
            session: session)
        return report
    }

    /// Weights that are zero already go first.
    private func zerosFirst(
        _ scores: [Double], _ matrix: CandidateMatrix, _ statistics: PruneStatistics
    ) throws -> [Double] {
        var scores = scores
        for (place, weight) in try statistics.weights(matrix).enumerated() where weight == 0 {
            scores[place] = -.infinity
        }
        return scores
    }

    private func magnitudeMask(_ statistics: PruneStatistics) throws -> PruneMask {
        let magnitude = Magnitude(PruneSettings())
        let list = try matrices.map { MaskSelection.Scored($0, try magnitude.scores(of: $0, statistics)) }
        return PruneMask(
            matrices, pruned: try MaskSelection.select(list, sparsity: sparsity, group: .global).pruned)
    }

    /// Layer by layer, on the data of the scores.
    private func layered(_ method: any LayerwiseMethod) throws -> Result {
        let source = scored.network.source
        let weights = try ModelWeights(scored.network.graph, source: source)
        let pass = try scored.layerwisePass(
            over: weights, matrices, sides: (command.side ?? .domain).sides, anchored: type(of: method).needsAnchors)
        let progress = session.progress(type(of: method).name, total: matrices.count, unit: .items("matrices"))
        var pruned: [String: [Bool]] = [:]
        try pass.run(
            needsGram: type(of: method).needsGram, needsAnchors: type(of: method).needsAnchors, jobs: session.jobs
        ) { matrix, inputs in
            var layer = try weights.problem(
                matrix, inputs, sparsity: sparsity, group: group, jobs: session.jobs)
            try method.prune(&layer)
            try weights.take(layer, pruned: &pruned[matrix.name, default: []])
            if inputs.outputs?.upperBound ?? matrix.rows == matrix.rows { progress.advance() }
        }
        progress.finish()
        let mask = PruneMask(matrices, pruned: pruned)
        return Result(
            mask: mask, state: try MaskedSource(weights.state(over: source), mask: mask), report: JSONObject(),
            isLayerwise: true)
    }
}

/// What `zoo prune mask` tells and writes into `prune.json`.
struct MaskReport {
    let command: PruneMaskCommand
    let scored: ScoredNetwork
    let matrices: [CandidateMatrix]
    let group: PruneGroup
    let sparsity: Double
    let result: MaskWork.Result
    let jaccard: Double
    let seed: UInt64

    /// Weights of the whole network, embeddings and all.
    private var parameters: Int { scored.network.source.parameterCount }
    private var candidateSparsity: Double { Double(result.mask.zeroCount) / Double(max(1, result.mask.count)) }
    private var modelSparsity: Double { Double(result.mask.zeroCount) / Double(max(1, parameters)) }
    private var termRatio: Double? { result.report["term_ratio"]?.double }

    var json: JSONObject {
        let settings = command.settings(seed: seed)
        let list = result.mask.entries.map { entry in
            JSONValue.object(
                JSONObject([
                    ("name", .string(entry.name)), ("weights", .int(Int64(entry.count))),
                    ("zeros", .int(Int64(entry.zeroCount))),
                    ("sparsity", .double(Double(entry.zeroCount) / Double(max(1, entry.count)))),
                ]))
        }
        var json = JSONObject([
            ("tool", .string("zoo \(ZooVersion.string)")), ("model", .string(scored.network.label)),
            ("model_digest", scored.folder.json["model_digest"] ?? .null), ("scores", .string(command.scores)),
            ("data", scored.folder.json["data"] ?? .null), ("method", .string(command.method)),
            ("group", .string(group.description)),
            ("layers", .string((command.layers?.rawValue ?? scored.folder.json["default_layers"]?.string) ?? "")),
            ("sparsity", .double(sparsity)), ("alpha", .double(settings.alpha)),
            ("beta", settings.beta.map { .double($0) } ?? .null), ("gamma", .double(settings.gamma)),
            ("align", .string(settings.agreement.rawValue)),
            ("side", settings.side.map { .string($0.rawValue) } ?? .null),
            ("seed", .int(Int64(bitPattern: seed))), ("layer_by_layer", .bool(result.isLayerwise)),
            ("candidate_weights", .int(Int64(result.mask.count))), ("zeros", .int(Int64(result.mask.zeroCount))),
            ("candidate_sparsity", .double(candidateSparsity)), ("model_weights", .int(Int64(parameters))),
            ("model_sparsity", .double(modelSparsity)), ("magnitude_jaccard", .double(jaccard)),
            ("restored_rows", .int(Int64(result.restoredRows))),
            ("restored_in_full_matrices", .int(Int64(result.restoredInFullMatrices))),
        ])
        for (key, value) in result.report { json[key] = value }
        json["tensors"] = .array(list)
        return json
    }

    var table: Table {
        var table = Table([
            .init("matrix"), .init("weights", .integer, unit: .count), .init("zeros", .integer, unit: .count),
            .init("sparsity", .double, digits: 4),
        ])
        for entry in result.mask.entries {
            table.append([
                .text(entry.name), .int(entry.count), .int(entry.zeroCount),
                .double(Double(entry.zeroCount) / Double(max(1, entry.count))),
            ])
        }
        return table
    }

    func notes(_ session: Session) {
        func percent(_ share: Double) -> String { Quantity.fixed(100 * share, decimals: 1) + " %" }
        session.note(
            "\(command.method), group \(group): \(Quantity.count(result.mask.zeroCount)) of "
                + "\(Quantity.count(result.mask.count)) candidate weights are zero (\(percent(candidateSparsity))), "
                + "\(percent(modelSparsity)) of all \(Quantity.count(parameters))")
        session.note("overlap with magnitude (Jaccard): \(Quantity.fixed(jaccard, decimals: 3)); seed \(seed)")
        if let termRatio {
            session.note("Fisher term over magnitude term, mean sizes: \(Quantity.significant(termRatio, digits: 3))")
            if termRatio < 0.01 { session.warn("the score is magnitude in disguise: its Fisher term is below 1 %") }
        }
        if let negative = result.report["negative_share"]?.double, negative > 0.001 {
            session.note("the bracket is negative for \(percent(negative)) of the weights")
        }
        if result.restoredRows + result.restoredInFullMatrices > 0 {
            session.note(
                "guards kept \(Quantity.count(result.restoredRows)) weights of rows that would be empty and "
                    + "\(Quantity.count(result.restoredInFullMatrices)) of matrices beyond 95 %")
        }
        session.note(
            "wrote \(command.to): the file is as large and the network as fast as before; 'zoo prune export --compact' "
                + "saves storage, 'zoo prune structured' time")
    }
}
