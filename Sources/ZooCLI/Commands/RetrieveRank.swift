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
            place -> Scored in
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
            } catch let error as ZooError where error.code != .interrupted { return Scored(failure: error) }
            return Scored(
                scores: rankers.map { type in
                    do { return .success(try type.init().score(evidence)) } catch {
                        return .failure(ZooError.wrap(error))
                    }
                })
        }
        progress.finish()
        try report(rankers, models, found, session)
    }

    /// What all rankers say of a model, or why it could not be run.
    private struct Scored: Sendable {
        var scores: [Result<Double, ZooError>] = []
        var failure: ZooError?

        func score(_ column: Int) -> Double? { try? scores[column].get() }
    }

    private func report(
        _ rankers: [any Ranker.Type], _ models: ZooModels, _ found: [Scored], _ session: Session
    ) throws {
        var failures = models.failures
        let good = found.indices.filter { found[$0].failure == nil }
        for place in found.indices {
            if let error = found[place].failure { failures.append(.init(models.models[place].checkpoint.label, error)) }
        }
        if good.isEmpty, let first = failures.first { throw first.error }
        let complete = rankers.indices.filter { column in good.contains { found[$0].score(column) != nil } }
        if complete.isEmpty, let first = good.first, case .failure(let error) = found[first].scores[0] { throw error }
        let deciding = complete.first ?? 0
        func key(_ place: Int) -> (Double, Int) { (-(found[place].score(deciding) ?? -.infinity), place) }
        let order = good.sorted { key($0) < key($1) }
        var table = Table(
            [.init("rank", .integer), .init("model", isPath: true)]
                + rankers.map { .init($0.name, .double, digits: 6) })
        for (position, place) in order.enumerated() {
            table.append(
                [.int(position + 1), .text(models.models[place].checkpoint.label)]
                    + rankers.indices.map { found[place].score($0).map { .double($0) } ?? .null })
        }
        for (column, ranker) in rankers.enumerated() {
            let scores = good.compactMap { found[$0].score(column) }
            session.note("\(ranker.name): \(ranker.meaning)")
            if scores.count > 1, Set(scores).count == 1 {
                session.warn("\(ranker.name): no decision, all scores are equal")
            }
            let reasons = good.compactMap { place -> String? in
                if case .failure(let error) = found[place].scores[column] { return error.message }
                return nil
            }
            if let reason = reasons.first {
                session.warn("\(ranker.name): \(reasons.count) of \(good.count) models have no score: \(reason)")
            }
        }
        try session.emit(table)
        session.note("\(good.count) models, \(good.count) model passes; ordered by \(rankers[deciding].name)")
        guard failures.isEmpty else {
            throw PartialFailure(failures, of: found.count + models.failures.count, kind: "models")
        }
    }
}
