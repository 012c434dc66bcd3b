import ArgumentParser
import Testing
import ZooBase
import ZooCLI
import ZooReport
import ZooTestSupport

/// Every command is documented, with an example, and `docs/commands.md` is its help. `ZOO_UPDATE_GOLDENS=1` writes the
/// page anew.
@Suite struct HelpTests {
    /// A command, the words that call it, and all below it.
    private func tree(_ command: any ParsableCommand.Type, _ words: [String]) -> [(String, any ParsableCommand.Type)] {
        [(words.joined(separator: " "), command)]
            + command.configuration.subcommands.flatMap { tree($0, words + [$0._commandName]) }
    }

    private var commands: [(name: String, type: any ParsableCommand.Type)] {
        tree(Zoo.self, ["zoo"]).map { (name: $0.0, type: $0.1) }
    }

    @Test func everyCommandHasAnAbstractAndAnExample() {
        for (name, command) in commands {
            #expect(!command.configuration.abstract.isEmpty, "\(name) has no abstract")
            let help = Zoo.helpMessage(for: command, columns: 80)
            #expect(help.contains("Example:\n"), "\(name) has no example in its discussion")
            #expect(help.contains("\n  zoo"), "the example of \(name) does not call zoo")
        }
    }

    @Test func everyOptionIsExplained() {
        for (name, command) in commands {
            let lines = Zoo.helpMessage(for: command, columns: 200).split(separator: "\n")
            for line in lines where line.hasPrefix("  -") {
                #expect(line.contains("   "), "\(name): \(line) has no explanation")
            }
        }
    }

    @Test func theManualIsTheHelp() {
        var page = """
            # Commands

            What `zoo help` says, for reading on a page. Every command ends with one of these statuses: 0 done, 1 failed,
            3 done but some items failed (they are listed on standard error), 64 wrong usage, 130 interrupted.
            Results go to standard output, everything else to standard error.

            """
        for (name, command) in commands {
            page += "\n## `\(name)`\n\n```text\n\(Zoo.helpMessage(for: command, columns: 100))"
            page += page.hasSuffix("\n") ? "```\n" : "\n```\n"
        }
        #expect(Golden.difference(page, "docs/commands.md") == nil)
    }

    @Test func thereIsAnOptionForEveryFormat() {
        #expect(FormatFlag.allCases.map(\.rawValue) == TableFormat.all.map(\.name))
    }
}
