import ArgumentParser
import ZooBase
import ZooPrune

/// `zoo prune structured`: fewer neurons, heads or channels.
package struct PruneStructured: ZooCommand {
    package static let configuration = CommandConfiguration(
        commandName: "structured",
        abstract: "Remove whole neurons, attention heads or channels: a smaller file and a faster network.",
        discussion: """
            Of neurons and heads, one after another goes whose part the others can take over best, judged on the \
            calibration data of the scores; the layer that read them is refitted to give what it gave in the unpruned \
            network (--by anchored). The other values judge each unit alone; what removed units gave on average is \
            then added to the bias of the layer that read them. With the same share in every layer the folder's \
            config.json has the new feed-forward size and loads in transformers as it is; after heads were removed, or \
            with --global, it has the sizes of every layer, which this tool reads.

            Example:
              zoo prune structured scores --ffn 0.25 --to smaller
              zoo prune structured scores --ffn 0.25 --heads 0.25 --by activation --to smaller
              zoo prune structured scores --channels 0.3 --to smaller-cnn
            """)

    @Argument(help: "The folder that 'zoo prune score' wrote.")
    package var scores: String

    @Option(help: ArgumentHelp("Share of the neurons of every feed-forward layer to remove.", valueName: "share"))
    package var ffn: Double = 0

    @Option(help: ArgumentHelp("Share of the heads of every attention layer to remove.", valueName: "share"))
    package var heads: Double = 0

    @Option(
        help: ArgumentHelp("Share of the channels to remove, of networks without attention.", valueName: "share"))
    package var channels: Double = 0

    @Option(
        help: """
            What units are worth: anchored, obd, magnitude, activation, random. Default: anchored; for channels and with \
            --global obd.
            """)
    package var by: StructuredPruning.Score?

    @Option(help: "Calibration data that anchored reads: domain, general, both. Default: both.")
    package var side: PruneSettings.Side?

    @Flag(name: .customLong("global"), help: "One threshold for all layers; each keeps at least a quarter.")
    package var isGlobal = false

    @Flag(help: "Do not add the means of removed units that spread less than their mean to biases.")
    package var uncompensated = false

    @Option(help: ArgumentHelp("The network, when it is no longer where it was scored.", valueName: "checkpoint"))
    package var model: String?

    @Option(help: ArgumentHelp("The folder to write.", valueName: "folder"))
    package var to: String

    @Flag(help: "Replace the folder when it is there.")
    package var replace = false

    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    /// How units are valued.
    package var score: StructuredPruning.Score { by ?? (channels > 0 || isGlobal ? .obd : .anchored) }

    package var outputPath: String? { output.output }

    package func validate() throws {
        for (name, share) in [("ffn", ffn), ("heads", heads), ("channels", channels)] where !(share >= 0 && share < 1) {
            throw ValidationError("--\(name) takes a share from 0 on and below 1, not \(share).")
        }
        if ffn == 0, heads == 0, channels == 0 {
            throw ValidationError("Give a share with --ffn, --heads or --channels.")
        }
        if score == .anchored {
            if channels > 0 {
                throw ValidationError("--by anchored refits readers of neurons and heads; take obd for --channels.")
            }
            if isGlobal {
                throw ValidationError("--by anchored goes layer by layer and has no threshold for --global; take obd.")
            }
            if uncompensated { throw ValidationError("--by anchored refits what is left; --uncompensated needs --by.") }
        } else if side != nil {
            throw ValidationError("--side is for --by anchored; \(score.rawValue) reads both sides.")
        }
    }

    package func run(in session: Session) throws {
        let report = try StructuredWork(self, session).run()
        report.notes(session)
        try session.emit(.object(report.json), as: report.table)
    }
}

extension StructuredPruning.Score: ExpressibleByArgument {}
