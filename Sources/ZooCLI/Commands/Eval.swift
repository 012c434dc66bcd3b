import ArgumentParser
import ZooBase
import ZooCatalog
import ZooFormats
import ZooNN
import ZooReport

/// `zoo eval`: loss and accuracy of any number of checkpoints.
package struct Eval: ZooCommand {
    package static let configuration = CommandConfiguration(
        abstract: "Evaluate checkpoints on data: loss and accuracy, thousands of small models in one pass.",
        discussion: """
            Checkpoints of one architecture are evaluated by one compiled program. The architecture is the one asked \
            for, else the one that the trial's configuration names (a file in manifests/architectures), else what \
            names and shapes of the weights tell. Data are files of tensors x_SPLIT and y_SPLIT (TASK.x_SPLIT for the \
            split TASK.SPLIT), IDX, CIFAR, MATLAB, CSV or PyTorch files, folders of pictures, or a data set manifest \
            ('zoo data' shows them); the split is 'test' unless given, several are separated by commas. Models that fail are listed and the rest is evaluated (exit status 3).

            Example:
              zoo eval "where:zoo = 'digits-cnn' and epoch = last" --data zoos/data/digits.safetensors:test
              zoo eval zoos/digits-tasks/tasks/*.safetensors --data zoos/digits-tasks/data/zoo_c_data.safetensors:clean.test
              zoo eval model.pt --data digits.npz:val,test --architecture small-cnn --set activation=tanh
              zoo eval model.safetensors --data digits:test --subset 200 --seed 7
            """)

    @Argument(help: "Checkpoints: files, folders, ARCHIVE!/MEMBER, ids, NAME@EPOCH, 'where:…'.")
    package var selectors: [String]

    @OptionGroup package var data: DataOption

    @Option(help: ArgumentHelp("An architecture file, or the name of a known architecture.", valueName: "name"))
    package var architecture: String?

    @Option(
        help: ArgumentHelp(
            "A number that the weights do not show: activation=tanh, heads=12. May be repeated.", valueName: "key=value"
        ))
    package var set: [String] = []

    @Option(help: ArgumentHelp("Samples per run of the program.", valueName: "number"))
    package var batch: Int = Evaluator.defaultBatch

    @Flag(help: "Record the results in the catalog, as metrics eval_SPLIT_loss and eval_SPLIT_accuracy.")
    package var record = false

    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    package func validate() throws {
        if batch < 1 || batch > 1 << 20 { throw ValidationError("--batch takes a number from 1 to 1048576.") }
    }

    package func run(in session: Session) throws {
        let dataName = data.data
        let data = try data.open(session)
        let architectures = try ArchitectureLibrary(session, explicit: architecture, settings: set)
        let selected = try SelectorResolver(catalogPath: session.catalogPath).resolve(selectors)
        guard !selected.isEmpty else {
            throw ZooError(.notFound, "no checkpoint is selected", hint: "'zoo query' shows what there is")
        }
        let progress = session.progress(
            "eval", total: selected.count * data.splits.count, unit: .items("evaluations"))
        var run = EvaluationRun(selected, batch: batch, session: session)
        for split in data.splits {
            if let text = data.description(of: split) { session.detail(text) }
            let samples = try data.samples(split)
            try run.evaluate(split, samples, architectures) { progress.advance(by: $0) }
        }
        progress.finish()
        if record { try run.record(data: dataName) }
        try session.emit(run.table)
        guard run.failures.isEmpty else {
            throw PartialFailure(run.failures, of: selected.count * data.splits.count, kind: "evaluations")
        }
    }
}
