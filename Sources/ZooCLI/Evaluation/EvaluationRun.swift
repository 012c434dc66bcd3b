import ZooBase
import ZooCatalog
import ZooNN
import ZooReport
import ZooTensor

/// Evaluates selected checkpoints split by split: those of one architecture and one layout share a program.
struct EvaluationRun {
    /// What failed, in order.
    private(set) var failures: [PartialFailure.Item] = []

    private struct Group: Hashable {
        var graph: ArchitectureGraph
        var tensors: [TensorInfo]
    }

    private let selected: [SelectedCheckpoint]
    private let batch: Int
    let session: Session
    /// What was found, in order.
    private(set) var results: [(checkpoint: SelectedCheckpoint, split: String, evaluation: Evaluation)] = []
    private var rows: [[Table.Cell]] = []

    init(_ selected: [SelectedCheckpoint], batch: Int, session: Session) {
        self.selected = selected
        self.batch = batch
        self.session = session
    }

    /// The results, split by split in the order of the checkpoints.
    var table: Table {
        Table(
            [
                .init("checkpoint", isPath: true), .init("split"), .init("loss", .double, digits: 6),
                .init("accuracy", .double), .init("n", .integer),
            ], rows: rows)
    }

    /// Evaluates all checkpoints on one split.
    ///
    /// - Throws: `interrupted`; what goes wrong with single checkpoints is kept as a failure.
    mutating func evaluate(
        _ split: String, _ samples: Samples, _ architectures: ArchitectureLibrary,
        progress: @escaping @Sendable (Int) -> Void
    ) throws {
        var results = [Result<Evaluation, ZooError>?](repeating: nil, count: selected.count)
        var groups: [Group: [Int]] = [:]
        try architectures.loadConfigs(of: selected)
        var order: [Group] = []
        for (index, checkpoint) in selected.enumerated() {
            do {
                let tensors = try architectures.tensors(of: checkpoint)
                let chosen = try architectures.architecture(
                    of: checkpoint, tensors: tensors, inputShape: samples.inputShape,
                    beside: checkpoint.row == nil ? TextModel.configuration(beside: checkpoint.label) : JSONObject())
                let group = Group(graph: chosen.graph, tensors: tensors)
                if groups[group] == nil {
                    order.append(group)
                    session.detail("\(checkpoint.label): architecture '\(chosen.graph.name)' \(chosen.reason)")
                }
                groups[group, default: []].append(index)
            } catch {
                try keep(error, &results[index])
                progress(1)
            }
        }
        for group in order {
            let members = groups[group] ?? []
            do {
                let found = try evaluate(group, members, split, samples, progress)
                for (index, result) in zip(members, found) { results[index] = result }
            } catch {
                for index in members { try keep(error, &results[index]) }
                progress(members.count)
            }
        }
        collect(results, split)
    }

    private func evaluate(
        _ group: Group, _ members: [Int], _ split: String, _ samples: Samples,
        _ progress: @escaping @Sendable (Int) -> Void
    ) throws -> [Result<Evaluation, ZooError>] {
        let evaluator = try Evaluator(group.graph, tensors: group.tensors, samples: samples, batch: batch)
        let unread = evaluator.unreadNames
        if !unread.isEmpty {
            let shown = session.verbosity == .verbose ? unread[...] : unread.prefix(Self.unreadShown)
            let names = shown.map { name in
                let near = NearestName.find(name, in: group.graph.parameterNames)
                return "'\(name)'" + (near.map { " (nearest that it reads: '\($0)')" } ?? "")
            }
            let rest = unread.count - shown.count
            session.warn(
                "architecture '\(group.graph.name)' does not read \(unread.count) tensors: "
                    + names.joined(separator: ", ") + (rest > 0 ? " and \(rest) more; --verbose lists them all" : ""))
        }
        session.detail(
            "\(group.graph.name), \(split): \(evaluator.split(count: members.count, jobs: session.jobs)), "
                + "\(Quantity.count(samples.count)) samples in batches of \(evaluator.batch), "
                + "an arena of \(Quantity.bytes(evaluator.arenaByteCount)) a thread")
        let selected = selected
        return try evaluator.evaluate(count: members.count, jobs: session.jobs) { index in
            defer { progress(1) }
            return try selected[members[index]].open()
        }
    }

    /// Tensors named in a warning before "and N more", unless verbose.
    private static let unreadShown = 8

    private func keep(_ error: any Error, _ slot: inout Result<Evaluation, ZooError>?) throws {
        let wrapped = ZooError.wrap(error)
        if wrapped.code == .interrupted { throw wrapped }
        slot = .failure(wrapped)
    }

    private mutating func collect(_ results: [Result<Evaluation, ZooError>?], _ split: String) {
        for (checkpoint, result) in zip(selected, results) {
            switch result {
            case .success(let found):
                self.results.append((checkpoint, split, found))
                rows.append([
                    .text(checkpoint.label), .text(split), .double(found.loss), .double(found.accuracy),
                    .int(found.count),
                ])
            case .failure(let error): failures.append(.init("\(checkpoint.label) on \(split)", error))
            case nil: failures.append(.init(checkpoint.label, ZooError(.internal, "no result")))
            }
        }
    }
}
