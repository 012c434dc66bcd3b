import ArgumentParser
import ZooBase
import ZooPrune

/// `zoo prune retrain`: some steps of training with the zeros held.
package struct PruneRetrain: ZooCommand {
    package static let configuration = CommandConfiguration(
        commandName: "retrain",
        abstract: "Train a pruned embedding model for some steps; pruned weights stay zero, bit by bit.",
        discussion: """
            AdamW without weight decay, gradients clipped to norm 1, warm-up then linear decay, embeddings frozen, no \
            dropout. Steps alternate between the two data sets as --mix says. Give the unpruned network with \
            --control: it is trained on the very same steps and written to FOLDER-control. A gain over the untrained \
            network may be training, not pruning; only the control tells. --distill adds that weight times the mean of \
            1 - cosine to the vectors of the unpruned network (--teacher, else --control). An interrupted run goes on \
            when called again, to the same bytes, whatever --jobs.

            Example:
              zoo prune retrain pruned --domain foldoc-train.jsonl --general wordnet-train.jsonl --steps 100 \
            --control all-MiniLM-L6-v2 --to retrained
              zoo prune retrain pruned --domain foldoc-train.jsonl --distill 1 --teacher all-MiniLM-L6-v2 --to near
            """)

    @Argument(help: "The pruned network: a folder that 'zoo prune mask' or 'structured' wrote.")
    package var model: String

    @Option(help: ArgumentHelp("Triplets of the domain: JSON lines.", valueName: "file"))
    package var domain: String

    @Option(help: ArgumentHelp("Triplets of general use. Default: none, whatever --mix says.", valueName: "file"))
    package var general: String?

    @Option(help: ArgumentHelp("Triplets that training must not share a text with.", valueName: "file"))
    package var test: String?

    @Option(help: ArgumentHelp("Steps on the domain to steps on general data.", valueName: "d:g"))
    package var mix: String = "1:1"

    @Option(help: ArgumentHelp("Steps.", valueName: "number"))
    package var steps: Int = 100

    @Option(help: ArgumentHelp("Triplets of a step.", valueName: "number"))
    package var batch: Int = 16

    @Option(
        help: ArgumentHelp(
            "The learning rate after the warm-up. Default: 5e-5, above 100 M weights 2e-5.", valueName: "number"))
    package var rate: Double?

    @Option(help: ArgumentHelp("Share of the steps that the rate rises.", valueName: "share"))
    package var warmup: Double = 0.1

    @Option(help: ArgumentHelp("The unpruned network, trained the same way.", valueName: "model"))
    package var control: String?

    @Option(help: ArgumentHelp("Weight of staying near the teacher's vectors.", valueName: "number"))
    package var distill: Double = 0

    @Option(help: ArgumentHelp("Whose vectors --distill stays near. Default: the control.", valueName: "model"))
    package var teacher: String?

    @Option(help: ArgumentHelp("Tokens per text at most.", valueName: "number"))
    package var maxLength: Int = 128

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

    @Option(help: ArgumentHelp("The folder to write.", valueName: "folder"))
    package var to: String

    @Flag(help: "Replace folders that are there.")
    package var replace = false

    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    /// Steps on the domain and on general data that take turns.
    var turns: (domain: Int, general: Int)? {
        let parts = mix.split(separator: ":", omittingEmptySubsequences: false).map { Int($0) }
        guard parts.count == 2, let domain = parts[0], let general = parts[1], (0...1000).contains(domain),
            (0...1000).contains(general), domain + general > 0
        else { return nil }
        return (domain, general)
    }

    package func validate() throws {
        if turns == nil { throw ValidationError("--mix takes two numbers such as 1:1 or 3:1.") }
        if !(1...1_000_000).contains(steps) { throw ValidationError("--steps takes a number from 1 on.") }
        if !(2...512).contains(batch) { throw ValidationError("--batch takes a number from 2 to 512.") }
        if let rate, !(rate > 0 && rate.isFinite) { throw ValidationError("--rate takes a number above zero.") }
        if !(distill >= 0 && distill.isFinite) { throw ValidationError("--distill takes a number from 0 on.") }
        if distill == 0, teacher != nil { throw ValidationError("--teacher is for --distill.") }
        if distill > 0, teacher == nil, control == nil {
            throw ValidationError("--distill needs --teacher or --control: the network before pruning.")
        }
        if !(0...1).contains(warmup) { throw ValidationError("--warmup takes a share from 0 to 1.") }
        if !(2...8192).contains(maxLength) { throw ValidationError("--max-length takes a number from 2 to 8192.") }
    }

    package func run(in session: Session) throws {
        let report = try RetrainWork(self, session).run()
        report.notes(session)
        try session.emit(.object(report.json), as: report.table)
    }
}
