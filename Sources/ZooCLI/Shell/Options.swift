import ArgumentParser
import ZooBase
import ZooReport

/// The options that every command takes.
package struct GlobalOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Catalog file. Default: $ZOO_CATALOG, else zoos/catalog.sqlite.", valueName: "file"))
    package var catalog: String?

    @Flag
    package var format: FormatFlag?

    @Option(help: ArgumentHelp("Seed of everything random.", valueName: "number"))
    package var seed: UInt64 = 0

    @Option(
        name: [.customShort("j", allowingJoined: true), .long],
        help: ArgumentHelp("Threads. Default: one per processor.", valueName: "number"))
    package var jobs: Int?

    @Flag package var verbosity: Verbosity?

    /// All as they are by default.
    package init() {}

    /// Refuses values out of range.
    package func validate() throws {
        guard let jobs, jobs < 1 else { return }
        throw ValidationError("--jobs takes a number from 1 on, not \(jobs).")
    }
}

/// The option of commands whose result can go to a file.
package struct OutputOptions: ParsableArguments {
    @Option(
        name: .shortAndLong,
        help: ArgumentHelp(
            "Write the result to a file; its ending picks the format unless an option does.", valueName: "file"))
    package var output: String?

    /// No file.
    package init() {}
}

/// The formats as flags; one for each of `TableFormat.all`.
package enum FormatFlag: String, EnumerableFlag {
    /// Aligned columns for people.
    case text
    /// An array of objects.
    case json
    /// One object per line.
    case jsonl
    /// RFC 4180.
    case csv
    /// A table for documents.
    case markdown
    /// Apache Parquet.
    case parquet

    /// What help says of a format.
    package static func help(for value: FormatFlag) -> ArgumentHelp? {
        switch value {
        case .text: "Results as aligned columns (the default)."
        case .json: "Results as JSON: an array of objects, or an object."
        case .jsonl: "Results as JSON, one object per line."
        case .csv: "Results as comma-separated values (RFC 4180)."
        case .markdown: "Results as a Markdown table."
        case .parquet: "Results as Apache Parquet, to a file or pipe."
        }
    }
}

/// How much is said on standard error; progress and notes when neither is asked for.
package enum Verbosity: EnumerableFlag {
    /// Errors only.
    case quiet
    /// Also the causes of errors and every failed item.
    case verbose

    /// `--quiet` and `--verbose`, with their letters.
    package static func name(for value: Verbosity) -> NameSpecification { .shortAndLong }

    /// What help says.
    package static func help(for value: Verbosity) -> ArgumentHelp? {
        switch value {
        case .quiet: "Say nothing but errors."
        case .verbose: "Say more: causes of errors, every failed item."
        }
    }
}
