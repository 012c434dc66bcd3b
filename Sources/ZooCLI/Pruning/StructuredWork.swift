import ZooBase
import ZooNN
import ZooPrune
import ZooReport
import ZooTensor

/// The steps of `zoo prune structured`.
struct StructuredWork {
    let command: PruneStructured
    let session: Session
    let scored: ScoredNetwork
    let pruning: StructuredPruning

    init(_ command: PruneStructured, _ session: Session) throws {
        self.command = command
        self.session = session
        scored = try ScoredNetwork(command.scores, model: command.model, session)
        pruning = try StructuredPruning(scored.network.graph, tensors: scored.network.source.tensorInfos)
    }

    /// Units that stay, by layer.
    typealias Kept = [(layer: StructuredPruning.Layer, units: [Int])]

    func run() throws -> StructuredReport {
        let chosen = try layers()
        let kept: Kept, state: StateDict
        var uncompensated: [String] = []
        if command.score == .anchored {
            let fitted = try self.fitted(chosen)
            kept = fitted.kept
            state = try pruning.remove(from: fitted.state, kept).state
        } else {
            kept = try valued(chosen)
            let compensation: ((CandidateMatrix) throws -> [Double]?)? = command.uncompensated ? nil : means
            let made = try pruning.remove(from: scored.network.source, kept, inputMeans: compensation)
            state = made.state
            if !command.uncompensated { uncompensated = made.uncompensated }
        }
        let report = StructuredReport(
            command: command, scored: scored, kept: kept, state: state, uncompensated: uncompensated,
            seed: session.seed)
        // The smaller network must fit its graph before anything is written.
        try report.check()
        try scored.network.write(
            state, to: command.to, mask: nil, config: report.config(), json: report.json, replacing: command.replace,
            session: session)
        return report
    }

    /// The layers that lose units, with their shares.
    private func layers() throws -> [(layers: [StructuredPruning.Layer], share: Double)] {
        let shares: [(StructuredPruning.Kind, Double, String)] = [
            (.neuron, command.ffn, "ffn"), (.head, command.heads, "heads"), (.channel, command.channels, "channels"),
        ]
        return try shares.filter { $0.1 > 0 }.map { kind, share, option in
            let layers = pruning.layers.filter { $0.kind == kind }
            guard !layers.isEmpty else {
                throw ZooError(
                    .unsupported,
                    "--\(option): architecture '\(scored.network.graph.name)' has no \(kind.rawValue)s that "
                        + "can be removed one by one", hint: hint(kind))
            }
            return (layers, share)
        }
    }

    /// What may be removed instead.
    private func hint(_ kind: StructuredPruning.Kind) -> String {
        let hasAttention = scored.network.graph.nodes.contains { $0.op == .attention }
        return switch (kind, hasAttention) {
        case (.channel, true): "networks with attention lose neurons: --ffn"
        case (.channel, false): "channels that are grouped or joined with others stay together"
        case (_, true): "packed projections of queries, keys and values keep their heads"
        case (_, false): "networks without attention lose channels: --channels"
        }
    }

    /// Units by what each is worth alone.
    private func valued(_ chosen: [(layers: [StructuredPruning.Layer], share: Double)]) throws -> Kept {
        try chosen.flatMap { layers, share in
            let scores = try layers.map { try self.scores(of: $0) }
            let units = StructuredPruning.kept(scores, share: share, isGlobal: command.isGlobal)
            return zip(layers, units).map { ($0, $1) }
        }
    }

    /// Units by what the others cannot make up for, layer by layer, and the network refitted without them.
    private func fitted(
        _ chosen: [(layers: [StructuredPruning.Layer], share: Double)]
    ) throws -> (kept: Kept, state: StateDict) {
        var readers: [String: (layer: StructuredPruning.Layer, blockLength: Int, share: Double)] = [:]
        var matrices: [CandidateMatrix] = []
        for (layers, share) in chosen {
            for layer in layers {
                guard layer.readers.count == 1, let reader = layer.readers.first,
                    let axis = layer.space.axes.first(where: { $0.tensor == reader.name })
                else {
                    throw ZooError(
                        .unsupported,
                        "the \(layer.kind.rawValue)s of '\(layer.name)' are read by \(layer.readers.count) layers; "
                            + "anchored refits one",
                        hint: "use --by obd")
                }
                readers[reader.name] = (layer, axis.blockLength, share)
                matrices.append(reader)
            }
        }
        let source = scored.network.source
        let weights = try ModelWeights(scored.network.graph, source: source)
        let pass = try scored.layerwisePass(
            over: weights, matrices, sides: (command.side ?? .both).sides, anchored: true)
        let progress = session.progress("anchored", total: matrices.count, unit: .items("layers"))
        var units: [String: [Int]] = [:]
        try pass.run(needsGram: false, needsAnchors: true, jobs: session.jobs) { matrix, inputs in
            guard let reader = readers[matrix.name] else { return }
            var problem = try weights.problem(
                matrix, inputs, sparsity: reader.share, group: .tensor, jobs: session.jobs)
            units[reader.layer.name] = try problem.removeUnits(
                share: reader.share, blockLength: reader.blockLength, damping: PruneSettings().damping)
            // Columns of removed units are zero already; no single weights are masked.
            var mask: [Bool] = []
            try weights.take(problem, pruned: &mask)
            progress.advance()
        }
        progress.finish()
        let kept: Kept = try chosen.flatMap { layers, _ in
            try layers.map { layer in
                guard let found = units[layer.name] else {
                    throw ZooError(.internal, "'\(layer.name)' was not visited")
                }
                return (layer, found)
            }
        }
        return (kept, try weights.state(over: source))
    }

    private func scores(of layer: StructuredPruning.Layer) throws -> [Double] {
        let source = scored.network.source, folder = scored.folder
        return try pruning.scores(
            of: layer, by: command.score, weights: { try source.tensor(named: $0).floats() },
            shape: { try source.tensor(named: $0).shape },
            fisher: { name in
                guard folder.covers(name) else {
                    throw ZooError(
                        .notFound, "\(folder.path) has no Fisher values of '\(name)'",
                        hint: "run 'zoo prune score --layers linear'")
                }
                return try zip(folder.values("fisher", .domain, of: name), folder.values("fisher", .general, of: name))
                    .map { Double($0) + Double($1) }
            },
            inputSquares: squares, seed: session.seed)
    }

    /// The mean squares of inputs over both sides.
    private func squares(_ matrix: CandidateMatrix) throws -> [Double] {
        try both("input_square", matrix)
    }

    /// The mean inputs over both sides, where they tell what an input is; nil for convolutions, whose inputs are not kept.
    private func means(_ matrix: CandidateMatrix) throws -> [Double]? {
        guard matrix.shape.rank == 2 else { return nil }
        return StructuredPruning.steadyMeans(try both("input_mean", matrix), squares: try squares(matrix))
    }

    private func both(_ statistic: String, _ matrix: CandidateMatrix) throws -> [Double] {
        try zip(
            scored.folder.values(statistic, .domain, of: matrix.name),
            scored.folder.values(statistic, .general, of: matrix.name)
        ).map { (Double($0) + Double($1)) / 2 }
    }
}

/// What `zoo prune structured` tells and writes.
struct StructuredReport {
    let command: PruneStructured
    let scored: ScoredNetwork
    let kept: [(layer: StructuredPruning.Layer, units: [Int])]
    let state: StateDict
    let uncompensated: [String]
    let seed: UInt64

    private func sizes(_ kind: StructuredPruning.Kind) -> [Int] {
        kept.filter { $0.layer.kind == kind }.map(\.units.count)
    }

    /// The configuration with the new sizes: one number where all layers agree, lists where they do not or where
    /// other programs need to know the layers.
    func config() throws -> JSONObject? {
        guard var config = try scored.network.config() else { return nil }
        let neurons = sizes(.neuron), heads = sizes(.head)
        if let first = neurons.first {
            if neurons.allSatisfy({ $0 == first }) {
                config["intermediate_size"] = .int(Int64(first))
            } else {
                config["layer_intermediate_sizes"] = .array(neurons.map { .int(Int64($0)) })
            }
        }
        if !heads.isEmpty {
            // A unit is a head of keys and values with all its query heads.
            let attention = scored.network.graph.nodes.first { $0.op == .attention }
            let all = attention?.integer("heads", default: 1) ?? 1
            let group = max(1, all / max(1, attention?.integer("kv_heads", default: all) ?? all))
            // Numbers in other programs' list are those of the whole network: of an already smaller one they are lost.
            let isWhole = config["layer_heads"] == nil
            config["layer_heads"] = .array(heads.map { .int(Int64($0 * group)) })
            config["pruned_heads"] = nil
            if group == 1, isWhole {
                let gone = kept.filter { $0.layer.kind == .head }.enumerated().map { place, entry in
                    let stays = Set(entry.units)
                    let list = (0..<entry.layer.space.unitCount).filter { !stays.contains($0) }
                    return (String(place), JSONValue.array(list.map { .int(Int64($0)) }))
                }
                config["pruned_heads"] = .object(JSONObject(gone))
            }
        }
        return config
    }

    /// - Throws: `mismatch` when the smaller tensors do not fit the graph with the new numbers of heads.
    func check() throws {
        var graph = scored.network.graph
        let heads = sizes(.head)
        if !heads.isEmpty {
            let places = graph.nodes.indices.filter { graph.nodes[$0].op == .attention }
            for (place, count) in zip(places, heads) {
                let all = graph.nodes[place].integer("heads", default: 1)
                let keys = graph.nodes[place].integer("kv_heads", default: all)
                graph.nodes[place].attributes["heads"] = .int(Int64(count * all / keys))
                if graph.nodes[place].attributes["kv_heads"] != nil {
                    graph.nodes[place].attributes["kv_heads"] = .int(Int64(count))
                }
            }
        }
        _ = try GraphShapes(graph, tensors: state.tensorInfos)
    }

    private var before: Int { scored.network.source.parameterCount }
    private var after: Int { state.parameterCount }

    var json: JSONObject {
        let list = kept.map { entry in
            JSONValue.object(
                JSONObject([
                    ("layer", .string(entry.layer.name)), ("kind", .string(entry.layer.kind.rawValue)),
                    ("units", .int(Int64(entry.layer.space.unitCount))), ("kept", .int(Int64(entry.units.count))),
                    ("kept_units", .array(entry.units.map { .int(Int64($0)) })),
                ]))
        }
        return JSONObject([
            ("tool", .string("zoo \(ZooVersion.string)")), ("model", .string(scored.network.label)),
            ("model_digest", scored.folder.json["model_digest"] ?? .null), ("scores", .string(command.scores)),
            ("data", scored.folder.json["data"] ?? .null), ("method", "structured"),
            ("by", .string(command.score.rawValue)),
            ("ffn", .double(command.ffn)), ("heads", .double(command.heads)), ("channels", .double(command.channels)),
            ("side", command.score == .anchored ? .string((command.side ?? .both).rawValue) : .null),
            ("global", .bool(command.isGlobal)), ("compensated", .bool(!command.uncompensated)),
            ("not_compensated", .array(uncompensated.map { .string($0) })), ("seed", .int(Int64(bitPattern: seed))),
            ("model_weights", .int(Int64(before))), ("kept_weights", .int(Int64(after))),
            ("removed_share", .double(1 - Double(after) / Double(max(1, before)))), ("output", .string(command.to)),
            ("layers", .array(list)),
        ])
    }

    var table: Table {
        var table = Table([
            .init("layer"), .init("kind"), .init("units", .integer), .init("kept", .integer),
        ])
        for entry in kept {
            table.append([
                .text(entry.layer.name), .text(entry.layer.kind.rawValue), .int(entry.layer.space.unitCount),
                .int(entry.units.count),
            ])
        }
        return table
    }

    func notes(_ session: Session) {
        session.note(
            "\(Quantity.count(after)) of \(Quantity.count(before)) weights are left "
                + "(\(Quantity.fixed(100 * Double(after) / Double(max(1, before)), decimals: 1)) %); seed \(seed)")
        if !uncompensated.isEmpty {
            session.note("\(uncompensated.count) layers have no bias or no known inputs to compensate with")
        }
        session.note("wrote \(command.to); 'zoo prune bench' measures what it gains")
    }
}
