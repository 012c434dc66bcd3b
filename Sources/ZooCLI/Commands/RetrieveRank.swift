import ArgumentParser
import ZooBase
import ZooCatalog
import ZooReport
import ZooRetrieval

/// `zoo retrieve rank`: transferability scores of models on a data set, each with a forward pass.
package struct RetrieveRank: ZooCommand {
    package static let configuration = CommandConfiguration(
        commandName: "rank",
        abstract: "Score models on a data set by LogME, LEEP, H-score and others: no index, one pass of each model.",
        discussion: """
            Higher is better. \(Rankers.all.filter { $0.takesPass }.map { "\($0.name): \($0.summary)" }.joined(separator: "; ")). \
            Strawmen: random, parameters, source-accuracy.

            Example:
              zoo retrieve rank "where:zoo = 'digits-cnn' and epoch = last" --data zoos/data/digits.safetensors:val \
            --ranker logme,leep --subset 100
            """)

    @Argument(help: "Checkpoints: files, folders, ARCHIVE!/MEMBER, ids, NAME@EPOCH, 'where:…'.")
    package var selectors: [String]

    @OptionGroup package var data: DataOption

    @Option(help: ArgumentHelp("Rankers, separated by commas; the first one decides the order.", valueName: "list"))
    package var ranker: String = "fewshot"

    @Option(help: ArgumentHelp("Samples per class, chosen by --seed. Default: all.", valueName: "number"))
    package var shots: Int?

    @Option(help: ArgumentHelp("Only samples of these classes, separated by commas.", valueName: "list"))
    package var classes: String?

    @Option(help: ArgumentHelp("An architecture file, or the name of a known architecture.", valueName: "name"))
    package var architecture: String?

    @Option(help: ArgumentHelp("A number that the weights do not show: activation=tanh.", valueName: "key=value"))
    package var set: [String] = []

    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    package func validate() throws {
        if let shots, shots < 1 { throw ValidationError("--shots takes a number from 1 on.") }
    }

    package func run(in session: Session) throws {
        let rankers = try ranker.split(separator: ",").map { try Rankers.named(String($0)) }
        guard !rankers.isEmpty else { throw ZooError(.usage, "--ranker names nothing") }
        if let stored = rankers.first(where: { $0.needs.contains(.answers) }) {
            throw ZooError(
                .usage, "'\(stored.name)' reads answers that an index keeps",
                hint: "zoo retrieve query --method \(stored.name)")
        }
        let samples = try RetrieveQuery.samples(data, classes: classes, shots: shots, session)
        let labels = samples.labels.map(Int.init)
        guard Set(labels).count >= 2 else {
            throw ZooError(.mismatch, "the data have samples of one class only; rankers compare two or more")
        }
        let checkpoints = try SelectorResolver(catalogPath: session.catalogPath).resolve(selectors)
        let models = try ZooModels(
            checkpoints, inputShape: samples.inputShape, architecture: architecture, settings: set, session: session)
        let progress = session.progress("rank", total: models.models.count, unit: .items("models"))
        let seed = session.seed
        let found = try Parallel.map(count: models.models.count, jobs: session.jobs) {
            place -> (scores: [Double?], reasons: [String], failure: ZooError?) in
            defer { progress.advance(by: 1) }
            let model = models.models[place]
            let item = CaptureItem(model)
            var evidence = Evidence(
                labels: labels,
                profile: ModelProfile(
                    name: item.name, parameterCount: item.parameterCount, sourceAccuracy: item.sourceAccuracy),
                seed: seed)
            do {
                let run = try model.box().run(samples.inputs, count: samples.count)
                let logits = Matrix(
                    run.logits.map(Double.init), rows: samples.count, columns: run.logits.count / samples.count)
                guard logits.values.allSatisfy(\.isFinite) else {
                    throw ZooError(.numeric, "logits are NaN or infinite; the model diverged")
                }
                evidence.probabilities = ProbeAnswers(kind: .logits, scores: logits).probabilities
                if !run.features.isEmpty {
                    evidence.features = Matrix(
                        run.features.map(Double.init), rows: samples.count,
                        columns: run.features.count / samples.count)
                }
            } catch let error as ZooError where error.code != .interrupted { return ([], [], error) }
            var reasons: [String] = []
            let scores = rankers.map { type -> Double? in
                do { return try type.init().score(evidence) } catch {
                    reasons.append(ZooError.wrap(error).message)
                    return nil
                }
            }
            return (scores, reasons, nil)
        }
        progress.finish()
        try report(rankers.map { $0.name }, models, found, session)
    }

    private func report(
        _ names: [String], _ models: ZooModels,
        _ found: [(scores: [Double?], reasons: [String], failure: ZooError?)], _ session: Session
    ) throws {
        var failures = models.failures
        let good = found.indices.filter { found[$0].failure == nil }
        for place in found.indices {
            if let error = found[place].failure { failures.append(.init(models.models[place].checkpoint.label, error)) }
        }
        let order = good.sorted {
            (-(found[$0].scores.first.flatMap { $0 } ?? -.infinity), $0)
                < (-(found[$1].scores.first.flatMap { $0 } ?? -.infinity), $1)
        }
        var table = Table(
            [.init("rank", .integer), .init("model", isPath: true)] + names.map { .init($0, .double, digits: 6) })
        for (position, place) in order.enumerated() {
            table.append(
                [.int(position + 1), .text(models.models[place].checkpoint.label)]
                    + found[place].scores.map { $0.map { .double($0) } ?? .null })
        }
        for (column, name) in names.enumerated() {
            let scores = good.compactMap { found[$0].scores[column] }
            if scores.count > 1, Set(scores).count == 1 { session.warn("\(name): no decision, all scores are equal") }
        }
        if let reason = found.flatMap(\.reasons).first { session.warn("missing scores: \(reason)") }
        try session.emit(table)
        session.note("\(good.count) models, \(good.count) model passes")
        guard failures.isEmpty else {
            throw PartialFailure(failures, of: found.count + models.failures.count, kind: "models")
        }
    }
}
