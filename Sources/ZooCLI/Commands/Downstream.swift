import ArgumentParser
import ZooBase
import ZooNN
import ZooReport

/// `zoo downstream`: what the networks of each phase are good for.
package struct Downstream: ZooCommand {
    package static let configuration = CommandConfiguration(
        abstract: "Average, ensemble and prune the networks of every cell of a phase diagram; results by phase.",
        discussion: """
            Studies, each scored on the test data beside the networks themselves: epochs (mean of each network's last \
            checkpoints), seeds and seeds_aligned (mean over seeds, without and with weight matching to the first), \
            ensemble (mean of the probabilities over seeds), prune (the largest weights of all matrices together stay, \
            nothing is trained again). Batch-norm statistics of all weights made here are recomputed on the training \
            data. Phases are told as 'zoo phases' does, from what it has measured.

            Example:
              zoo downstream digits-mlp-phases --data digits-standard:train --test digits-standard:test --figure gains.svg
              zoo downstream digits-phases --data digits:train --test digits:test --studies ensemble,seeds_aligned --by cell
            """)

    @OptionGroup(title: "Grid") package var grid: GridOptions
    @OptionGroup(title: "Phases") package var phases: PhaseOptions

    @Option(
        help: ArgumentHelp("Training data, for batch-norm statistics.", valueName: "path[:split]"))
    package var data: String

    @Option(help: ArgumentHelp("Test data.", valueName: "path[:split]"))
    package var test: String

    @Option(help: ArgumentHelp("A preparation of the data sets' manifest.", valueName: "name"))
    package var preparation: String?

    @Option(help: ArgumentHelp("Which studies, separated by commas.", valueName: "list"))
    package var studies: String = "epochs,seeds,seeds_aligned,ensemble,prune"

    @Option(help: ArgumentHelp("Checkpoints that 'epochs' averages.", valueName: "number"))
    package var last: Int = 5

    @Option(help: ArgumentHelp("Shares of the weights that stay when pruning, separated by commas.", valueName: "list"))
    package var densities: String = "0.5,0.2,0.1"

    @Option(help: "Rows of the table: phase or cell.")
    package var by: Rows = .phase

    @Option(help: ArgumentHelp("Draw the gains with the borders of the phases: .svg or .png.", valueName: "file"))
    package var figure: String?

    @Option(help: ArgumentHelp("An architecture file, or the name of a known architecture.", valueName: "name"))
    package var architecture: String?

    @Option(help: ArgumentHelp("A number that the weights do not show: activation=tanh.", valueName: "key=value"))
    package var set: [String] = []

    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    /// What a row of the table is.
    package enum Rows: String, ExpressibleByArgument, CaseIterable {
        case phase, cell
    }

    package func validate() throws {
        if last < 2 { throw ValidationError("--last takes a number from 2 on, not \(last).") }
    }

    private func wanted() throws -> [DownstreamStudy] {
        let shares = try densities.split(separator: ",").map { text -> Double in
            guard let share = Double(text.trimmingPrefix(while: \.isWhitespace)), share > 0, share < 1 else {
                throw ZooError(.usage, "--densities: '\(text)' is no share above 0 and under 1")
            }
            return share
        }
        let found = try studies.split(separator: ",").flatMap { text -> [DownstreamStudy] in
            let name = String(text).trimming(while: \.isWhitespace)
            guard let kind = DownstreamStudy.Kind(rawValue: name) else {
                let names = DownstreamStudy.Kind.allCases.map(\.rawValue)
                throw ZooError(
                    .usage, "there is no study '\(name)'", hint: NearestName.hint(name, in: names, kind: "studies"))
            }
            return kind == .prune ? shares.map { DownstreamStudy(kind: kind, density: $0) } : [.init(kind: kind)]
        }
        guard !found.isEmpty else { throw ZooError(.usage, "--studies names nothing") }
        return found
    }

    private func samples(_ text: String, _ split: String, _ session: Session) throws -> Samples {
        let source = try DataSource(text, preparation: preparation, seed: session.seed, defaultSplit: split)
        guard source.splits.count == 1 else {
            throw ZooError(.usage, "\(text) names \(source.splits.count) splits; one is needed")
        }
        return try source.samples(source.splits[0])
    }

    package func run(in session: Session) throws {
        let wanted = try wanted()
        let train = try samples(data, "train", session), test = try samples(test, "test", session)
        let found = try ZooPhases(ZooGrid(grid, session), phases, session)
        // The gains are set beside phases; whoever reads them must know when those were told from other samples.
        let others = found.sources.required.filter { name in
            let known = found.metrics.samples(of: name)
            return !known.isEmpty && !known.contains("\(train.fingerprint)")
        }
        if !others.isEmpty {
            let names = Set(others.flatMap { found.metrics.datasets(of: $0) }).sorted().joined(separator: ", ")
            session.warn(
                "phases are told from \(others.joined(separator: ", ")) measured on \(names), "
                    + "which are other samples than \(data)")
        }
        var work = DownstreamWork(found, wanted)
        try work.run(
            train: train, test: test, last: last,
            library: ArchitectureLibrary(session, explicit: architecture, settings: set), session)
        let report = DownstreamReport(work)
        if let figure {
            try Picture.write(report.figure(title: "\(grid.zoo): what the phases are good for"), to: figure)
            session.note("wrote \(figure)")
        }
        report.say(session)
        try session.emit(report.json, as: by == .phase ? report.phaseTable : report.cellTable)
        guard work.failures.isEmpty else {
            throw PartialFailure(work.failures, of: work.cells.count, kind: "cells")
        }
    }
}
