import ArgumentParser
import ZooBase
import ZooCatalog
import ZooLandscape
import ZooMerge
import ZooNN
import ZooReport

/// `zoo path`: the loss along the straight line, or a trained curve, between two checkpoints.
package struct Path: ZooCommand {
    package static let configuration = CommandConfiguration(
        abstract: "Walk from one checkpoint to another, straight or along a trained curve: loss, accuracy, barrier.",
        discussion: """
            θ(t) = (1−t) A + t B over every floating-point tensor. Three numbers say how far loss and error rise: \
            'barrier' over the line between the ends, 'instability' over their mean, 'excess' over the worse end. Batch \
            norm: --bn recompute estimates the statistics anew at every point, on --bn-data or the same data; otherwise \
            they are interpolated, and barriers of such networks come out too high.

            --curve bezier trains a curve of low loss instead, from the straight line on: SGD with momentum 0.9 and \
            weight decay 5e-4 on the curve's point, the rate constant for half of the epochs and then down to a \
            hundredth. mc is the mean error of the ends less the error where the two differ most, in percentage points: \
            below zero there is a barrier, near zero the networks are connected. Curves are trained on --train-data, or \
            the same data, with batch statistics; those of the points are estimated anew there.

            Language models go on texts (.txt, .jsonl) or arrays of token ids, physics-informed networks on --data \
            convection:beta=30 as in 'zoo landscape'.

            Example:
              zoo path zoos/digits-tasks/pretrained.safetensors zoos/digits-tasks/soup/variant_07.safetensors \
            --data zoos/digits-tasks/data/zoo_c_data.safetensors:soup.val --figure path.svg
              zoo path "where:zoo = 'digits-phases' and width = 8 and batchsize = 64 and seed = 0" \
            "where:zoo = 'digits-phases' and width = 8 and batchsize = 64 and seed = 1" \
            --data digits:test --points 25 --bn recompute --bn-data digits:train
              zoo path "where:zoo = 'digits-mlp-phases' and width = 32 and batchsize = 64 and seed = 0" \
            "where:zoo = 'digits-mlp-phases' and width = 32 and batchsize = 64 and seed = 1" \
            --data digits-standard:train --curve bezier --figure curve.svg
              zoo path 412 415 --data digits:test
              zoo path gpt2/ tuned/ --data texts.txt
            """)

    @Argument(help: "The checkpoint at t = 0.")
    package var a: String

    @Argument(help: "The checkpoint at t = 1.")
    package var b: String

    @OptionGroup(title: "Data") package var data: DataOption

    @Option(help: ArgumentHelp("Points on the line, the ends among them.", valueName: "number"))
    package var points: Int = 25

    @Option(help: "Train a curve: bezier, or chain of straight pieces.")
    package var curve: CurveForm?

    @OptionGroup(title: "Curves") package var curves: CurveFlags

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

    @Option(
        help: ArgumentHelp("Texts: the folder of the tokenizer. Default: the checkpoint's.", valueName: "folder"))
    package var tokenizer: String?

    @Option(help: ArgumentHelp("Draw loss and error along the line: .svg or .png.", valueName: "file"))
    package var figure: String?

    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    package func validate() throws {
        if points < 2 || points > 100_000 { throw ValidationError("--points takes a number from 2 to 100000.") }
        if curve != nil, bn == .recompute || bnData != nil || bnBatch != nil {
            throw ValidationError("--bn, --bn-data and --bn-batch go with straight lines; curves have --train-data.")
        }
        if curve != nil, points < 3 { throw ValidationError("--curve needs three --points or more.") }
        if bn == .average, bnData != nil || bnBatch != nil {
            throw ValidationError("--bn-data and --bn-batch go with --bn recompute.")
        }
    }

    package func run(in session: Session) throws {
        let resolver = SelectorResolver(catalogPath: session.catalogPath)
        let ends = try [resolver.resolveOne(a), resolver.resolveOne(b)]
        let measured = try LandscapeData.open(data, for: ends[0], reading, defaultSplit: "test", session)
        let pair = try OneArchitecture(
            ends, inputShape: measured.inputShape, architecture: architecture, settings: set, session: session)
        try pair.requireFinite()
        if let curve { return try walk(curve, pair, measured, session) }
        let statistics = try self.statistics(pair), path: LinearPath
        if measured.isLabelled(for: pair.graph) {
            path = try LinearPath(
                pair.graph, pair.checkpoints[0].open(), pair.checkpoints[1].open(), at: LinearPath.grid(points),
                samples: measured.labelled(), statistics: statistics, jobs: session.jobs)
        } else {
            path = try PathGround(pair.graph, pair.tensors, measured: measured, training: measured).line(
                pair.checkpoints[0].open(), pair.checkpoints[1].open(), points: points, jobs: session.jobs)
        }
        if let figure { try Picture.write(PathReport(path).figure, to: figure) }
        try record(path, pair, on: measured.fingerprint, session)
        try session.emit(PathReport(path).json, as: PathReport(path).table)
        session.note(PathReport(path).sentence)
    }

    private var reading: LandscapeData.Reading {
        LandscapeData.Reading(architecture: architecture, settings: set, tokenizer: tokenizer)
    }

    private func statistics(_ pair: OneArchitecture) throws -> BatchNormStatistics? {
        guard bn == .recompute else { return nil }
        guard BatchNormStatistics.applies(to: pair.graph) else {
            throw ZooError(.usage, "architecture '\(pair.graph.name)' has no batch norm to recompute")
        }
        return try BatchNormRecipe(data: bnData ?? data.data, labels: bnData == nil ? data.labels : nil, batch: bnBatch)
            .statistics(pair.graph, pair.tensors)
    }

    private func walk(
        _ form: CurveForm, _ pair: OneArchitecture, _ measured: LandscapeData, _ session: Session
    ) throws {
        let training = try curves.data(for: pair.checkpoints[0], reading, session) ?? measured
        let options = curves.options(form, points: points, on: training, seed: session.seed)
        let ground = try PathGround(pair.graph, pair.tensors, measured: measured, training: training)
        let finder = try ground.finder(options)
        let ends = try pair.checkpoints.map { try $0.open() }
        let line = try ground.line(ends[0], ends[1], points: points, jobs: session.jobs)
        let progress = session.progress("curve", total: finder.epochs * finder.stepsPerEpoch, unit: .items("steps"))
        let found = try finder.curve(from: ends[0], to: ends[1], jobs: session.jobs) { progress.advance(by: $0) }
        progress.finish()
        let report = CurveReport(found, line: line, options: options)
        if let figure { try Picture.write(report.figure, to: figure) }
        try record(found, pair, session, on: measured.fingerprint, training: training, options)
        try session.emit(report.json, as: report.table)
        session.note(report.sentence)
    }

    private func record(
        _ curve: ConnectingCurve, _ pair: OneArchitecture, _ session: Session, on samples: String,
        training: LandscapeData, _ options: CurveOptions
    ) throws {
        guard let first = pair.checkpoints[0].row?.id, let second = pair.checkpoints[1].row?.id else { return }
        // What was measured for many pairs, a phase diagram's among it, stays comparable.
        let isMeasured = try Catalog(session.catalogPath).findings(of: [first], named: ["curve_mc"]).contains {
            $0.row.other == second && $0.settings?.hasPrefix("landscape ") == true
        }
        guard !isMeasured else {
            session.note("not recorded: the catalog keeps the curve that 'zoo landscape' or 'zoo phases' measured")
            return
        }
        let recorder = try FindingRecorder(
            session, of: [first, second], dataset: data.data,
            settings: [
                "curve": "path samples=\(samples) training=\(training.fingerprint) \(options.description)"
            ])
        try recorder.record(["curve": curve.measurements], of: first, and: second)
        try recorder.finish()
    }

    /// Barriers of catalogued pairs become metrics.
    private func record(
        _ path: LinearPath, _ pair: OneArchitecture, on samples: String, _ session: Session
    ) throws {
        guard let first = pair.checkpoints[0].row?.id, let second = pair.checkpoints[1].row?.id else { return }
        let catalog = try Catalog(session.catalogPath)
        // What was measured on counts among the settings, so that other data are told apart.
        let settings = "path samples=\(samples) points=\(points) bn=\(bn.rawValue)"
        let replaced = try catalog.findings(of: [first]).filter {
            $0.row.other == second && $0.settings != settings
                && ($0.row.name.hasPrefix("lmc_loss_") || $0.row.name.hasPrefix("lmc_error_"))
        }
        ReplacedValues(replaced, by: data.data, samples: samples).warn(session)
        let writer = try catalog.writer(patience: 5)
        let recorder = try MetricRecorder(
            writer,
            .now(command: CommandLineTool.text, seed: session.seed, dataset: data.data, settings: settings))
        for (prefix, barrier) in [("lmc_loss", path.loss)] + (path.hasError ? [("lmc_error", path.error)] : []) {
            try recorder.record("\(prefix)_barrier", of: first, and: second, value: barrier.barrier)
            try recorder.record("\(prefix)_instability", of: first, and: second, value: barrier.instability)
            try recorder.record("\(prefix)_excess", of: first, and: second, value: barrier.excess)
        }
        try recorder.finish()
        try writer.close()
    }
}
