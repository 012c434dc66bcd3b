import ArgumentParser
import ZooBase
import ZooLandscape
import ZooReport

/// `zoo surface`: the loss on a line or plane through a checkpoint.
package struct Surface: ZooCommand {
    package static let configuration = CommandConfiguration(
        abstract: "Evaluate the loss on a plane or line through a checkpoint, and draw it.",
        discussion: """
            θ(x, y) = θ* + x·δ + y·η. Directions are random, every filter scaled to the norm of the network's own \
            (--scaling names other ways), biases and norm parameters stay; or towards another checkpoint; or, with \
            --pca, the first two principal components of the trial's own checkpoints, with the training drawn in. \
            Networks run in evaluation mode, batch norm with the statistics of the checkpoint. Points whose loss is \
            not finite are missing and say so. --tiles keeps finished rows, so that an interrupted run goes on.

            Language models go on texts (.txt, .jsonl) or arrays of token ids, physics-informed networks on --data \
            convection:beta=30 as in 'zoo landscape'.

            Example:
              zoo surface zoos/digits-tasks/pretrained.safetensors --data zoos/digits-tasks/data/zoo_c_data.safetensors:clean.train \
            --points 25 --figure surface.svg
              zoo surface "where:zoo = 'digits-mlp-phases' and width = 32 and batchsize = 64 and seed = 0" \
            --towards "where:zoo = 'digits-mlp-phases' and width = 32 and batchsize = 64 and seed = 1" \
            --data digits-standard:train --dimensions 1 --figure line.png
              zoo surface 412 --data digits:train --pca --tiles surface.json --figure training.svg
              zoo surface pinn.pt --data convection:beta=30 --set activation=tanh --points 25 --figure pinn.svg
            """)

    @Argument(help: "The checkpoint in the middle: a file, folder, ARCHIVE!/MEMBER, id, NAME@EPOCH.")
    package var checkpoint: String

    @OptionGroup(title: "Data") package var data: DataOption

    @Option(help: ArgumentHelp("1 for a line, 2 for a plane.", valueName: "number"))
    package var dimensions: Int = 2

    @Option(
        help: ArgumentHelp("Points of an axis. Default: 51; 401 on a line to another checkpoint.", valueName: "number"))
    package var points: Int?

    @Option(
        help: ArgumentHelp(
            "Range of both axes: LOW,HIGH. Default: -1,1; -0.5,1.5 towards a checkpoint; with --pca the training.",
            valueName: "low,high"))
    package var range: String?

    @Option(help: "Scale of random directions: filter, layer, unit-filter, unit-layer, none.")
    package var scaling: DirectionScaling = .filter

    @Option(help: ArgumentHelp("The first axis leads to this checkpoint, which is at 1.", valueName: "model"))
    package var towards: String?

    @Flag(help: "The plane of the trial's own checkpoints.")
    package var pca = false

    @Option(help: ArgumentHelp("Keep finished rows in this file, and go on from it.", valueName: "file"))
    package var tiles: String?

    @Option(help: ArgumentHelp("Draw the surface: .svg or .png.", valueName: "file"))
    package var figure: String?

    @Option(help: ArgumentHelp("Draw larger losses as this one.", valueName: "loss"))
    package var cap: Double?

    @Option(help: ArgumentHelp("An architecture file, or the name of a known architecture.", valueName: "name"))
    package var architecture: String?

    @Option(help: ArgumentHelp("A number that the weights do not show: activation=tanh.", valueName: "key=value"))
    package var set: [String] = []

    @Option(
        help: ArgumentHelp("Texts: the folder of the tokenizer. Default: the checkpoint's.", valueName: "folder"))
    package var tokenizer: String?

    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    /// The two numbers of `--range`.
    var extent: (low: Double, high: Double)? {
        let parts = range?.split(separator: ",").compactMap { Double($0.trimmingPrefix(while: { $0 == " " })) } ?? []
        return parts.count == 2 ? (parts[0], parts[1]) : nil
    }

    package func validate() throws {
        if dimensions != 1, dimensions != 2 { throw ValidationError("--dimensions takes 1 or 2.") }
        if let points, points < 3 || points > 100_001 {
            throw ValidationError("--points takes a number from 3 to 100001.")
        }
        if dimensions == 2, let points, points > 1_001 {
            throw ValidationError("--points takes at most 1001 for a plane.")
        }
        if pca, towards != nil || dimensions == 1 {
            throw ValidationError("--pca is a plane of its own: it goes without --towards and --dimensions 1.")
        }
        if range != nil {
            guard let extent, extent.low.isFinite, extent.high.isFinite, extent.low < extent.high else {
                throw ValidationError("--range takes two numbers, the smaller first: --range=-1,1.")
            }
        }
        if let cap, !(cap > 0) { throw ValidationError("--cap takes a number above 0.") }
        if let figure, !figure.hasSuffix(".svg"), !figure.hasSuffix(".png") {
            throw ValidationError("--figure takes a name that ends in .svg or .png.")
        }
    }

    package func run(in session: Session) throws {
        let report = try SurfaceWork(self, session).run()
        if let figure { try Picture.write(report.figure, to: figure) }
        try session.emit(report.json, as: report.table)
        session.note(report.sentence)
    }
}

extension DirectionScaling: ExpressibleByArgument {}
