import ArgumentParser
import ZooBase

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The whole program.
public enum CommandLineTool {
    /// Runs the command that the process's arguments name and ends the process.
    public static func main() -> Never {
        Signals.install()
        exit(run(Array(CommandLine.arguments.dropFirst())))
    }

    /// The command line of this process, for records of what was run.
    static var text: String {
        let words = ["zoo"] + CommandLine.arguments.dropFirst()
        return words.map { word in
            let isPlain = !word.isEmpty && !word.contains { " '\"\\$`!*?[]{}()<>|&;#~\n\t".contains($0) }
            return isPlain ? word : "'" + word.replacing("'", with: "'\\''") + "'"
        }.joined(separator: " ")
    }

    /// Runs a command.
    ///
    /// - Returns: the exit status.
    package static func run(_ arguments: [String], console: Console = .standardError) -> Int32 {
        var isVerbose = false
        do {
            try checkCommandName(arguments)
            var command = try Zoo.parseAsRoot(arguments)
            isVerbose = (command as? any ZooCommand)?.global.verbosity == .verbose
            try command.run()
            return ExitStatus.done
        } catch {
            return report(error, isVerbose: isVerbose, console)
        }
    }

    private static func report(_ error: any Error, isVerbose: Bool, _ console: Console) -> Int32 {
        let isOurs = error is ZooError || error is PartialFailure || error is OutputClosed
        let parserStatus = isOurs ? nil : Zoo.exitCode(for: error)
        if let parserStatus, parserStatus.isSuccess {
            return printHelp(Zoo.fullMessage(for: error), console)
        }
        let shown = parserStatus == .validationFailure ? usageError(error) : error
        for line in ErrorReport.lines(shown, isVerbose: isVerbose) { console.line(line) }
        return ExitStatus.of(shown)
    }

    private static func printHelp(_ text: String, _ console: Console) -> Int32 {
        do {
            try DescriptorOutput(STDOUT_FILENO, name: "standard output").write(Array((text + "\n").utf8))
            return ExitStatus.done
        } catch {
            for line in ErrorReport.lines(error, isVerbose: false) { console.line(line) }
            return ExitStatus.of(error)
        }
    }

    /// The parser's message and, as the hint, where its help is.
    private static func usageError(_ error: any Error) -> ZooError {
        let message = Zoo.message(for: error).split(separator: "\n", omittingEmptySubsequences: true)
        let help = Zoo.fullMessage(for: error).split(separator: "\n").compactMap { line in
            line.split(separator: "'").first { $0.hasSuffix(" --help") }
        }
        return ZooError(
            .usage, message.joined(separator: "; "), hint: "\(help.last ?? "zoo --help") shows what is possible")
    }

    /// A command that does not exist gets a suggestion, which the parser does not give.
    private static func checkCommandName(_ arguments: [String]) throws {
        guard let name = arguments.first, !name.hasPrefix("-") else { return }
        let known = Zoo.configuration.subcommands.map { $0._commandName } + ["help"]
        guard !known.contains(name) else { return }
        throw ZooError(
            .usage, "there is no command '\(name)'", hint: NearestName.hint(name, in: known, kind: "commands"))
    }
}
