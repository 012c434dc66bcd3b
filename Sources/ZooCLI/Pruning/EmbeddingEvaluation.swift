import ZooBase
import ZooCatalog
import ZooNN
import ZooPrune
import ZooTensor

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The work of `zoo prune evaluate`: every model embeds the texts of all tasks.
struct EmbeddingEvaluation {
    let command: PruneEvaluate
    let session: Session
    private let retrieval: [TripletRetrieval]
    private let triplets: [TripletSet]
    private let pairs: [SimilarityTask]
    private let groups: [(name: String, selectors: [String])]

    /// Reads the tasks and names the models.
    ///
    /// - Throws: what reading throws; `usage` for `--against` a name that no model has.
    init(_ command: PruneEvaluate, _ session: Session) throws {
        self.command = command
        self.session = session
        triplets = try command.retrieval.map { try TripletSet.read($0) }
        retrieval = triplets.map { TripletRetrieval($0) }
        pairs = try command.pairs.map { try SimilarityTask.read($0) }
        var groups: [(name: String, selectors: [String])] = []
        for argument in command.models {
            let (name, selector) = Self.named(argument)
            if let place = groups.firstIndex(where: { $0.name == name }) {
                groups[place].selectors.append(selector)
            } else {
                groups.append((name, [selector]))
            }
        }
        if let against = command.against, !groups.contains(where: { $0.name == against }) {
            throw ZooError(
                .usage, "--against '\(against)' is none of the models",
                hint: NearestName.hint(against, in: groups.map(\.name), kind: "models"))
        }
        self.groups = groups
    }

    /// `NAME=FOLDER`, unless a file of the whole name is there or the name would hold a slash.
    private static func named(_ argument: String) -> (name: String, selector: String) {
        guard access(argument, F_OK) != 0, let sign = argument.firstIndex(of: "="), sign > argument.startIndex,
            !argument[..<sign].contains(where: { "/!:".contains($0) }), argument.index(after: sign) < argument.endIndex
        else { return (argument, argument) }
        return (String(argument[..<sign]), String(argument[argument.index(after: sign)...]))
    }

    /// What one model gives.
    struct Outcome {
        /// nDCG@10 per query, for each retrieval task.
        var gains: [[Double]] = []
        var geometry: [Geometry] = []
        /// Unit vectors of queries and positives of each retrieval task, held against the first model's.
        var vectors: [[[Float]]] = []
        var correlations: [Double?] = []
        var zeroShare = 0.0
        var cutTexts = 0
    }

    func run() throws -> EvaluationReport {
        var report = EvaluationReport(
            tasks: retrieval.map(\.name), pairs: pairs.map(\.name),
            counts: retrieval.map { ($0.queries.count, $0.documents.count) }, pairCounts: pairs.map(\.scores.count),
            against: command.against ?? groups[0].name, draws: command.draws, seed: session.seed)
        let count = groups.reduce(0) { $0 + $1.selectors.count }
        let progress = session.progress("evaluate", total: count, unit: .items("models"))
        var dense: [[[Float]]] = []
        for group in groups {
            var members: [Outcome] = []
            for selector in group.selectors {
                try Cancellation.check()
                var outcome = try ZooError.locate(selector) { try evaluate(selector) }
                if dense.isEmpty { dense = outcome.vectors }
                let agreement = zip(outcome.vectors, dense).map { Geometry.meanCosine($0, $1) }
                outcome.vectors = []
                report.add(group.name, outcome, agreement: agreement)
                members.append(outcome)
                progress.advance(by: 1)
            }
            if let cut = members.map(\.cutTexts).max(), cut > 0, group.name == groups[0].name {
                session.note("\(Quantity.count(cut)) texts are longer than the model reads and are cut")
            }
        }
        progress.finish()
        return report
    }

    private func evaluate(_ selector: String) throws -> Outcome {
        let selected = try SelectorResolver(catalogPath: session.catalogPath).resolveOne(selector)
        let source = try selected.open()
        let isDecoder = source.tensorInfos.contains { $0.name.hasSuffix("embed_tokens.weight") }
        let model = try TextModel(
            selected, architecture: command.architecture, settings: command.set, tokenizer: command.tokenizer,
            batch: 32, session, defaults: JSONObject([("pooling", .string(isDecoder ? "last" : "mean"))]))
        let limit = min(model.maximumLength, command.maxLength ?? .max)
        var outcome = Outcome()
        outcome.zeroShare = try Self.zeroShare(source)
        func embed(_ texts: [String], _ prefix: String) throws -> [[Float]] {
            let whole = try model.tokenizer.encode(texts.map { prefix + $0 }, maximumLength: nil, jobs: session.jobs)
            outcome.cutTexts += whole.count { $0.ids.count > limit }
            let ids = try model.tokenizer.encode(
                texts.map { prefix + $0 }, maximumLength: limit, jobs: session.jobs
            ).map(\.ids)
            return try model.encoder.embed(ids, jobs: session.jobs)
        }
        for (task, set) in zip(retrieval, triplets) {
            let queries = try embed(task.queries, command.queryPrefix)
            let documents = try embed(task.documents, command.documentPrefix)
            outcome.gains.append(try task.gains(queries: queries, documents: documents, jobs: session.jobs))
            if set.triplets.count > 1 {
                let answers = task.relevant.map { documents[$0[0]] }
                if queries.count > 1 { outcome.geometry.append(try Geometry(queries: queries, positives: answers)) }
            }
            outcome.vectors.append(queries + documents)
        }
        for task in pairs {
            outcome.correlations.append(
                task.correlation(
                    first: try embed(task.first, command.documentPrefix),
                    second: try embed(task.second, command.documentPrefix)))
        }
        return outcome
    }

    /// The share of exact zeros among all floating-point weights.
    private static func zeroShare(_ source: any TensorSource) throws -> Double {
        var zeros = 0, count = 0
        for info in source.tensorInfos where info.dtype.isFloatingPoint {
            try Cancellation.check()
            let values = try source.tensor(named: info.name).floats()
            zeros += values.count { $0 == 0 }
            count += values.count
        }
        return Double(zeros) / Double(max(1, count))
    }
}
