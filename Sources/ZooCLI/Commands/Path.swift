import ArgumentParser
import ZooBase
import ZooCatalog
import ZooMerge
import ZooNN
import ZooReport

/// `zoo path`: the loss along the straight line between two checkpoints.
package struct Path: ZooCommand {
    package static let configuration = CommandConfiguration(
        abstract: "Walk the straight line between two checkpoints: loss, accuracy, barrier.",
        discussion: """
            θ(t) = (1−t) A + t B over every floating-point tensor. Three numbers say how far loss and error rise: \
            'barrier' over the line between the ends, 'instability' over their mean, 'excess' over the worse end. Batch \
            norm: --bn recompute estimates the statistics anew at every point, on --bn-data or the same data; otherwise \
            they are interpolated, and barriers of such networks come out too high.

            Example:
              zoo path zoos/digits-tasks/pretrained.safetensors zoos/digits-tasks/soup/variant_07.safetensors \
            --data zoos/digits-tasks/data/zoo_c_data.safetensors:soup.val --figure path.svg
              zoo path 412 415 --data digits:test --points 25 --bn recompute --bn-data digits:train
            """)

    @Argument(help: "The checkpoint at t = 0.")
    package var a: String

    @Argument(help: "The checkpoint at t = 1.")
    package var b: String

    @OptionGroup(title: "Data") package var data: DataOption

    @Option(help: ArgumentHelp("Points on the line, the ends among them.", valueName: "number"))
    package var points: Int = 25

    @Option(help: "Batch-norm statistics on the line: average (interpolate) or recompute.")
    package var bn: BatchNormChoice = .average

    @Option(help: ArgumentHelp("recompute: data, and after a colon the split. Default: --data.", valueName: "data"))
    package var bnData: String?

    @Option(help: ArgumentHelp("recompute: average over batches of this size. Default: exact.", valueName: "number"))
    package var bnBatch: Int?

    @Option(help: ArgumentHelp("An architecture file, or the name of a known architecture.", valueName: "name"))
    package var architecture: String?

    @Option(help: ArgumentHelp("A number that the weights do not show: activation=tanh.", valueName: "key=value"))
    package var set: [String] = []

    @Option(help: ArgumentHelp("Draw loss and error along the line: .svg or .png.", valueName: "file"))
    package var figure: String?

    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    package func validate() throws {
        if points < 2 || points > 100_000 { throw ValidationError("--points takes a number from 2 to 100000.") }
        if bn == .average, bnData != nil || bnBatch != nil {
            throw ValidationError("--bn-data and --bn-batch go with --bn recompute.")
        }
    }

    package func run(in session: Session) throws {
        let source = try data.open(session)
        guard source.splits.count == 1 else {
            throw ZooError(.usage, "--data names \(source.splits.count) splits; a path is of one")
        }
        let samples = try source.samples(source.splits[0])
        let resolver = SelectorResolver(catalogPath: session.catalogPath)
        let pair = try OneArchitecture(
            [resolver.resolveOne(a), resolver.resolveOne(b)], inputShape: samples.inputShape,
            architecture: architecture, settings: set, session: session)
        let path = try LinearPath(
            pair.graph, pair.checkpoints[0].open(), pair.checkpoints[1].open(), at: LinearPath.grid(points),
            samples: samples, statistics: statistics(pair), jobs: session.jobs)
        if let figure { try Picture.write(PathReport(path).figure, to: figure) }
        try record(path, pair, session)
        try session.emit(PathReport(path).json, as: PathReport(path).table)
        session.note(PathReport(path).sentence)
    }

    private func statistics(_ pair: OneArchitecture) throws -> BatchNormStatistics? {
        guard bn == .recompute else { return nil }
        guard BatchNormStatistics.applies(to: pair.graph) else {
            throw ZooError(.usage, "architecture '\(pair.graph.name)' has no batch norm to recompute")
        }
        return try BatchNormRecipe(data: bnData ?? data.data, labels: bnData == nil ? data.labels : nil, batch: bnBatch)
            .statistics(pair.graph, pair.tensors)
    }

    /// Barriers of catalogued pairs become metrics.
    private func record(_ path: LinearPath, _ pair: OneArchitecture, _ session: Session) throws {
        guard let first = pair.checkpoints[0].row?.id, let second = pair.checkpoints[1].row?.id else { return }
        let writer = try Catalog(session.catalogPath).writer(patience: 5)
        let recorder = try MetricRecorder(
            writer,
            .now(
                command: CommandLineTool.text, seed: session.seed, dataset: data.data,
                settings: "path points=\(points) bn=\(bn.rawValue)"))
        for (prefix, barrier) in [("lmc_loss", path.loss), ("lmc_error", path.error)] {
            try recorder.record("\(prefix)_barrier", of: first, and: second, value: barrier.barrier)
            try recorder.record("\(prefix)_instability", of: first, and: second, value: barrier.instability)
            try recorder.record("\(prefix)_excess", of: first, and: second, value: barrier.excess)
        }
        try recorder.finish()
        try writer.close()
    }
}
