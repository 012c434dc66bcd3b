import ArgumentParser
import ZooBase
import ZooFormats
import ZooMerge
import ZooNN

/// `zoo compose`: learned anisotropic scaling of task vectors (aTLAS).
package struct Compose: ZooCommand {
    package static let configuration = CommandConfiguration(
        abstract: "Compose task vectors with learned block-wise coefficients (aTLAS).",
        discussion: """
            'learn' (which needs no name) learns a coefficient for every task vector and named tensor from a little \
            data (arXiv 2407.02880); 'apply' makes the network of coefficients that were learned. \
            docs/task-vectors.md tells more.

            Example:
              zoo compose base.safetensors tasks/*.safetensors --data 'data.safetensors:{task}.val' --to all.safetensors
              zoo compose apply coefficients.json base.safetensors tasks/*.safetensors --to all.safetensors
            """,
        subcommands: [ComposeLearn.self, ComposeApply.self], defaultSubcommand: ComposeLearn.self)

    package init() {}

    /// Never asked for: the command only holds others.
    package var global: GlobalOptions { GlobalOptions() }

    package func run() throws { throw CleanExit.helpRequest(self) }

    package func run(in session: Session) throws {}
}

/// What coefficients are learned for.
package enum ComposeRecipe: String, ExpressibleByArgument, CaseIterable {
    case addition, fewshot, negation, adaptation
}

/// `zoo compose learn`.
package struct ComposeLearn: ZooCommand {
    package static let configuration = CommandConfiguration(
        commandName: "learn",
        abstract: "Learn coefficients, and write the composed network.",
        discussion: """
            Four recipes, told by the options: addition of all tasks, each with data of its own (--data with {task}); \
            fewshot: one new task from few labelled samples (--shots, its own vector left out by --exclude); negation: \
            forget the first task and keep the accuracy on --control; adaptation to unlabelled data (--objective \
            entropy or ufm). Coefficients start at zero, the base; the best by validation accuracy are kept. With \
            --to or --coefficients an interrupted run goes on from its last epoch when it is called again.

            Example:
              zoo compose base.safetensors tasks/*.safetensors --data 'data.safetensors:{task}.val' --baselines \
            --to all.safetensors --coefficients all.json --figure all.svg
              zoo compose base.safetensors tasks/*.safetensors --exclude rot90 --data data.safetensors:rot90.train \
            --validation data.safetensors:rot90.val --shots 1,2,4,8,16
              zoo compose base.safetensors rot90.safetensors --data data.safetensors:rot90.val \
            --control data.safetensors:clean.val --to forgets.safetensors
              zoo compose base.safetensors tasks/*.safetensors --exclude rot90 --data data.safetensors:rot90.test \
            --objective ufm --to adapted.safetensors
            """)

    @Argument(help: "The base: a file, folder, ARCHIVE!/MEMBER, id, NAME@EPOCH.")
    package var base: String

    @Argument(help: "Task vectors, fine-tuned networks or LoRA folders; NAME=CHECKPOINT gives one a name.")
    package var tasks: [String]

    @Option(help: "addition, fewshot, negation or adaptation. Default: what the options tell.")
    package var recipe: ComposeRecipe?

    @Option(
        help: ArgumentHelp(
            "Data to learn on: once per task, or once with {task} in it; other recipes: the target's.",
            valueName: "file[:split]"))
    package var data: [String]

    @Option(
        help: ArgumentHelp("Data to select by, as --data. Default: --data; fewshot: its val split.", valueName: "data"))
    package var validation: [String] = []

    @Option(help: ArgumentHelp("Test data or a split, {task} in it; 'none' for none.", valueName: "split"))
    package var test: String?

    @Option(help: ArgumentHelp("negation: data on which accuracy must be kept.", valueName: "data"))
    package var control: String?

    @Option(
        help: ArgumentHelp(
            "negation: what the loss on the control data counts, the target's being one; above one, learning stays "
                + "near the limit for longer.", valueName: "w"))
    package var controlWeight: Double = 1

    @Option(help: ArgumentHelp("What is minimised: supervised, entropy or ufm.", valueName: "loss"))
    package var objective: Objective = .supervised

    @Option(help: ArgumentHelp("fewshot: samples per class, separated by commas.", valueName: "list"))
    package var shots: String?

    @Option(help: ArgumentHelp("fewshot: draws of the shots.", valueName: "number"))
    package var repeats: Int = 1

    @Option(help: ArgumentHelp("Leave a task vector out, by name.", valueName: "task"))
    package var exclude: [String] = []

    @Option(help: "Which tensors share a coefficient: tensor, layer, module, model, matrices.")
    package var groups: CoefficientGroups.Granularity = .tensor

    @Option(help: ArgumentHelp("Parts of each tensor, each with a coefficient (aTLAS ×K).", valueName: "number"))
    package var partitions: Int = 1

    @Flag(help: "Tensors of one shape share their parts.")
    package var sharedByShape = false

    @Option(help: ArgumentHelp("Tensors that stay with the base; * stands for anything.", valueName: "pattern"))
    package var keep: [String] = []

    @Option(help: ArgumentHelp("Tensors that each task has of its own: its head.", valueName: "pattern"))
    package var ownHeads: [String] = []

    @Option(help: "Tensors that are tied: refuse, shared or apart.")
    package var tied: CoefficientGroups.TiePolicy = .refuse

    @Option(
        help: ArgumentHelp(
            "Batch-norm statistics: follow the coefficients of their norm, base (stay as they are), or recompute (as "
                + "base, and computed on the learning data for the result).", valueName: "what"))
    package var statistics: Statistics = .follow

    @Option(help: ArgumentHelp("Task vectors to use, per tensor or in all.", valueName: "number"))
    package var budget: Int?

    @Option(help: "How they are chosen: random, features, gradient-whole, gradient-blockwise.")
    package var select: VectorSelection = .gradientBlockwise

    @Option(help: ArgumentHelp("--select features: data of the tasks, {task} in it.", valueName: "data"))
    package var taskData: String?

    @Flag(help: "Read task vectors from their files in every step; results are the same.")
    package var lowMemory = false

    @Option(help: ArgumentHelp("Rate of AdamW. Default: the recipe's.", valueName: "number"))
    package var rate: Double?

    @Option(help: ArgumentHelp("Decoupled weight decay.", valueName: "number"))
    package var decay: Double = 0.1

    @Option(help: ArgumentHelp("The largest norm of a gradient; 0 for no limit.", valueName: "number"))
    package var clip: Double = 1

    @Option(help: "How the rate runs: constant or cosine. Default: the recipe's.")
    package var schedule: StepRule.Schedule?

    @Option(help: ArgumentHelp("Passes over the smallest data set. Default: the recipe's.", valueName: "number"))
    package var epochs: Int?

    @Option(help: ArgumentHelp("Steps in all, instead of --epochs.", valueName: "number"))
    package var steps: Int?

    @Option(help: ArgumentHelp("Steps between evaluations, with --steps.", valueName: "n"))
    package var evaluateEvery: Int = 20

    @Option(help: ArgumentHelp("Samples per step, over all tasks.", valueName: "number"))
    package var batch: Int = 128

    @Option(help: ArgumentHelp("Weight of the norm of coefficients.", valueName: "number"))
    package var regularise: Double = 0

    @Option(help: ArgumentHelp("That norm: 1 or 2.", valueName: "number"))
    package var norm: Int = 1

    @Option(help: ArgumentHelp("ufm: the view that labels: shift=1,noise=0.1,cutout=2,flip=0.5.", valueName: "views"))
    package var weak: String = "none"

    @Option(help: ArgumentHelp("ufm: the view that is taught.", valueName: "views"))
    package var strong: String = "shift=1,noise=0.05"

    @Option(
        help: ArgumentHelp(
            "ufm: samples per class whose labels are trusted, at most; never more than all over classes.",
            valueName: "number"))
    package var trusted: Int = 100

    @Option(
        help: ArgumentHelp(
            "fewshot: also combine the composed network with an adapter on its features: tip, lp++.",
            valueName: "name"))
    package var adapter: [FeatureAdapterKind] = []

    @Option(
        help: ArgumentHelp(
            "ufm: predictions to this power, normalised; 0.5 is what the paper prints.", valueName: "p"))
    package var ufmExponent: Double = 2

    @Flag(help: "Also score what else there is: one searched scale, AdaMerging, training of weights, …")
    package var baselines = false

    @Option(help: ArgumentHelp("The file to write: .safetensors, .pt, .npz, .h5.", valueName: "file"))
    package var to: String?

    @Option(help: ArgumentHelp("Where to write the coefficients: .json.", valueName: "file"))
    package var coefficients: String?

    @Option(help: ArgumentHelp("Draw the coefficients: .svg or .png.", valueName: "file"))
    package var figure: String?

    @OptionGroup package var network: NetworkOptions
    @OptionGroup package var fitting: TaskOptions
    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    /// What is minimised.
    package enum Objective: String, ExpressibleByArgument, CaseIterable {
        case supervised, entropy, ufm
    }

    /// What happens to running means and variances.
    package enum Statistics: String, ExpressibleByArgument, CaseIterable {
        case follow, base, recompute
    }

    package func validate() throws {
        if repeats < 1 || repeats > 1000 { throw ValidationError("--repeats takes a number from 1 to 1000.") }
        if partitions < 1 || partitions > 1 << 20 {
            throw ValidationError("--partitions takes a number from 1 to 1048576.")
        }
        if let budget, budget < 1 { throw ValidationError("--budget takes a number from 1 on.") }
        if let rate, !(rate > 0 && rate.isFinite) { throw ValidationError("--rate takes a number above zero.") }
        if !(decay >= 0 && decay.isFinite) { throw ValidationError("--decay takes a number from 0 on.") }
        if !(clip >= 0 && clip.isFinite) { throw ValidationError("--clip takes a number from 0 on.") }
        if let epochs, epochs < 1 || epochs > 1_000_000 { throw ValidationError("--epochs takes a number from 1 on.") }
        if let steps, steps < 1 || steps > 100_000_000 { throw ValidationError("--steps takes a number from 1 on.") }
        if steps != nil, epochs != nil { throw ValidationError("--steps and --epochs exclude each other.") }
        if evaluateEvery < 1 { throw ValidationError("--evaluate-every takes a number from 1 on.") }
        if batch < 1 || batch > 1 << 16 { throw ValidationError("--batch takes a number from 1 to 65536.") }
        if norm != 1, norm != 2 { throw ValidationError("--norm takes 1 or 2.") }
        if !(regularise >= 0 && regularise.isFinite) { throw ValidationError("--regularise takes a number from 0 on.") }
        if !(ufmExponent > 0 && ufmExponent.isFinite) {
            throw ValidationError("--ufm-exponent takes a number above zero.")
        }
        try validateRecipe()
    }

    private func validateRecipe() throws {
        switch kind {
        case .negation where control == nil: throw ValidationError("negation needs --control.")
        case .fewshot where shots == nil: throw ValidationError("fewshot needs --shots.")
        case .adaptation where objective == .supervised:
            throw ValidationError("adaptation needs --objective entropy or ufm.")
        default: break
        }
        if objective != .supervised, kind != .adaptation {
            throw ValidationError("--objective \(objective.rawValue) is for adaptation.")
        }
        if !(controlWeight > 0 && controlWeight.isFinite) {
            throw ValidationError("--control-weight takes a number above zero.")
        }
        if kind != .negation, controlWeight != 1 { throw ValidationError("--control-weight is for negation.") }
        if kind != .negation, control != nil { throw ValidationError("--control is for negation.") }
        if kind != .fewshot, shots != nil { throw ValidationError("--shots are for fewshot.") }
        if select == .features, budget != nil, taskData == nil {
            throw ValidationError("--select features needs --task-data.")
        }
        if trusted < 1 { throw ValidationError("--trusted takes a number from 1 on.") }
        if !adapter.isEmpty, kind != .fewshot { throw ValidationError("--adapter is for fewshot.") }
        if statistics == .recompute, !ownHeads.isEmpty {
            throw ValidationError("--statistics recompute does not go with --own-heads.")
        }
        if budget != nil, partitions > 1, select == .gradientBlockwise || select == .gradientWhole {
            throw ValidationError("--budget by gradient goes with one coefficient per tensor, not with --partitions.")
        }
        if kind != .addition, !ownHeads.isEmpty { throw ValidationError("--own-heads is for addition.") }
    }

    /// The recipe: asked for, or told by the other options.
    package var kind: ComposeRecipe {
        recipe
            ?? (objective != .supervised
                ? .adaptation : shots != nil ? .fewshot : control != nil ? .negation : .addition)
    }

    package func run(in session: Session) throws {
        if let to { _ = try CheckpointWriters.writer(for: to) }
        if let figure, !figure.hasSuffix(".svg"), !figure.hasSuffix(".png") {
            throw ZooError(.usage, "cannot tell a picture format from the name \(figure)", hint: "use .svg or .png")
        }
        try ComposeWork(self, session).run()
    }
}

/// `zoo compose apply`.
package struct ComposeApply: ZooCommand {
    package static let configuration = CommandConfiguration(
        commandName: "apply",
        abstract: "Make the network of learned coefficients.",
        discussion: """
            Base and tasks must be those that the coefficients were learned for; their digests are compared. Tasks \
            may come in any order.

            Example:
              zoo compose apply all.json base.safetensors tasks/*.safetensors --to all.safetensors
            """)

    @Argument(help: "The coefficient file.")
    package var coefficients: String

    @Argument(help: "The base.")
    package var base: String

    @Argument(help: "The task vectors.")
    package var tasks: [String]

    @Option(help: ArgumentHelp("The file to write: .safetensors, .pt, .npz, .h5.", valueName: "file"))
    package var to: String

    @Option(help: ArgumentHelp("Extents of one input where the weights do not tell: 1,8,8.", valueName: "list"))
    package var inputShape: String?

    @Option(
        help: ArgumentHelp(
            "Recompute batch-norm statistics on this data; needed where they were recomputed while learning.",
            valueName: "data"))
    package var bnData: [String] = []

    @OptionGroup package var network: NetworkOptions
    @OptionGroup package var fitting: TaskOptions
    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    package func run(in session: Session) throws { try ComposeApplyWork(self, session).run() }
}

extension CoefficientGroups.Granularity: ExpressibleByArgument {}
extension CoefficientGroups.TiePolicy: ExpressibleByArgument {}
extension VectorSelection: ExpressibleByArgument {}
extension StepRule.Schedule: ExpressibleByArgument {}
extension FeatureAdapterKind: ExpressibleByArgument {}
