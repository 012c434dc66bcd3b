import ArgumentParser
import ZooBase

/// The options by which a command finds the cells of a zoo's load–temperature grid.
package struct GridOptions: ParsableArguments {
    @Argument(help: "The zoo, by its name in the catalog.")
    package var zoo: String

    @Option(
        help: ArgumentHelp(
            "Setting of the load axis. Default: the manifest's, else the one of two varying settings.",
            valueName: "key"))
    package var load: String?

    @Option(help: ArgumentHelp("Setting of the temperature axis.", valueName: "key"))
    package var temperature: String?

    @Option(help: ArgumentHelp("Setting that tells the networks of a cell apart.", valueName: "key"))
    package var repetition: String?

    @Option(
        help: ArgumentHelp(
            "What grows with the load setting: capacity (width, density) or load (samples).", valueName: "what"))
    package var loadOrder: LoadDirection?

    @Option(
        help: ArgumentHelp(
            "What grows with the temperature setting: coldness (batch size, epochs) or temperature (learning rate).",
            valueName: "what"))
    package var heatOrder: TemperatureDirection?

    @Option(
        name: .customLong("where"),
        help: ArgumentHelp("Only networks for which this holds, as in 'zoo query'.", valueName: "condition"))
    package var condition: String?

    @Option(help: ArgumentHelp("The epoch. Default: the last one.", valueName: "number"))
    package var epoch: Int?

    /// Nothing given.
    package init() {}

    /// What grows with the load setting.
    package enum LoadDirection: String, ExpressibleByArgument, CaseIterable {
        /// More capacity, so less load.
        case capacity
        /// More data, so more load.
        case load
    }

    /// What grows with the temperature setting.
    package enum TemperatureDirection: String, ExpressibleByArgument, CaseIterable {
        /// Less noise.
        case coldness
        /// More noise.
        case temperature
    }
}
