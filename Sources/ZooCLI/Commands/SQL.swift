import ArgumentParser
import ZooBase
import ZooCatalog
import ZooReport

/// `zoo sql`: one read-only statement.
package struct SQL: ZooCommand {
    package static let configuration = CommandConfiguration(
        abstract: "Run one read-only SQL statement on the catalog, with a time limit.",
        discussion: """
            The catalog is an SQLite file: source, zoo, model, result, checkpoint, layout, layout_tensor, metric, \
            lineage, run, and views such as checkpoints. The statement cannot change it.

            Example:
              zoo sql "SELECT name, tensor_count FROM layout JOIN zoo ON 1 LIMIT 3"
              zoo sql "SELECT zoo, count(*) AS checkpoints FROM checkpoints GROUP BY zoo" --json
            """)

    @Argument(help: "A SELECT, WITH or EXPLAIN statement.")
    package var statement: String

    @Option(help: ArgumentHelp("Seconds after which the statement is stopped.", valueName: "s"))
    package var timeLimit: Double = 30

    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    package func run(in session: Session) throws {
        try session.emit(try Catalog(session.catalogPath).sql(statement, timeLimit: timeLimit))
    }
}
