import ArgumentParser
import ZooBase
import ZooCatalog
import ZooLandscape
import ZooNN
import ZooReport

/// `zoo landscape`: metrics of the loss landscape around checkpoints.
package struct Landscape: ZooCommand {
    package static let configuration = CommandConfiguration(
        abstract:
            "Measure loss landscapes: Hessian eigenvalues, trace, density, Fisher trace, sharpness, CKA, connectivity.",
        discussion: """
            Networks run in evaluation mode on the samples of --data (use --subset for fewer, chosen by --seed). Metrics \
            of single networks: \(LandscapeMetric.all.map(\.name).joined(separator: ", ")). Of pairs: \
            \(PairMetric.allCases.map(\.rawValue).joined(separator: ", ")), and along paths \
            \(ConnectionMetric.allCases.map(\.rawValue).joined(separator: ", ")), between all networks or those that \
            differ in their seed only. 'curve' trains a curve of low loss between two networks and records curve_mc, the \
            taxonomy's mode connectivity in percentage points of error (below zero is a barrier); give it the training \
            data. Estimates have a standard error or a bound, and say when they have not converged. Values of \
            catalogued checkpoints are recorded as they are found; what was measured before with the same settings is \
            not computed again, so an interrupted run goes on where it stopped. Language models are measured on texts, a \
            .txt or .jsonl file, or on arrays of token ids: the loss is that of the next token. Physics-informed \
            networks are measured on --data convection:beta=30,inner=1000,initial=256,boundary=100.

            Example:
              zoo landscape "where:zoo = 'digits-cnn' and epoch = last" --data zoos/data/digits.safetensors:train \
            --subset 64 --metrics hessian_top,hessian_trace
              zoo landscape "where:zoo = 'digits-phases'" --data digits:test --metrics cka,disagreement --pairs seeds
              zoo landscape "where:zoo = 'digits-phases'" --data digits:train --metrics curve,lmc_aligned --pairs seeds
              zoo landscape gpt2/ --data texts.txt --metrics loss,hessian_top
              zoo landscape pinn.pt --data convection:beta=30 --set activation=tanh
            """)

    @Argument(help: "Checkpoints: files, folders, ARCHIVE!/MEMBER, ids, NAME@EPOCH, 'where:…'.")
    package var selectors: [String]

    @OptionGroup(title: "Data") package var data: DataOption

    @Option(help: ArgumentHelp("What to measure, separated by commas.", valueName: "list"))
    package var metrics: String = "loss,accuracy,hessian_top,hessian_trace"

    @Option(
        help: ArgumentHelp(
            "Pairs to compare: all, or seeds (equal configurations but for the seed).", valueName: "which"))
    package var pairs: PairChoice = .all

    @Option(help: ArgumentHelp("Eigenvalues that hessian_top finds.", valueName: "number"))
    package var top: Int = 1

    @Option(help: ArgumentHelp("How hessian_trace is estimated: hutchinson, hutch++, pyhessian.", valueName: "name"))
    package var trace: TraceEstimator.Method = .hutchinson

    @Option(
        help: ArgumentHelp(
            "Products with the Hessian that each eigenvalue and trace may take; what needs more says so. Default: "
                + "60 for hessian_top, 300 for hessian_min, 100 for hessian_power, 200 for the trace.",
            valueName: "n"))
    package var mostProducts: Int?

    @Option(help: ArgumentHelp("Curves: bezier, or chain of straight pieces.", valueName: "form"))
    package var curveForm: CurveForm = .bezier

    @Option(help: ArgumentHelp("Places on a curve that are evaluated, the ends among them.", valueName: "n"))
    package var curvePoints: Int = 5

    @Option(help: ArgumentHelp("Points of the straight lines of lmc and lmc_aligned.", valueName: "number"))
    package var points: Int = 25

    @OptionGroup(title: "Curves") package var curves: CurveFlags

    @Option(help: ArgumentHelp("An architecture file, or the name of a known architecture.", valueName: "name"))
    package var architecture: String?

    @Option(help: ArgumentHelp("A number that the weights do not show: activation=tanh.", valueName: "key=value"))
    package var set: [String] = []

    @Option(
        help: ArgumentHelp("Texts: the folder of the tokenizer. Default: the checkpoint's.", valueName: "folder"))
    package var tokenizer: String?

    @Flag(help: "Compute again what the catalog has, and do not record.")
    package var noRecord = false

    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    /// Which pairs are compared.
    package enum PairChoice: String, ExpressibleByArgument, CaseIterable {
        case all, seeds
    }

    package func validate() throws {
        if top < 1 || top > 50 { throw ValidationError("--top takes a number from 1 to 50.") }
        if let mostProducts, mostProducts < 2 || mostProducts > 100_000 {
            throw ValidationError("--most-products takes a number from 2 to 100000.")
        }
        if curvePoints < 3 || curvePoints > 10_001 {
            throw ValidationError("--curve-points takes a number from 3 to 10001.")
        }
        if points < 3 || points > 10_001 { throw ValidationError("--points takes a number from 3 to 10001.") }
    }

    /// What was asked for, by kind.
    private struct Wish {
        var singles: [LandscapeMetric] = []
        var pairs: [PairMetric] = []
        var connections: [ConnectionMetric] = []

        init(_ text: String) throws {
            for part in text.split(separator: ",") {
                let name = String(part).trimming(while: \.isWhitespace)
                if let pair = PairMetric(rawValue: name) {
                    if !pairs.contains(pair) { pairs.append(pair) }
                } else if let connection = ConnectionMetric(rawValue: name) {
                    if !connections.contains(connection) { connections.append(connection) }
                } else {
                    let found = try LandscapeMetric.named(name, among: ConnectionMetric.allCases.map(\.rawValue))
                    if !singles.contains(where: { $0.name == name }) { singles.append(found) }
                }
            }
            guard !singles.isEmpty || !pairs.isEmpty || !connections.isEmpty else {
                throw ZooError(.usage, "--metrics names nothing")
            }
        }
    }

    /// The data that `--data` means.
    private func measured(_ selected: [SelectedCheckpoint], _ session: Session) throws -> LandscapeData {
        try LandscapeData.open(data, for: selected.first, reading, session)
    }

    private var reading: LandscapeData.Reading {
        LandscapeData.Reading(architecture: architecture, settings: set, tokenizer: tokenizer)
    }

    private func connection(
        _ measured: LandscapeData, _ selected: [SelectedCheckpoint], _ session: Session
    ) throws -> ConnectionSettings {
        let training = try curves.data(for: selected.first, reading, session) ?? measured
        return ConnectionSettings(
            curve: curves.options(curveForm, points: curvePoints, on: training, seed: session.seed), points: points,
            training: training, seed: session.seed)
    }

    package func run(in session: Session) throws {
        let wish = try Wish(metrics)
        let selected = try SelectorResolver(catalogPath: session.catalogPath).resolve(selectors)
        let measured = try self.measured(selected, session)
        var options = LandscapeOptions()
        options.topCount = top
        options.traceMethod = trace
        options.mostProducts = mostProducts
        options.seed = session.seed
        var settings: [String: String] = [:]
        for name in wish.singles.map(\.name) + wish.pairs.map(\.rawValue) {
            settings[name] = options.settings(for: name)
        }
        let connection = try wish.connections.isEmpty ? nil : self.connection(measured, selected, session)
        for metric in wish.connections { settings[metric.rawValue] = connection?.settings(for: metric) }
        var work = try LandscapeWork(
            selected, on: measured, options: options, settings: noRecord ? nil : settings, named: data.data,
            architectures: ArchitectureLibrary(session, explicit: architecture, settings: set), session: session)
        try work.measure(wish.singles)
        if !wish.pairs.isEmpty { try work.compare(wish.pairs, choice: pairs) }
        if let connection { try work.connect(wish.connections, choice: pairs, settings: connection) }
        try work.finish()
        try session.emit(work.table(shortens: session.isForPeople))
        guard work.failures.isEmpty else {
            throw PartialFailure(work.failures, of: selected.count, kind: "checkpoints")
        }
    }
}

extension TraceEstimator.Method: ExpressibleByArgument {}
