import ArgumentParser
import ZooBase

/// `zoo prune`: smaller embedding models and networks that keep a domain.
package struct Prune: ParsableCommand {
    package static let configuration = CommandConfiguration(
        abstract: "Prune a network by what calibration data of a domain and of general use say of its weights (GAPrune).",
        subcommands: commands)

    /// A new subcommand is one file in this folder and one line below.
    package static let commands: [any ParsableCommand.Type] = [
        PruneEvaluate.self
    ]

    package init() {}
}
