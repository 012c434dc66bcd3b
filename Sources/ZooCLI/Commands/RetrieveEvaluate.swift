import ArgumentParser
import ZooBase
import ZooReport
import ZooRetrieval

/// `zoo retrieve evaluate`: the protocol over indexes with known truth.
package struct RetrieveEvaluate: ZooCommand {
    package static let configuration = CommandConfiguration(
        commandName: "evaluate",
        abstract: "Measure rankings where the truth is known: Acc@1, Acc@5, MRR, weighted tau, regret, paired tests.",
        discussion: """
            Queries of every task that the gallery has models for are drawn from --data; the other half of each task's \
            samples tells how well every model would serve (used as it is, classes matched as fits best). Several \
            indexes, one per seed, are pooled, and the worst is told too. Intervals are bootstrap 95 % over queries. \
            'behind' is how far a ranking's Acc@1 lies below that of the first (or --against) on the same queries, with \
            the interval and p of a paired bootstrap. --compare adds the vectors of other indexes of the same models, \
            such as TANS-style ones. Tasks the encoders were trained on are \
            'seen', others 'unseen'.

            Example:
              zoo retrieve evaluate zoos/a.retrieval.safetensors --data digits-retrieval:test \
            --where "zoo = 'gallery'" --rankings know2vec,know2vec+surrogate,surrogate,know2vec+leep,leep,random
            """)

    @Argument(help: "Retrieval indexes, one per seed.")
    package var indexes: [String]

    @OptionGroup package var data: DataOption

    @Option(help: ArgumentHelp("Rankings, separated by commas: know2vec, RANKER, know2vec+RANKER.", valueName: "list"))
    package var rankings: String = "know2vec+surrogate,know2vec,surrogate,logit,prototype,know2vec+leep,leep,random"

    @Option(
        help: ArgumentHelp(
            "Other indexes of the same models, as many and in the same order: tans=A,B,C.",
            valueName: "files"))
    package var compare: [String] = []

    @Option(help: ArgumentHelp("The ranking that others are tested against. Default: the first.", valueName: "ranking"))
    package var against: String?

    @Option(help: ArgumentHelp("Samples per class of a query.", valueName: "number"))
    package var shots: Int = 5

    @Option(help: ArgumentHelp("Queries per task.", valueName: "number"))
    package var perTask: Int = 3

    @Option(
        help: ArgumentHelp("Models ranked again. Default: 50, or 5 by rankers that run models.", valueName: "number"))
    package var shortlist: Int?

    @Option(help: ArgumentHelp("Probes that 'surrogate' averages over.", valueName: "number"))
    package var neighbours: Int = ProbedQuery.defaultNeighbourCount

    @Option(
        name: .customLong("where"),
        help: ArgumentHelp("The gallery: models that meet a condition on the catalog.", valueName: "condition"))
    package var condition: String?

    @Option(help: ArgumentHelp("A manifest of tasks, for models that know none.", valueName: "file"))
    package var tasks: String?

    @Option(help: ArgumentHelp("An architecture file, or the name of a known architecture.", valueName: "name"))
    package var architecture: String?

    @Option(help: ArgumentHelp("A number that the weights do not show: activation=tanh.", valueName: "key=value"))
    package var set: [String] = []

    @Option(help: ArgumentHelp("Draw Acc@1: .svg or .png.", valueName: "file"))
    package var figure: String?

    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    package func validate() throws {
        if shots < 1 || perTask < 1 || neighbours < 1 {
            throw ValidationError("--shots, --per-task and --neighbours take numbers from 1 on.")
        }
        if let shortlist, shortlist < 1 { throw ValidationError("--shortlist takes a number from 1 on.") }
    }

    package func run(in session: Session) throws {
        let methods = try rankings.split(separator: ",").map { try RankMethod(String($0), shortlist: shortlist) }
        guard !methods.isEmpty else { throw ZooError(.usage, "--rankings names nothing") }
        let source = try data.open(session)
        guard source.splits.count == 1 else {
            throw ZooError(.usage, "--data names \(source.splits.count) splits; queries are of one")
        }
        let samples = try source.samples(source.splits[0])
        let rivals = try compare.map(rival)
        var evaluation = try RetrievalEvaluation(
            methods, rivals: rivals.map(\.name), against: against, shots: shots, perTask: perTask,
            neighbours: neighbours, session: session)
        for (place, path) in indexes.enumerated() {
            let index = try IndexFile.read(path), others = try rivals.map { try IndexFile.read($0.files[place]) }
            try ZooError.locate(path) {
                guard samples.inputShape == index.pool.inputShape else {
                    throw ZooError(
                        .mismatch,
                        "the samples have shape \(samples.inputShape), the index reads \(index.pool.inputShape)")
                }
                let places = try IndexFilter.places(index, condition: condition, classes: nil, session: session)
                    .filter { !index.models[$0].selector.isEmpty }
                let networks = try IndexedNetworks(
                    index, places: places, architecture: architecture, settings: set, session: session)
                let known =
                    try tasks.map { try TaskManifest($0).tasks.map(\.task) }
                    ?? Set(places.compactMap { index.models[$0].task }).sorted().map { try RetrievalTask(named: $0) }
                try evaluation.run(
                    place, index, allowed: places, tasks: known, data: samples, networks: networks, others: others)
            }
        }
        if let figure { try Picture.write(evaluation.figure(), to: figure) }
        try session.emit(evaluation.table)
    }

    /// `tans=a.safetensors,b.safetensors`.
    private func rival(_ text: String) throws -> (name: String, files: [String]) {
        let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
        let files = parts.count == 2 ? parts[1].split(separator: ",").map(String.init) : []
        guard files.count == indexes.count else {
            throw ZooError(
                .usage, "--compare \(text): expected NAME= and \(indexes.count) files, one per index",
                hint: "list them in the order of the indexes, separated by commas")
        }
        return (parts[0], files)
    }
}
