import ArgumentParser

/// A subcommand of `zoo`: options, and a `run(in:)` of a few lines that calls a plain function and emits its result.
///
/// To add one: a file under `Commands/` as `Doctor.swift` is, and a line in `Commands/Registry.swift`.
package protocol ZooCommand: ParsableCommand {
    /// The options that every command takes: `@OptionGroup(title: "Common options") var global: GlobalOptions`.
    var global: GlobalOptions { get }
    /// The file that the result goes to; nil unless the command has an `OutputOptions`.
    var outputPath: String? { get }
    /// Does the work. Errors are thrown, never printed.
    func run(in session: Session) throws
}

extension ZooCommand {
    /// Standard output.
    package var outputPath: String? { nil }

    /// Runs the command in a session made of its options.
    package func run() throws { try run(in: Session(global, outputPath: outputPath)) }
}
