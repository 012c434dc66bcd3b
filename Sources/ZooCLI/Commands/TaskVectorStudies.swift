import ArgumentParser
import ZooBase
import ZooFormats
import ZooMerge

/// `zoo task-vector stats`.
package struct TaskVectorStats: ZooCommand {
    package static let configuration = CommandConfiguration(
        commandName: "stats",
        abstract: "Norms of task vectors, in all and per tensor, and cosines between them.",
        discussion: """
            A relative norm, ‖τ‖ / ‖base‖, above 0.15 or a cosine above 0.3 warns that vectors will not add well. \
            --figure draws the cosines; --blocks lists tensors.

            Example:
              zoo task-vector stats pretrained.safetensors tasks/*.safetensors --figure cosines.svg
            """)

    @Argument(help: "The base.")
    package var base: String

    @Argument(help: "Task vectors, fine-tuned networks or LoRA folders; NAME=CHECKPOINT gives one a name.")
    package var tasks: [String]

    @Flag(help: "A row per task and tensor.")
    package var blocks = false

    @Option(help: ArgumentHelp("Draw the cosines: .svg or .png.", valueName: "file"))
    package var figure: String?

    @OptionGroup package var fitting: TaskOptions
    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    package func run(in session: Session) throws {
        let set = try TaskSet(base: base, tasks: tasks, options: fitting, session: session)
        let report = VectorReport(
            set: set, geometry: try VectorGeometry(base: set.source, operands: set.operands, jobs: session.jobs))
        if let figure { try Picture.write(report.figure, to: figure) }
        try session.emit(report.json, as: report.table(blocks: blocks))
        report.warn(session)
    }
}

/// `zoo task-vector search`.
package struct TaskVectorSearch: ZooCommand {
    package static let configuration = CommandConfiguration(
        commandName: "search",
        abstract: "Choose the scale of task vectors on validation data, and score it once on test data.",
        discussion: """
            One scale for the sum of all vectors, chosen by the mean over tasks of accuracy relative to each task's \
            own fine-tuned network (--metric accuracy: absolute). Of equal ones the smallest scale wins. With \
            --control the first task is negated: the lowest accuracy on its data at no less than 95 % of the base's \
            accuracy on the control data. --per-task gives each task its own scale, by coordinate descent.

            Example:
              zoo task-vector search zoos/digits-tasks/pretrained.safetensors zoos/digits-tasks/tasks/{dim,noise}.safetensors \
            --data 'zoos/digits-tasks/data/zoo_c_data.safetensors:{task}.val' --to both.safetensors --figure scales.svg
            """)

    @Argument(help: "The base.")
    package var base: String

    @Argument(help: "Task vectors, fine-tuned networks or LoRA folders; NAME=CHECKPOINT gives one a name.")
    package var tasks: [String]

    @Option(
        help: ArgumentHelp(
            "Validation data: once per task, or once with {task} in it.", valueName: "file[:split]"))
    package var data: [String]

    @Option(help: ArgumentHelp("Data on which accuracy must be kept: negation.", valueName: "data"))
    package var control: String?

    @Option(help: ArgumentHelp("Test data or a split, {task} in it; 'none' for none.", valueName: "split"))
    package var test: String?

    @Option(parsing: .unconditional, help: ArgumentHelp("Scales to try. Default: 0,0.05,…,1.", valueName: "list"))
    package var grid: String?

    @Option(help: "What is compared: normalised or accuracy.")
    package var metric: Metric = .normalised

    @Flag(help: "A scale for each task.")
    package var perTask = false

    @Option(help: ArgumentHelp("The file to write: .safetensors, .pt, .npz, .h5.", valueName: "file"))
    package var to: String?

    @Option(help: ArgumentHelp("Draw scores over scales: .svg or .png.", valueName: "file"))
    package var figure: String?

    @OptionGroup package var network: NetworkOptions
    @OptionGroup package var fitting: TaskOptions
    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    /// What is compared.
    package enum Metric: String, ExpressibleByArgument, CaseIterable {
        case normalised, accuracy
    }

    package func validate() throws {
        if perTask, control != nil { throw ValidationError("--per-task does not go with --control.") }
    }

    package func run(in session: Session) throws {
        if let to { _ = try CheckpointWriters.writer(for: to) }
        try ScaleSearchWork(self, session).run()
    }
}

/// `zoo task-vector disentangle`.
package struct TaskVectorDisentangle: ZooCommand {
    package static let configuration = CommandConfiguration(
        commandName: "disentangle",
        abstract: "How much one task's vector changes what the network says of another task's data.",
        discussion: """
            For two tasks ξ(α₁, α₂) over a grid of scales (arXiv 2305.12827): the share of samples whose predicted \
            class changes, summed over both tasks. With --scale or --coefficients, for any number of tasks, the \
            matrix at those scales: row i, column j is the share of task i's samples whose class changes when task \
            j's vector is added.

            Example:
              zoo task-vector disentangle base.safetensors dim.safetensors noise.safetensors \
            --data 'data.safetensors:{task}.test' --figure xi.svg
              zoo task-vector disentangle base.safetensors *.tau.safetensors --data 'd.npz:{task}.test' \
            --coefficients learned.json
            """)

    @Argument(help: "The base.")
    package var base: String

    @Argument(help: "Task vectors, fine-tuned networks or LoRA folders; NAME=CHECKPOINT gives one a name.")
    package var tasks: [String]

    @Option(help: ArgumentHelp("Data: once per task, or once with {task} in it.", valueName: "file[:split]"))
    package var data: [String]

    @Option(parsing: .unconditional, help: ArgumentHelp("Scales of the grid. Default: -3,-2.5,…,3.", valueName: "list"))
    package var grid: String?

    @Option(
        parsing: .unconditional, help: ArgumentHelp("One scale: the matrix instead of the grid.", valueName: "number"))
    package var scale: Double?

    @Option(help: ArgumentHelp("Learned coefficients: the matrix instead of the grid.", valueName: "file"))
    package var coefficients: String?

    @Option(help: ArgumentHelp("Draw the grid or the matrix: .svg or .png.", valueName: "file"))
    package var figure: String?

    @OptionGroup package var network: NetworkOptions
    @OptionGroup package var fitting: TaskOptions
    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    package func validate() throws {
        if scale != nil, coefficients != nil { throw ValidationError("--scale and --coefficients exclude each other.") }
    }

    package func run(in session: Session) throws { try DisentangleWork(self, session).run() }
}
