import ArgumentParser
import ZooBase
import ZooCatalog
import ZooRetrieval

/// `zoo retrieve add`: indexes more models without training.
package struct RetrieveAdd: ZooCommand {
    package static let configuration = CommandConfiguration(
        commandName: "add",
        abstract: "Index more models with the map and encoders of an index; no vector that is there changes.",
        discussion: """
            Models are captured as 'fit' does. Programs and services are described in a manifest (--boxes): a command \
            reads inputs as JSON lines or float32 and writes a line of scores or a label for each; a service on \
            127.0.0.1 is posted to. docs/retrieval.md has the protocol. Models that fail are listed, the rest is added \
            (exit status 3). An interrupted capture goes on with the same command.

            Example:
              zoo retrieve add "where:zoo = 'more'"
              zoo retrieve add --boxes boxes.yaml
            """)

    @Argument(help: "Checkpoints: files, folders, ARCHIVE!/MEMBER, ids, NAME@EPOCH, 'where:…'.")
    package var selectors: [String] = []

    @Option(help: ArgumentHelp("A manifest of tasks and their models.", valueName: "file"))
    package var tasks: String?

    @Option(help: ArgumentHelp("A manifest of programs and services.", valueName: "file"))
    package var boxes: String?

    @Flag(help: "Use the models' labels alone, as of a box that gives no scores.")
    package var labelsOnly = false

    @OptionGroup package var target: IndexOption
    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    package func validate() throws {
        if selectors.isEmpty, boxes == nil, tasks == nil {
            throw ValidationError("Name checkpoints, --tasks or --boxes.")
        }
    }

    package func run(in session: Session) throws {
        let start = ContinuousClock.now
        let path = IndexFile.path(target.index, session)
        var index = try IndexFile.read(path)
        var (items, failures) = try RetrieveFit.items(
            selectors, tasks: tasks, target: target, inputShape: index.pool.inputShape, session)
        if let boxes {
            items += try BoxManifest(boxes, inputShape: index.pool.inputShape).items
        }
        try ModelCapture.refuseRepeated(items, besides: index.models.map(\.name))
        let capture = try Capture(pool: index.pool, map: index.map, settings: index.capture)
        let folder = FitFolder(index: path, session)
        let found = try ModelCapture(items, capture, labelsOnly: labelsOnly, folder: folder, session)
        failures += found.failures
        guard !found.captured.isEmpty else {
            throw failures.first?.error ?? ZooError(.notFound, "no model is named")
        }
        try RetrievalFit.add(found.captured, to: &index)
        try IndexFile.write(index, to: path)
        folder.remove()
        let summary = IndexSummary(path: path, index: index, added: found.captured.count, start: start)
        try session.emit(summary.json, as: summary.table)
        guard failures.isEmpty else {
            throw PartialFailure(failures, of: items.count + failures.count - found.failures.count, kind: "models")
        }
    }
}
