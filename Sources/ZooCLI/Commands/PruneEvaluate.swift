import ArgumentParser
import ZooBase
import ZooReport

/// `zoo prune evaluate`: what embedding models retrieve, beside each other.
package struct PruneEvaluate: ZooCommand {
    package static let configuration = CommandConfiguration(
        commandName: "evaluate",
        abstract: "Measure embedding models: nDCG@10, Spearman, geometry, recovery against the first, paired tests.",
        discussion: """
            The first model is what the others are held against, as a rule the one before pruning. --retrieval takes \
            triplets (JSON lines): every distinct query searches all distinct positives; the score is nDCG@10, ties \
            counting half. --pairs takes pairs with a score: Spearman's correlation with the cosines, equal values \
            having mean ranks. Both may be repeated. A model may be given a name, NAME=FOLDER; models of one name (the \
            same method calibrated with other seeds) are one row: their queries are averaged first. 'recovery' is the \
            score over the first model's; p is the paired bootstrap over queries (two-sided, 1000 draws) against \
            --against, or the first model. --json holds the test of every pair.

            Example:
              zoo prune evaluate all-MiniLM-L6-v2 wanda=wanda-0 wanda=wanda-1 pruned \\
            --retrieval domain-test.jsonl --retrieval general-test.jsonl --pairs words.jsonl
            """)

    @Argument(help: "Models, the unpruned one first: folders, ids or NAME=FOLDER.")
    package var models: [String]

    @Option(help: ArgumentHelp("Triplets: queries and what answers them. May be repeated.", valueName: "file"))
    package var retrieval: [String] = []

    @Option(help: ArgumentHelp("Pairs of texts with a score. May be repeated.", valueName: "file"))
    package var pairs: [String] = []

    @Option(help: ArgumentHelp("The model that p compares with, by name.", valueName: "name"))
    package var against: String?

    @Option(help: ArgumentHelp("Times that the bootstrap draws queries.", valueName: "number"))
    package var draws: Int = 1000

    @Option(help: ArgumentHelp("Tokens per text at most. Default: what the model reads.", valueName: "number"))
    package var maxLength: Int?

    @Option(help: ArgumentHelp("What the model expects before a query.", valueName: "text"))
    package var queryPrefix: String = ""

    @Option(help: ArgumentHelp("What the model expects before other texts.", valueName: "t"))
    package var documentPrefix: String = ""

    @Option(help: ArgumentHelp("The folder of the tokenizer. Default: the model's.", valueName: "folder"))
    package var tokenizer: String?

    @Option(help: ArgumentHelp("An architecture file, or the name of a known architecture.", valueName: "name"))
    package var architecture: String?

    @Option(help: ArgumentHelp("A number that the weights do not show: heads=12.", valueName: "key=value"))
    package var set: [String] = []

    @Option(help: ArgumentHelp("Draw the scores: .svg or .png.", valueName: "file"))
    package var figure: String?

    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    package func validate() throws {
        if retrieval.isEmpty, pairs.isEmpty { throw ValidationError("Give --retrieval or --pairs.") }
        if !(1...1_000_000).contains(draws) { throw ValidationError("--draws takes a number from 1 to 1000000.") }
        if let maxLength, maxLength < 2 { throw ValidationError("--max-length takes a number from 2 on.") }
    }

    package func run(in session: Session) throws {
        let report = try EmbeddingEvaluation(self, session).run()
        if let figure {
            try Picture.write(report.figure(), to: figure)
            session.note("wrote \(figure)")
        }
        try session.emit(report.json, as: report.table)
    }
}
