import ArgumentParser
import ZooBase
import ZooCatalog
import ZooFormats
import ZooMerge
import ZooNN
import ZooReport
import ZooTensor

/// `zoo soup`: one network out of many, chosen or weighted by held-out data.
package struct SoupCommand: ZooCommand {
    package static let configuration = CommandConfiguration(
        commandName: "soup",
        abstract: "Make a model soup: uniform, greedy, or with learned mixing weights.",
        discussion: """
            Checkpoints of one architecture are scored on held-out data (--data FILE:SPLIT). 'greedy' adds them from \
            the best down and keeps each that does not make the mean worse; 'learned' trains mixing weights on the \
            held-out samples, a softmax per tensor or per model; 'uniform' takes all. The result is scored once on the \
            test split of the same file, if there is one. What was kept, every score and the weights are printed; \
            checkpoints of the catalog become the parents of the soup.

            Example:
              zoo soup greedy zoos/digits-tasks/soup/*.safetensors \
            --data zoos/digits-tasks/data/zoo_c_data.safetensors:soup.val --to soup.safetensors --figure soup.svg
              zoo soup greedy a.pt b.pt c.pt --data cifar.npz:val --bn recompute --bn-data cifar.npz:train --to soup.pt
              zoo soup learned "where:zoo = 'mine' and epoch = last" --data digits.npz:val --to soup.pt --weights-per model
            """)

    @Argument(help: "uniform, greedy or learned.")
    package var kind: Kind

    @Argument(help: "Checkpoints: files, folders, ARCHIVE!/MEMBER, ids, NAME@EPOCH, 'where:…'.")
    package var selectors: [String]

    @OptionGroup(title: "Held-out data") package var data: DataOption

    @Option(help: ArgumentHelp("The split that only the result is scored on; 'none' for none.", valueName: "split"))
    package var test: String?

    @Option(help: ArgumentHelp("The file to write: .safetensors, .pt, .npz, .h5.", valueName: "file"))
    package var to: String

    @Option(help: "What is compared: accuracy or loss.")
    package var metric: Metric = .accuracy

    @Option(
        help: ArgumentHelp(
            "greedy: of equal scores the checkpoint listed first or last comes first.", valueName: "which"))
    package var tieOrder: GreedySoup.TieOrder = .first

    @Option(
        help: ArgumentHelp("greedy: keep a candidate with a greater (gt), or no smaller score (ge).", valueName: "rule")
    )
    package var accept: GreedySoup.Acceptance = .gt

    @Option(help: ArgumentHelp("learned: mixing weights for each tensor or for the whole model.", valueName: "what"))
    package var weightsPer: LearnedSoup.Granularity = .tensor

    @Option(help: ArgumentHelp("learned: rate of AdamW. Default: 0.05 per tensor, 0.1 per model.", valueName: "number"))
    package var rate: Double?

    @Option(
        help: ArgumentHelp("learned: passes over the data. Default: 5 per tensor, 3 per model.", valueName: "number"))
    package var epochs: Int?

    @Option(help: ArgumentHelp("learned: samples per step.", valueName: "number"))
    package var batch: Int = 256

    @Option(help: "Batch-norm statistics of soups: average them, or recompute them on --bn-data. Default: average.")
    package var bn: BatchNormChoice = .average

    @Option(
        help: ArgumentHelp("recompute: data, and after a colon the split; training data.", valueName: "data"))
    package var bnData: String?

    @Option(
        help: ArgumentHelp(
            "recompute: average over batches of this size, as PyTorch does. Default: exact, over all samples.",
            valueName: "number"))
    package var bnBatch: Int?

    @Option(help: ArgumentHelp("An architecture file, or the name of a known architecture.", valueName: "name"))
    package var architecture: String?

    @Option(help: ArgumentHelp("A number that the weights do not show: activation=tanh.", valueName: "key=value"))
    package var set: [String] = []

    @Option(help: ArgumentHelp("Element type of the result: float32, float16, bfloat16, float64.", valueName: "name"))
    package var dtype: String?

    @Option(help: ArgumentHelp("Draw the held-out scores: .svg or .png.", valueName: "file"))
    package var figure: String?

    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    /// How checkpoints are combined.
    package enum Kind: String, ExpressibleByArgument, CaseIterable {
        case uniform, greedy, learned
    }

    /// What is compared.
    package enum Metric: String, ExpressibleByArgument, CaseIterable {
        case accuracy, loss
    }

    package func validate() throws {
        if let rate, !(rate > 0 && rate.isFinite) { throw ValidationError("--rate takes a number above zero.") }
        if let epochs, epochs < 1 { throw ValidationError("--epochs takes a number from 1 on.") }
        if (bn == .recompute) != (bnData != nil) { throw ValidationError("--bn recompute and --bn-data go together.") }
        if bnBatch != nil, bn != .recompute { throw ValidationError("--bn-batch goes with --bn recompute.") }
        if let bnBatch, bnBatch < 2 { throw ValidationError("--bn-batch takes a number from 2 on.") }
        if batch < 1 || batch > 1 << 16 { throw ValidationError("--batch takes a number from 1 to 65536.") }
    }

    package func run(in session: Session) throws {
        _ = try CheckpointWriters.writer(for: to)
        let dtype = try dtype.map(FloatType.named)
        let kitchen = try SoupKitchen(self, session)
        let alone = try kitchen.scoresAlone()
        let recipe: SoupRecipe =
            switch kind {
            case .uniform: .uniform(kitchen.checkpoints.count)
            case .greedy: try kitchen.greedy(alone, tieOrder: tieOrder, acceptance: accept)
            case .learned: try kitchen.learned(learningOptions(session))
            }
        var report = SoupReport(kind: kind, metric: metric, alone: alone, recipe: recipe, kitchen: kitchen)
        try kitchen.write(recipe, to: to, dtype: dtype, kind: kind)
        report.heldOut = try kitchen.evaluate(file: to, on: kitchen.heldOut)
        report.test = try kitchen.testSamples().map { try kitchen.evaluate(file: to, on: $0) }
        if let figure { try report.draw(to: figure) }
        try DerivedModel(
            path: to, role: "ingredient",
            parents: zip(recipe.ingredients, recipe.weights).map {
                .init(checkpoint: kitchen.checkpoints[$0], coefficient: $1)
            }
        ).record(session, dataset: data.data)
        try session.emit(report.json(output: to), as: report.table)
        report.say(session, to)
    }

    private func learningOptions(_ session: Session) -> LearnedSoup.Options {
        var options = LearnedSoup.Options(weightsPer)
        options.rate = rate ?? options.rate
        options.epochs = epochs ?? options.epochs
        options.batch = batch
        options.seed = session.seed
        options.jobs = session.jobs
        return options
    }
}

extension GreedySoup.TieOrder: ExpressibleByArgument {}
extension GreedySoup.Acceptance: ExpressibleByArgument {}
extension LearnedSoup.Granularity: ExpressibleByArgument {}
