import ArgumentParser
import ZooBase
import ZooPrune

/// `zoo prune score`: what calibration data say of the weights.
package struct PruneScore: ZooCommand {
    package static let configuration = CommandConfiguration(
        commandName: "score",
        abstract: "Gradients, Fisher information and inputs of every candidate matrix on domain and general data.",
        discussion: """
            Embedding models take triplets from JSON lines: {"query": …, "positive": …, "negative": …}, negative \
            optional; the loss is InfoNCE over the batch with cosines times 20. Networks for images take labelled data \
            as 'zoo eval' does; the loss is cross-entropy. One pass per side; an interrupted run goes on when called \
            again. The folder serves any number of masks ('zoo prune mask') and structured pruning.

            Example:
              zoo prune score all-MiniLM-L6-v2 --domain foldoc.jsonl --general wordnet.jsonl --to scores
              zoo prune score cnn.pt --domain digits.npz:val --general digits.npz:train --layers linear --to scores
            """)

    @Argument(help: "The network: a folder, a file, ARCHIVE!/MEMBER, an id or NAME@EPOCH.")
    package var model: String

    @Option(help: ArgumentHelp("Calibration data of the domain: triplets (.jsonl), or data:split.", valueName: "data"))
    package var domain: String

    @Option(help: ArgumentHelp("Calibration data of general use, of the same kind.", valueName: "data"))
    package var general: String

    @Option(help: ArgumentHelp("The folder of scores to write.", valueName: "folder"))
    package var to: String

    @Option(help: ArgumentHelp("Triplets that must not share a text with the calibration's.", valueName: "file"))
    package var test: String?

    @Option(name: .customLong("n"), help: ArgumentHelp("Samples per side at most.", valueName: "number"))
    package var count: Int = 1000

    @Option(help: "How they are chosen when there are more: random, or representative (k-means of query vectors).")
    package var sampling: Sampling = .random

    @Option(help: "Fisher information from gradients of: micro-batch, or per-sample.")
    package var fisher: FisherEstimator = .microBatch

    @Option(help: ArgumentHelp("Samples of a micro-batch.", valueName: "number"))
    package var batch: Int = 8

    @Option(help: "Layers: linear (all), mlp, attn.")
    package var layers: PruneLayers = .linear

    @Flag(help: "Keep statistics of every trained tensor, not only of matrices and their biases.")
    package var allTensors = false

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

    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    /// How samples are chosen.
    package enum Sampling: String, ExpressibleByArgument, CaseIterable {
        case random, representative
    }

    package func validate() throws {
        if !(1...5000).contains(count) { throw ValidationError("--n takes a number from 1 to 5000.") }
        if !(1...512).contains(batch) { throw ValidationError("--batch takes a number from 1 to 512.") }
        if !(2...8192).contains(maxLength) { throw ValidationError("--max-length takes a number from 2 to 8192.") }
    }

    package func run(in session: Session) throws {
        let report = try ScoreWork(self, session).run()
        var json = report.json
        json["output"] = .string(to)
        json["model"] = .string(report.network)
        json["seed"] = .int(Int64(bitPattern: session.seed))
        report.notes(session)
        try session.emit(.object(json), as: report.table)
    }
}

extension FisherEstimator: ExpressibleByArgument {}
extension PruneLayers: ExpressibleByArgument {}
