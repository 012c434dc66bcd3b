import ArgumentParser
import ZooBase
import ZooCatalog
import ZooFormats
import ZooMerge
import ZooNN
import ZooReport
import ZooTensor

/// `zoo align`: one network's units in the order of another's.
package struct Align: ZooCommand {
    package static let configuration = CommandConfiguration(
        abstract: "Permute the units of B to match A (weight matching); barrier before and after.",
        discussion: """
            Hidden units, channels and attention heads of a network can change places without changing what it \
            computes. 'align' finds the places that bring B's weights nearest to A's, checks that the permuted B \
            still computes the same, and with --data measures the loss barrier on the straight line between the two, \
            before and after. Batch-norm statistics are recomputed at every point of the line (--bn recompute, on \
            --bn-data or else on --data); for networks without batch norm --repair corrects the merged network's \
            means and spreads. Without data, networks of images need --set 'input=[C,H,W]'.

            Example:
              zoo align a.safetensors b.safetensors --set 'input=[3,32,32]' --to b-aligned.safetensors
              zoo align a.pt b.pt --data digits.safetensors:test --bn-data digits.safetensors:train \
            --merge-to merged.safetensors --figure paths.svg
            """)

    @Argument(help: "The checkpoint that stays: a file, folder, ARCHIVE!/MEMBER, id, NAME@EPOCH.")
    package var a: String

    @Argument(help: "The checkpoint that is permuted.")
    package var b: String

    @Option(help: ArgumentHelp("Data for the barrier, and after a colon the split.", valueName: "file[:split]"))
    package var data: String?

    @Option(help: ArgumentHelp("Where to write the permuted B: .safetensors, .pt, .npz, .h5.", valueName: "file"))
    package var to: String?

    @Option(help: ArgumentHelp("Where to write the mean of A and the permuted B.", valueName: "file"))
    package var mergeTo: String?

    @Option(help: ArgumentHelp("Points of the line, the ends among them.", valueName: "number"))
    package var points: Int = 11

    @Option(help: ArgumentHelp("Further searches from random permutations.", valueName: "number"))
    package var restarts: Int = 0

    @Option(help: "Batch-norm statistics on the line and of the mean: average or recompute. Default: recompute.")
    package var bn: BatchNormChoice?

    @Option(help: ArgumentHelp("Data for batch-norm statistics. Default: --data.", valueName: "data"))
    package var bnData: String?

    @Option(
        help: ArgumentHelp(
            "Average statistics over batches of this size, as PyTorch does. Default: exact, over all samples.",
            valueName: "number"))
    package var bnBatch: Int?

    @Flag(help: "Correct the mean of A and B layer by layer (REPAIR); for networks without batch norm.")
    package var `repair` = false

    @Option(help: ArgumentHelp("Draw both lines: .svg or .png.", valueName: "file"))
    package var figure: String?

    @Option(help: ArgumentHelp("The tensor of the labels. Default: y_SPLIT.", valueName: "name"))
    package var labels: String?

    @Option(help: ArgumentHelp("An architecture file, or the name of a known architecture.", valueName: "name"))
    package var architecture: String?

    @Option(help: ArgumentHelp("A number that the weights do not show: activation=tanh.", valueName: "key=value"))
    package var set: [String] = []

    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    package func validate() throws {
        if points < 2 || points > 10_001 { throw ValidationError("--points takes a number from 2 to 10001.") }
        if restarts < 0 || restarts > 10_000 { throw ValidationError("--restarts takes a number from 0 to 10000.") }
        if let bnBatch, bnBatch < 2 { throw ValidationError("--bn-batch takes a number from 2 on.") }
        if data == nil, figure != nil { throw ValidationError("--figure needs --data.") }
        if `repair`, data == nil, bnData == nil { throw ValidationError("--repair needs --data or --bn-data.") }
        if bn == .average, bnData != nil || bnBatch != nil {
            throw ValidationError("--bn-data and --bn-batch go with --bn recompute.")
        }
    }

    package func run(in session: Session) throws {
        for path in [to, mergeTo].compactMap(\.self) { _ = try CheckpointWriters.writer(for: path) }
        let work = try AlignmentWork(self, session)
        let report = try work.run()
        try session.emit(report.json, as: report.table)
        report.say(session)
    }
}

extension BatchNormChoice: ExpressibleByArgument {}
