import ArgumentParser
import ZooBase
import ZooLandscape

/// The options that decide how phases are told apart.
package struct PhaseOptions: ParsableArguments {
    @Option(help: "What tells sharp from flat: both, hessian, loss.")
    package var axis: PhaseRules.Axis = .both

    @Option(
        help: ArgumentHelp(
            "Threshold between flat and sharp, in units of the axis. Default: Otsu's over the grid.",
            valueName: "number"))
    package var sharp: Double?

    @Option(
        help: ArgumentHelp(
            "Connectivity below minus this is a barrier, in points of training error.", valueName: "number"))
    package var connected: Double = 1

    @Option(
        help: ArgumentHelp(
            "CKA from which networks are similar. Default: Otsu's over phase IV, else 0.65.", valueName: "number"))
    package var similar: Double?

    @Flag(help: "Take 3 × 3 medians of the measurements first.")
    package var smooth = false

    @Option(help: ArgumentHelp("The measure of sharpness: hessian_trace or hessian_top.", valueName: "metric"))
    package var sharpness: String = "hessian_trace"

    @Option(
        help: ArgumentHelp("The measure of connectivity, negative where there is a barrier.", valueName: "name"))
    package var connectivity: String = "curve_mc"

    @Option(
        help: ArgumentHelp("The measure of similarity. Default: cka_mixup, else cka.", valueName: "metric"))
    package var similarity: String?

    @Option(
        help: ArgumentHelp(
            "The accuracy that phases are compared by. Default: eval_test_accuracy, else the zoo's own results.",
            valueName: "metric"))
    package var accuracy: String?

    @Option(help: ArgumentHelp("Classes of the task. Default: the outputs of the network.", valueName: "number"))
    package var classes: Int?

    @Option(help: ArgumentHelp("Resamples over seeds for the confidence.", valueName: "number"))
    package var resamples: Int = 200

    /// The defaults.
    package init() {}

    /// Refuses values out of range.
    package func validate() throws {
        if let classes, classes < 2 { throw ValidationError("--classes takes a number from 2 on, not \(classes).") }
        if resamples < 0 || resamples > 100_000 {
            throw ValidationError("--resamples takes a number from 0 to 100000.")
        }
        if connected < 0 { throw ValidationError("--connected takes a number from 0 on, not \(connected).") }
    }

    /// The rules that the options make.
    func rules(classes: Int) -> PhaseRules {
        var rules = PhaseRules()
        rules.axis = axis
        rules.connectivityTolerance = connected
        rules.classCount = classes
        rules.sideThreshold = sharp
        rules.similarityThreshold = similar
        rules.isSmoothed = smooth
        return rules
    }
}

extension PhaseRules.Axis: ExpressibleByArgument {}

/// The names of the metrics that phases are decided from.
struct PhaseSources: Sendable, Hashable {
    var loss = "landscape_loss"
    var sharpness = "hessian_trace"
    var connectivity = "curve_mc"
    var similarity = "cka_mixup"
    /// What phases are compared by.
    var accuracy = "eval_test_accuracy"

    /// What the decision cannot do without.
    var required: [String] { [loss, sharpness, connectivity] }
}
