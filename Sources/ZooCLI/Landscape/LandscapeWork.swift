import Synchronization
import ZooBase
import ZooCatalog
import ZooLandscape
import ZooNN
import ZooReport
import ZooTensor

/// One checkpoint to be measured.
private struct LandscapeTask: Sendable {
    let checkpoint: SelectedCheckpoint
    let graph: ArchitectureGraph
    let sweep: ModelSweep

    /// Recalls what is known, measures and records the rest.
    func measure(
        _ metrics: [LandscapeMetric], options: LandscapeOptions, recorder: FindingRecorder?, jobs: Int
    ) throws -> Result<[Measurement], ZooError> {
        let known = recorder?.known(checkpoint.row?.id) ?? [:]
        let wanted = metrics.filter { known[$0.name] == nil }
        do {
            var fresh: [String: [Measurement]] = [:]
            if !wanted.isEmpty {
                let model = try checkpoint.open()
                let subject = LandscapeSubject(
                    graph: graph, model: model, problem: try sweep.problem(model, jobs: jobs), options: options,
                    jobs: jobs)
                for metric in wanted { fresh[metric.name] = try subject.measure([metric]) }
                if let id = checkpoint.row?.id { try recorder?.record(fresh, of: id) }
            }
            return .success(metrics.flatMap { fresh[$0.name] ?? known[$0.name] ?? [] })
        } catch let error as ZooError where error.code != .interrupted { return .failure(error) }
    }
}

/// Measures selected checkpoints, records what is new, recalls what is known.
struct LandscapeWork {
    /// What failed.
    private(set) var failures: [PartialFailure.Item] = []

    private struct Row {
        var place: Int
        var other: Int?
        var measurement: Measurement
    }

    private struct Group: Hashable {
        var graph: ArchitectureGraph
        var tensors: [TensorInfo]
    }

    private let selected: [SelectedCheckpoint]
    private let samples: Samples
    private let options: LandscapeOptions
    private let session: Session
    private let architectures: ArchitectureLibrary
    private let recorder: FindingRecorder?
    private var sweeps: [Int: ModelSweep] = [:]
    private var graphs: [Int: ArchitectureGraph] = [:]
    private var rows: [Row] = []

    init(
        _ selected: [SelectedCheckpoint], samples: Samples, options: LandscapeOptions, isRecorded: Bool, data: String,
        architectures: ArchitectureLibrary, session: Session
    ) throws {
        guard !selected.isEmpty else {
            throw ZooError(.notFound, "no checkpoint is selected", hint: "'zoo query' shows what there is")
        }
        self.selected = selected
        self.samples = samples
        self.options = options
        self.session = session
        self.architectures = architectures
        let ids = selected.compactMap { $0.row?.id }
        recorder =
            isRecorded && !ids.isEmpty
            ? try FindingRecorder(
                session, of: ids, dataset: data,
                settings: "landscape samples=\(samples.fingerprint) \(options.description)") : nil
        try prepare()
    }

    /// One sweep per architecture and layout.
    private mutating func prepare() throws {
        try architectures.loadConfigs(of: selected)
        var known: [Group: ModelSweep] = [:]
        for (place, checkpoint) in selected.enumerated() {
            do {
                let tensors = try architectures.tensors(of: checkpoint)
                let chosen = try architectures.architecture(
                    of: checkpoint, tensors: tensors, inputShape: samples.inputShape)
                let group = Group(graph: chosen.graph, tensors: tensors)
                let sweep = try known[group] ?? ModelSweep(chosen.graph, tensors: tensors, samples: samples)
                known[group] = sweep
                sweeps[place] = sweep
                graphs[place] = chosen.graph
            } catch { try fail(place, error) }
        }
    }

    private mutating func fail(_ place: Int, _ error: any Error) throws {
        let wrapped = ZooError.wrap(error)
        if wrapped.code == .interrupted { throw wrapped }
        failures.append(.init(selected[place].label, wrapped))
    }

    // MARK: Single networks

    /// Metrics of single networks, models in parallel.
    mutating func measure(_ metrics: [LandscapeMetric]) throws {
        guard !metrics.isEmpty else { return }
        let places = selected.indices.filter { sweeps[$0] != nil }
        let tasks = places.compactMap { place in
            sweeps[place].flatMap { sweep in
                graphs[place].map { LandscapeTask(checkpoint: selected[place], graph: $0, sweep: sweep) }
            }
        }
        let progress = session.progress("landscape", total: places.count, unit: .items("checkpoints"))
        defer { progress.finish() }
        let inner = max(1, session.jobs / max(1, places.count))
        session.detail(
            "landscape: \(Quantity.count(tasks.count)) checkpoints on \(max(1, min(session.jobs, tasks.count))) threads, "
                + "groups of batches and of directions of each on \(inner)")
        let found = try finishing { [options, recorder, session] in
            try Parallel.map(count: tasks.count, jobs: session.jobs) { index in
                defer { progress.advance(by: 1) }
                return try tasks[index].measure(metrics, options: options, recorder: recorder, jobs: inner)
            }
        }
        for (place, result) in zip(places, found) {
            switch result {
            case .success(let measurements): rows += measurements.map { Row(place: place, measurement: $0) }
            case .failure(let error): try fail(place, error)
            }
        }
    }

    /// What was recorded stays when the work is interrupted.
    private func finishing<T>(_ body: () throws -> T) throws -> T {
        do { return try body() } catch {
            try? recorder?.finish()
            throw error
        }
    }

    // MARK: Pairs

    /// Metrics of pairs: every network runs once.
    mutating func compare(_ metrics: [PairMetric], choice: Landscape.PairChoice) throws {
        let places = self.selected.indices.filter { self.sweeps[$0] != nil }
        let sweeps = sweeps, selected = selected
        let jobs = session.jobs
        let subjects = try finishing {
            try Parallel.map(count: places.count, jobs: jobs) { index -> Result<PairSubject, ZooError> in
                do {
                    guard let sweep = sweeps[places[index]] else { throw ZooError(.internal, "no sweep") }
                    return .success(try PairSubject(sweep.problem(try selected[places[index]].open())))
                } catch let error as ZooError where error.code != .interrupted { return .failure(error) }
            }
        }
        var ready: [(place: Int, subject: PairSubject)] = []
        for (place, subject) in zip(places, subjects) {
            switch subject {
            case .success(let found): ready.append((place, found))
            case .failure(let error): try fail(place, error)
            }
        }
        let pairs = try self.pairs(ready.map(\.place), choice)
        guard !pairs.isEmpty else {
            throw ZooError(
                .notFound, "there are no pairs to compare", hint: "select checkpoints that differ in seed only")
        }
        for (first, second) in pairs {
            try Cancellation.check()
            for metric in metrics {
                let found = try ready[first].subject.measure(metric, with: ready[second].subject)
                rows.append(Row(place: ready[first].place, other: ready[second].place, measurement: found))
                if let a = selected[ready[first].place].row?.id, let b = selected[ready[second].place].row?.id {
                    try recorder?.record(found, of: a, and: b)
                }
            }
        }
    }

    /// Pairs as indices into `places`.
    private func pairs(_ places: [Int], _ choice: Landscape.PairChoice) throws -> [(Int, Int)] {
        let keys: [String?] = try choice == .all ? places.map { _ in "" } : places.map(seedlessKey)
        return places.indices.flatMap { i in
            ((i + 1)..<max(i + 1, places.count)).compactMap { j in
                keys[i] != nil && keys[i] == keys[j] ? (i, j) : nil
            }
        }
    }

    /// Configuration without the seed, and the epoch: equal for networks of one cell.
    private func seedlessKey(_ place: Int) throws -> String? {
        guard let row = selected[place].row else { return nil }
        var config = try architectures.config(of: row.modelID)
        config["seed"] = nil
        let epoch = row.epoch.map { String($0) } ?? ""
        return JSONValue.object(config).text() + "@" + epoch
    }

    // MARK: Results

    /// Ends the recording.
    func finish() throws {
        guard let recorder else { return }
        try recorder.finish()
        session.note(
            "recorded \(Quantity.count(recorder.recordedCount)) values; \(Quantity.count(recorder.recalledCount)) were known"
        )
    }

    /// One row per value.
    var table: Table {
        var table = Table([
            .init("checkpoint", isPath: true), .init("other", isPath: true), .init("metric"),
            .init("value", .double, digits: 6), .init("error", .double), .init("converged", .bool), .init("note"),
        ])
        for row in rows {
            table.append([
                .text(selected[row.place].label), row.other.map { .text(selected[$0].label) } ?? .null,
                .text(row.measurement.name),
                row.measurement.value.map { .double($0) } ?? .missing(reason: row.measurement.reason),
                row.measurement.error.map { .double($0) } ?? .null, .bool(row.measurement.isConverged),
                row.measurement.reason.map { .text($0) } ?? .null,
            ])
        }
        return table
    }
}
