import ZooBase
import ZooCatalog
import ZooLandscape
import ZooMerge
import ZooNN
import ZooTensor

/// What the networks of one cell are put to.
struct DownstreamStudy: Sendable, Hashable {
    enum Kind: String, Sendable, CaseIterable {
        /// The mean of each network's last epochs.
        case epochs
        /// The mean over seeds, as they are.
        case seeds
        /// The mean over seeds, units of all in the order of the first's.
        case seedsAligned = "seeds_aligned"
        /// The mean of the probabilities over seeds.
        case ensemble
        /// Each network with a share of its weights.
        case prune
    }

    var kind: Kind
    /// The share of weights that stays.
    var density: Double?

    /// `prune_0.2`.
    var name: String { kind.rawValue + (density.map { "_\(Quantity.significant($0, digits: 3))" } ?? "") }

    /// Words for a picture.
    var title: String {
        switch kind {
        case .epochs: "average of the last epochs"
        case .seeds: "average over seeds"
        case .seedsAligned: "average over seeds, aligned"
        case .ensemble: "ensemble over seeds"
        case .prune: "pruned to \(Quantity.significant(100 * (density ?? 0), digits: 3)) % of the weights"
        }
    }
}

/// What a study gave in one cell.
struct StudyOutcome: Sendable {
    /// Accuracies: one per network, or one for the cell.
    var accuracies: [Double] = []
    /// Those less the networks' own: less each one's, or less their mean.
    var gains: [Double] = []
    /// Why there is nothing.
    var reason: String?

    static func none(_ reason: String) -> StudyOutcome { StudyOutcome(reason: reason) }

    static func mean(_ values: [Double]) -> Double? {
        values.isEmpty ? nil : values.reduce(0, +) / Double(values.count)
    }
}

/// The networks of one cell, ready to be combined, pruned and scored.
struct CellStudy: Sendable {
    let graph: ArchitectureGraph
    /// The checkpoints of each network, the last one at the end.
    let histories: [[SelectedCheckpoint]]
    let spaces: [PermutationSpaces.Space]
    let evaluator: Evaluator
    let sweep: ModelSweep
    /// Recomputes statistics of weights that were not trained as they are; nil without batch norm.
    let statistics: BatchNormStatistics?
    let test: Samples
    let seed: UInt64

    /// Runs the studies.
    ///
    /// - Returns: the networks' own accuracies and an outcome per study.
    /// - Throws: `interrupted`; what is wrong with a checkpoint.
    func run(_ studies: [DownstreamStudy], last: Int) throws -> (own: [Double], outcomes: [StudyOutcome]) {
        let states = try histories.compactMap { try $0.last?.open().stateDict() }
        let own = try accuracies(states)
        let outcomes = try studies.map { study -> StudyOutcome in
            try Cancellation.check()
            switch study.kind {
            case .epochs: return try epochs(own, last)
            case .seeds: return try seeds(states, own, isAligned: false)
            case .seedsAligned: return try seeds(states, own, isAligned: true)
            case .ensemble: return try ensemble(states, own)
            case .prune:
                let pruned = try states.map { state in
                    try recalibrated(MagnitudePruning.pruned(state, graph, density: study.density ?? 1))
                }
                return Self.outcome(try accuracies(pruned), own)
            }
        }
        return (own, outcomes)
    }

    private static func outcome(_ found: [Double], _ own: [Double]) -> StudyOutcome {
        StudyOutcome(accuracies: found, gains: zip(found, own).map { $0 - $1 })
    }

    private func accuracies(_ states: [StateDict]) throws -> [Double] {
        try evaluator.evaluate(count: states.count, jobs: 1) { states[$0] }.map { try $0.get().accuracy }
    }

    private func recalibrated(_ state: any TensorSource) throws -> StateDict {
        try statistics.map { try $0.recalibrated(state) } ?? state.stateDict()
    }

    private func average(_ states: [any TensorSource]) throws -> StateDict {
        try recalibrated(
            LinearCombination(
                states, names: states.indices.map { "network \($0 + 1)" },
                weights: AverageWeights.uniform(count: states.count)))
    }

    private func epochs(_ own: [Double], _ last: Int) throws -> StudyOutcome {
        guard histories.allSatisfy({ $0.count > 1 }) else { return .none("the zoo has one checkpoint per network") }
        let averages = try histories.map { history in try average(history.suffix(last).map { try $0.open() }) }
        return Self.outcome(try accuracies(averages), own)
    }

    private func seeds(_ states: [StateDict], _ own: [Double], isAligned: Bool) throws -> StudyOutcome {
        guard states.count > 1, let first = states.first, let mean = StudyOutcome.mean(own) else {
            return .none("one network only")
        }
        guard !isAligned || !spaces.isEmpty else { return .none("no units of the network can change places") }
        var members: [any TensorSource] = [first]
        for other in states.dropFirst() {
            guard isAligned else {
                members.append(other)
                continue
            }
            var options = WeightMatching.Options()
            options.seed = seed
            members.append(
                try WeightMatching(spaces, a: first, b: other, options: options).permutations.apply(to: other))
        }
        let found = try accuracies([average(members)])
        return StudyOutcome(accuracies: found, gains: found.map { $0 - mean })
    }

    private func ensemble(_ states: [StateDict], _ own: [Double]) throws -> StudyOutcome {
        guard states.count > 1, let mean = StudyOutcome.mean(own) else { return .none("one network only") }
        let members = try states.map { state in
            let problem = try sweep.problem(state)
            return try Predictions(logits: problem.output("logits", at: problem.initial))
        }
        let accuracy = try Predictions.ensemble(members).accuracy(test.labels)
        return StudyOutcome(accuracies: [accuracy], gains: [accuracy - mean])
    }
}
