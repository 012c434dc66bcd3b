import ArgumentParser
import ZooBase
import ZooFormats
import ZooMerge
import ZooTensor

/// `zoo task-vector`: what fine-tuning changed, as a model of its own.
package struct TaskVectorCommand: ZooCommand {
    package static let configuration = CommandConfiguration(
        commandName: "task-vector",
        abstract: "Task vectors: what fine-tuning changed, to add, negate, compare and scale.",
        discussion: """
            A task vector is a fine-tuned network minus its base (arXiv 2212.04089). Wherever tasks are named, a \
            fine-tuned network, a stored vector or a folder with a LoRA adapter will do; NAME=CHECKPOINT gives one a \
            name. docs/task-vectors.md tells more.

            Example:
              zoo task-vector create pretrained.safetensors rot90.safetensors --to rot90.tau.safetensors
              zoo task-vector search pretrained.safetensors rot90.tau.safetensors dim.tau.safetensors \
            --data 'data.safetensors:{task}.val'
            """,
        subcommands: [
            TaskVectorCreate.self, TaskVectorApply.self, TaskVectorAdd.self, TaskVectorNegate.self,
            TaskVectorAnalogy.self, TaskVectorStats.self, TaskVectorSearch.self, TaskVectorDisentangle.self,
        ])

    package init() {}

    /// Never asked for: the command only holds others.
    package var global: GlobalOptions { GlobalOptions() }

    package func run() throws { throw CleanExit.helpRequest(self) }

    package func run(in session: Session) throws {}
}

/// `zoo task-vector create`.
package struct TaskVectorCreate: ZooCommand {
    package static let configuration = CommandConfiguration(
        commandName: "create",
        abstract: "Write a task vector: fine-tuned minus base.",
        discussion: """
            Tensors of integers have no part in it. The file says which base it belongs to; other commands refuse it \
            for another one.

            Example:
              zoo task-vector create pretrained.safetensors tasks/rot90.safetensors --to rot90.tau.safetensors
              zoo task-vector create base.pt tuned.pt --exclude 'classifier*' --dtype float16 --to tuned.tau.safetensors
            """)

    @Argument(help: "The base: a file, folder, ARCHIVE!/MEMBER, id, NAME@EPOCH.")
    package var base: String

    @Argument(help: "The network that was fine-tuned from it.")
    package var fineTuned: String

    @Option(help: ArgumentHelp("The file to write: .safetensors.", valueName: "file"))
    package var to: String

    @Option(help: ArgumentHelp("Leave out tensors by name; * stands for anything.", valueName: "pattern"))
    package var exclude: [String] = []

    @Option(help: ArgumentHelp("Element type of the vector: float32, float16, bfloat16, float64.", valueName: "name"))
    package var dtype: String?

    @Flag(help: "Leave out tensors that only the fine-tuned network has.")
    package var ignoreExtra = false

    @Flag(help: "Leave out tensors that only the base has.")
    package var ignoreMissing = false

    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    package func run(in session: Session) throws { try VectorWriting(session, to: to).create(self) }
}

/// `zoo task-vector apply`.
package struct TaskVectorApply: ZooCommand {
    package static let configuration = CommandConfiguration(
        commandName: "apply",
        abstract: "Move a base along task vectors: base + Σ scale · vector.",
        discussion: """
            --scale goes for all vectors, or is given once for each. A negative scale forgets the task, several \
            vectors are added. Scale 0 gives the base bit by bit. Integer tensors are the base's.

            Example:
              zoo task-vector apply pretrained.safetensors rot90.tau.safetensors dim.tau.safetensors --scale 0.4 \
            --to both.safetensors
              zoo task-vector apply base.pt tuned.pt --scale -0.5 --to forgets.safetensors
            """)

    @Argument(help: "The base.")
    package var base: String

    @Argument(help: "Task vectors, fine-tuned networks or LoRA folders; NAME=CHECKPOINT gives one a name.")
    package var tasks: [String]

    @Option(
        parsing: .unconditionalSingleValue,
        help: ArgumentHelp("How far to go: once, or once per vector. Default: 1.", valueName: "number"))
    package var scale: [Double] = []

    @Option(help: ArgumentHelp("The file to write: .safetensors, .pt, .npz, .h5.", valueName: "file"))
    package var to: String

    @Option(help: ArgumentHelp("Element type of the result.", valueName: "name"))
    package var dtype: String?

    @OptionGroup package var fitting: TaskOptions
    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    package func validate() throws {
        if !scale.allSatisfy(\.isFinite) { throw ValidationError("--scale takes finite numbers.") }
    }

    package func run(in session: Session) throws { try VectorWriting(session, to: to).apply(self) }
}

/// `zoo task-vector add`.
package struct TaskVectorAdd: ZooCommand {
    package static let configuration = CommandConfiguration(
        commandName: "add",
        abstract: "Write the sum of stored task vectors, each with a weight.",
        discussion: """
            All must have the same tensors and belong to one base.

            Example:
              zoo task-vector add rot90.tau.safetensors dim.tau.safetensors --weights 1,0.5 --to sum.tau.safetensors
            """)

    @Argument(help: "Stored task vectors.")
    package var vectors: [String]

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("A number per vector, separated by commas. Default: 1 for all.", valueName: "list"))
    package var weights: String?

    @Option(help: ArgumentHelp("The file to write: .safetensors.", valueName: "file"))
    package var to: String

    @Flag(help: "Add vectors of different bases.")
    package var force = false

    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    package func run(in session: Session) throws {
        let numbers = try weights.map { text in
            try text.split(separator: ",").map { part in
                guard let number = Double(part.filter { $0 != " " }), number.isFinite else {
                    throw ZooError(.usage, "--weights: '\(part)' is no number")
                }
                return number
            }
        }
        let used = numbers ?? [Double](repeating: 1, count: vectors.count)
        guard used.count == vectors.count else {
            throw ZooError(.usage, "\(used.count) weights for \(vectors.count) vectors")
        }
        try VectorWriting(session, to: to).combine(vectors, used, made: "sum", force: force)
    }
}

/// `zoo task-vector negate`.
package struct TaskVectorNegate: ZooCommand {
    package static let configuration = CommandConfiguration(
        commandName: "negate",
        abstract: "Write a task vector with the opposite sign.",
        discussion: """
            Applying it forgets the task.

            Example:
              zoo task-vector negate rot90.tau.safetensors --to unlearn.tau.safetensors
            """)

    @Argument(help: "A stored task vector.")
    package var vector: String

    @Option(help: ArgumentHelp("The file to write: .safetensors.", valueName: "file"))
    package var to: String

    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    package func run(in session: Session) throws {
        try VectorWriting(session, to: to).combine([vector], [-1], made: "negation", force: true)
    }
}

/// `zoo task-vector analogy`.
package struct TaskVectorAnalogy: ZooCommand {
    package static let configuration = CommandConfiguration(
        commandName: "analogy",
        abstract: "A is to B as C is to D: write C + (B − A).",
        discussion: """
            Three stored vectors of one base make a vector for a fourth task that has no data of its own.

            Example:
              zoo task-vector analogy a.tau.safetensors b.tau.safetensors c.tau.safetensors --to d.tau.safetensors
            """)

    @Argument(help: "A.")
    package var a: String

    @Argument(help: "B.")
    package var b: String

    @Argument(help: "C.")
    package var c: String

    @Option(help: ArgumentHelp("The file to write: .safetensors.", valueName: "file"))
    package var to: String

    @Flag(help: "Combine vectors of different bases.")
    package var force = false

    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    package func run(in session: Session) throws {
        try VectorWriting(session, to: to).combine([c, b, a], [1, 1, -1], made: "analogy", force: force)
    }
}
