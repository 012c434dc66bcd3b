import ZooBase
import ZooCatalog
import ZooNN
import ZooTensor

/// Checkpoints that share an architecture, and that architecture: what alignment and data-driven merges start from.
struct OneArchitecture {
    /// The checkpoints in the order of the selectors.
    let checkpoints: [SelectedCheckpoint]
    /// Names and shapes of the first one's tensors.
    let tensors: [TensorInfo]
    /// Their network.
    let graph: ArchitectureGraph

    /// Resolves the architecture of the checkpoints, which must have the same tensors and be the same network.
    ///
    /// - Throws: `mismatch` naming the checkpoints that differ; `notFound` for none.
    init(
        _ checkpoints: [SelectedCheckpoint], inputShape: [Int], architecture: String?, settings: [String],
        session: Session
    ) throws {
        let library = try ArchitectureLibrary(session, explicit: architecture, settings: settings)
        guard let first = checkpoints.first else {
            throw ZooError(.notFound, "no checkpoint is selected", hint: "'zoo query' shows what there is")
        }
        self.checkpoints = checkpoints
        tensors = try library.tensors(of: first)
        let expected = Dictionary(tensors.map { ($0.name, $0.shape) }, uniquingKeysWith: { first, _ in first })
        let misfits = try checkpoints.filter { checkpoint in
            let found = try library.tensors(of: checkpoint)
            return found.count != expected.count || found.contains { expected[$0.name] != $0.shape }
        }
        guard misfits.isEmpty else {
            throw ZooError(
                .mismatch,
                "other tensors than \(first.label): \(misfits.prefix(5).map(\.label).joined(separator: ", "))",
                hint: "'zoo diff A B' shows how two differ")
        }
        let found = try library.shared(by: checkpoints, tensors: tensors, inputShape: inputShape)
        graph = found.chosen.graph
        session.detail("\(found.owner.label): architecture '\(graph.name)' \(found.chosen.reason)")
    }

    /// Refuses checkpoints that diverged: whatever is computed from them is NaN.
    ///
    /// - Throws: `numeric` naming the first checkpoint with a tensor that is not finite.
    func requireFinite() throws {
        for checkpoint in checkpoints {
            let source = try checkpoint.open()
            for info in source.tensorInfos where info.dtype.isFloatingPoint {
                try Cancellation.check()
                let count = try source.tensor(named: info.name).nonFiniteCount
                guard count == 0 else {
                    throw ZooError(
                        .numeric,
                        "\(checkpoint.label) diverged: tensor '\(info.name)' has \(Quantity.count(count)) elements "
                            + "that are NaN or infinite",
                        hint: "choose a network that did not diverge: 'zoo query' shows them")
                }
            }
        }
    }
}

/// How batch-norm statistics of combined weights are made.
package enum BatchNormChoice: String, CaseIterable {
    /// Averaged like every other tensor.
    case average
    /// Recomputed on data.
    case recompute
}

/// What recomputing batch-norm statistics takes from the command line.
struct BatchNormRecipe {
    /// `FILE[:SPLIT]`.
    let data: String
    /// The samples.
    let samples: Samples
    /// How batches become one estimate.
    let estimate: BatchNormStatistics.Estimate

    /// Reads the samples; labels are not used and may be missing under the usual name.
    ///
    /// - Throws: `usage` unless exactly one split is named.
    init(data: String, labels: String?, batch: Int?) throws {
        let found = try DataSource(data, labels: labels, defaultSplit: "train")
        guard found.splits.count == 1 else {
            throw ZooError(.usage, "--bn-data names \(found.splits.count) splits; statistics take one")
        }
        self.data = data
        samples = try found.samples(found.splits[0], labelled: false)
        estimate = batch.map { .perBatch($0) } ?? .exact
    }

    /// The passes for an architecture.
    func statistics(_ graph: ArchitectureGraph, _ tensors: [TensorInfo]) throws -> BatchNormStatistics {
        try BatchNormStatistics(graph, tensors: tensors, samples: samples, estimate: estimate)
    }
}
