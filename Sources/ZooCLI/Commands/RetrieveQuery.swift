import ArgumentParser
import ZooBase
import ZooNN
import ZooRetrieval

/// `zoo retrieve query`: ranks indexed models for labelled samples.
package struct RetrieveQuery: ZooCommand {
    package static let configuration = CommandConfiguration(
        commandName: "query",
        abstract: "Rank the indexed models for a data set; by default no sample is shown to any model.",
        discussion: """
            A few labelled samples per class are enough. 'know2vec' compares vectors; by default the first 50 are ranked \
            again by 'surrogate', which regresses what a model would answer from its stored answers on the nearest \
            probes: still no model pass. '--rerank leep' or 'fewshot' then shows the samples to the first five. Other \
            rankings: \(Rankers.all.map { $0.name }.joined(separator: ", ")).

            Example:
              zoo retrieve query --data digits-retrieval:test --shots 5
              zoo retrieve query --data mine.npz:few --rerank leep --where "parameters < 10000" --json
            """)

    @OptionGroup package var data: DataOption

    @Option(help: ArgumentHelp("Samples per class, chosen by --seed. Default: all.", valueName: "number"))
    package var shots: Int?

    @Option(help: ArgumentHelp("Only samples of these classes, separated by commas.", valueName: "list"))
    package var classes: String?

    @Option(help: ArgumentHelp("know2vec, or a ranker's name.", valueName: "name"))
    package var method: String = RankMethod.vectors

    @Option(
        help: ArgumentHelp(
            "Rank the first of 'know2vec' again by: surrogate, leep, fewshot, …, none.", valueName: "name"))
    package var rerank: String?

    @Option(
        help: ArgumentHelp(
            "How many are ranked again. Default: 50, or 5 by rankers that run models.", valueName: "number"))
    package var shortlist: Int?

    @Option(
        name: .customLong("where"),
        help: ArgumentHelp("Only models that meet a condition on the catalog.", valueName: "condition"))
    package var condition: String?

    @Option(help: ArgumentHelp("Only models with so many classes.", valueName: "n"))
    package var classCount: Int?

    @Option(help: ArgumentHelp("Models shown.", valueName: "number"))
    package var top: Int = 5

    @Option(help: ArgumentHelp("Probes that 'surrogate' averages over.", valueName: "number"))
    package var neighbours: Int = ProbedQuery.defaultNeighbourCount

    @OptionGroup package var target: IndexOption
    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    package func validate() throws {
        if let shots, shots < 1 { throw ValidationError("--shots takes a number from 1 on.") }
        if let shortlist, shortlist < 1 { throw ValidationError("--shortlist takes a number from 1 on.") }
        if top < 1 { throw ValidationError("--top takes a number from 1 on.") }
        if neighbours < 1 { throw ValidationError("--neighbours takes a number from 1 on.") }
        if rerank != nil, method != RankMethod.vectors { throw ValidationError("--rerank goes with know2vec.") }
    }

    package func run(in session: Session) throws {
        let again = rerank ?? Surrogate.name
        var text = method
        if method == RankMethod.vectors, again != "none" {
            // Rankers that run models look at the first few that the surrogate leaves.
            let isDear = try Rankers.named(again).takesPass
            text += isDear ? "+\(Surrogate.name)+\(again)" : "+\(again)"
        }
        let ranking = try RankMethod(text, shortlist: shortlist)
        let index = try IndexFile.read(IndexFile.path(target.index, session))
        let samples = try Self.samples(data, classes: classes, shots: shots, session)
        guard samples.inputShape == index.pool.inputShape else {
            throw ZooError(
                .mismatch,
                "the query's samples have shape \(samples.inputShape), the index reads \(index.pool.inputShape)",
                hint: "bring them to that shape (a data set manifest can), or fit an index for them")
        }
        let places = try IndexFilter.places(index, condition: condition, classes: classCount, session: session)
        let needsModels = ranking.takesPass
        let networks =
            try needsModels
            ? IndexedNetworks(
                index, places: places, architecture: target.architecture, settings: target.set, session: session)
            : IndexedNetworks()
        let engine = try RankingEngine(index, allowed: places, seed: session.seed) { try networks.open($0) }
        let query = try engine.query(samples.inputs, labels: samples.labels.map(Int.init), neighbours: neighbours)
        let start = ContinuousClock.now
        let result = try engine.rank(query, ranking)
        let time = (ContinuousClock.now - start).components
        if let problem = result.problems.values.first, result.order.allSatisfy({ result.scores[$0] == -.infinity }) {
            throw problem
        }
        let all = try index.similarities(query.vector)
        let report = QueryReport(
            engine: engine, query: query, method: ranking, result: result,
            milliseconds: Double(time.seconds) * 1e3 + Double(time.attoseconds) * 1e-15, top: top,
            similarities: places.map { Double(all[$0]) }, labels: Set(samples.labels).sorted())
        try session.emit(report.json, as: report.table)
        report.say(session)
    }

    /// The samples of a query.
    static func samples(_ data: DataOption, classes: String?, shots: Int?, _ session: Session) throws -> Samples {
        let source = try data.open(session)
        guard source.splits.count == 1 else {
            throw ZooError(.usage, "--data names \(source.splits.count) splits; a query is of one")
        }
        var samples = try source.samples(source.splits[0])
        if let classes {
            let wanted = classes.split(separator: ",").map { Int32($0) }
            guard !wanted.contains(nil), !wanted.isEmpty else {
                throw ZooError(.usage, "--classes \(classes): expected whole numbers separated by commas")
            }
            let missing = Set(wanted.compactMap { $0 }).subtracting(samples.labels).sorted()
            guard missing.isEmpty else {
                let names = missing.map(String.init).joined(separator: ", ")
                throw ZooError(
                    .notFound, "--classes \(classes): the data have no samples of class \(names)",
                    hint:
                        "their classes are \(Set(samples.labels).sorted().prefix(20).map(String.init).joined(separator: ", "))"
                )
            }
            let chosen = samples.labels.indices.filter { wanted.contains(samples.labels[$0]) }
            samples = samples.selecting(chosen)
        }
        if let shots {
            var generator = SeededGenerator(seed: session.seed)
            samples = samples.selecting(try RetrievalTask.draw(samples, shots: shots, &generator))
        }
        return samples
    }
}
