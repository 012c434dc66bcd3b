import ZooBase
import ZooFormats

/// One model as it was read, and what was wrong with it.
struct ModelReading: Sendable {
    var model: ModelIngest
    var problems: [SkippedMember] = []
}

/// Reads settings, results and checkpoints of one model. Several threads use one reader.
struct ModelReader: Sendable {
    let source: OpenedSource
    let sourceID: Int64
    let zooID: Int64
    let options: IndexOptions

    func read(_ listing: ModelListing) throws -> ModelReading {
        let facts = try TrialFacts.read(
            listing, from: source.archive, options: options.manifest?.results ?? TrialOptions())
        var problems = facts.problems
        var model = ModelIngest(
            zoo: zooID, source: sourceID, name: listing.name, path: listing.path,
            architecture: Self.architecture(listing, facts), config: facts.config, bookkeeping: facts.bookkeeping)
        for (key, value) in listing.bindings where !model.config.contains(key) { model.config[key] = .string(value) }
        model.results = facts.results.map(Self.row)
        var probe = CheckpointProbe(archive: source.archive, readsWeights: options.readsWeights)
        probe.options.includesOptimizer = options.includesOptimizer
        for checkpoint in listing.checkpoints where checkpoint.kind == .weights || options.includesOptimizer {
            try Cancellation.check()
            do {
                model.checkpoints.append(try probe.probe(checkpoint, in: listing))
            } catch let error as ZooError where error.code != .interrupted && error.code != .io {
                problems.append(SkippedMember(path: checkpoint.member.path, reason: Self.reason(error, checkpoint)))
            }
        }
        model.flags = Self.flags(facts, hasCheckpoints: !model.checkpoints.isEmpty)
        return ModelReading(model: model, problems: problems)
    }

    /// The error without the member's path, which is recorded beside it.
    private static func reason(_ error: ZooError, _ checkpoint: CheckpointListing) -> String {
        let prefix = checkpoint.member.path + ": "
        return error.message.hasPrefix(prefix) ? String(error.message.dropFirst(prefix.count)) : error.message
    }

    private static func architecture(_ listing: ModelListing, _ facts: TrialFacts) -> String? {
        listing.binding("architecture") ?? facts.config["model::type"]?.string ?? facts.config["model_type"]?.string
    }

    private static func row(_ row: ZooFormats.ResultRow) -> ResultRow {
        ResultRow(
            epoch: row.epoch,
            values: EpochValues(
                trainLoss: row.trainLoss, trainAccuracy: row.trainAccuracy, valLoss: row.valLoss,
                valAccuracy: row.valAccuracy, testLoss: row.testLoss, testAccuracy: row.testAccuracy,
                wallSeconds: row.wallSeconds),
            extras: row.extras.map { (name: $0.key, value: $0.value) })
    }

    private static func flags(_ facts: TrialFacts, hasCheckpoints: Bool) -> ModelFlags {
        var flags: ModelFlags = []
        if facts.flags.contains(.incomplete) { flags.insert(.incomplete) }
        if facts.flags.contains(.failed) { flags.insert(.failed) }
        if facts.flags.contains(.diverged) { flags.insert(.diverged) }
        if facts.flags.contains(.noResult) { flags.insert(.noResult) }
        if !hasCheckpoints { flags.insert(.noCheckpoint) }
        return flags
    }
}
