import ArgumentParser
import ZooBase
import ZooCatalog
import ZooReport

/// `zoo phases`: the phases of the loss landscape over a zoo's load–temperature grid.
package struct Phases: ZooCommand {
    package static let configuration = CommandConfiguration(
        abstract:
            "Tell the phases of a zoo's load–temperature grid: I, II, III, IV-A, IV-B, with thresholds and a figure.",
        discussion: """
            Each cell of the grid (networks that differ in their seed only) gets a phase from its training loss, Hessian \
            trace, mode connectivity and CKA (arXiv 2107.11228), by stated thresholds: Otsu's over the grid, fixed, or \
            yours. Cells close to a threshold, collapsed ones and those that loss and curvature judge differently are \
            flagged; the confidence is the share of resamples over seeds that keep the phase. Measurements come from the \
            catalog; with --data those that are missing are measured first and recorded, so an interrupted run goes on \
            where it stopped. Load and temperature are the settings that the zoo's manifest names, else the two that \
            vary beside the seed; '--load parameters' takes the size of the networks. Tables for people are short: --json \
            and --csv have every metric under its whole name.

            Example:
              zoo phases digits-mlp-phases --figure phases.svg
              zoo phases digits-phases --data zoos/data/digits.safetensors:train --labels y_train_noisy \
            --test zoos/data/digits.safetensors:test
              zoo phases digits-mlp-phases --load width --temperature batchsize --axis hessian --connected 2 --json
            """)

    @OptionGroup(title: "Grid") package var grid: GridOptions
    @OptionGroup(title: "Phases") package var phases: PhaseOptions
    @OptionGroup(title: "Measuring what is missing") package var survey: SurveyOptions

    @Option(help: ArgumentHelp("Draw the measurements and phases: .svg or .png.", valueName: "file"))
    package var figure: String?

    @Option(help: ArgumentHelp("Heading of the figure. Default: the zoo's name.", valueName: "text"))
    package var title: String?

    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    package func run(in session: Session) throws {
        let found = try ZooGrid(grid, session)
        let failures = try PhaseSurvey(found, survey, phases, session).run()
        let result = try ZooPhases(found, phases, session)
        let report = PhaseReport(result)
        if let figure {
            try Picture.write(PhaseFigure(result).figure(title: title ?? grid.zoo), to: figure)
            session.note("wrote \(figure)")
        }
        report.say(session)
        try session.emit(report.json, as: session.isForPeople ? report.narrowTable : report.table)
        guard failures.isEmpty else {
            throw PartialFailure(failures, of: found.checkpoints.count, kind: "checkpoints")
        }
    }
}
