import ArgumentParser
import ZooBase

/// The root command.
package struct Zoo: ParsableCommand {
    /// A new command is one file in this folder and one line below, in the order in which help lists them.
    package static let commands: [any ParsableCommand.Type] = [
        Index.self,
        QueryCommand.self,
        SQL.self,
        Show.self,
        Inspect.self,
        Diff.self,
        Verify.self,
        Eval.self,
        Embed.self,
        Train.self,
        DataCommand.self,
        Average.self,
        SoupCommand.self,
        Merge.self,
        Lora.self,
        Align.self,
        Fuse.self,
        TaskVectorCommand.self,
        Compose.self,
        Landscape.self,
        Path.self,
        Surface.self,
        Spectra.self,
        Phases.self,
        Downstream.self,
        Retrieve.self,
        Prune.self,
        Plot.self,
        Export.self,
        Doctor.self,
    ]

    /// Name, version and subcommands.
    package static let configuration = CommandConfiguration(
        commandName: "zoo",
        abstract: "Every checkpoint you ever saved, as one database.",
        discussion: """
            Find, measure, combine, choose and shrink neural networks without unpacking an archive or running \
            anybody's code.

            Results go to standard output, all else to standard error. Exit status: 0 done, 1 failed, 3 done but some \
            items failed, 64 wrong usage, 130 interrupted.

            Example:
              zoo doctor
            """,
        version: "zoo \(ZooVersion.string)",
        subcommands: commands)

    /// The command without arguments shows its help.
    package init() {}
}
