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

    /// One value of the result.
    struct Row {
        var place: Int
        var other: Int?
        var measurement: Measurement
    }

    /// An architecture with the tensors of its checkpoints.
    struct Group: Hashable {
        var graph: ArchitectureGraph
        var tensors: [TensorInfo]
    }

    let selected: [SelectedCheckpoint]
    let data: LandscapeData
    let options: LandscapeOptions
    let session: Session
    let recorder: FindingRecorder?
    private let architectures: ArchitectureLibrary
    private(set) var sweeps: [Int: ModelSweep] = [:]
    private(set) var groups: [Int: Group] = [:]
    private var rows: [Row] = []
    /// Pairs to measure, as places among the checkpoints; nil for those that a choice gives.
    var givenPairs: [(first: Int, second: Int)]?

    /// - Parameter settings: for each metric all that its values depend on beside samples and checkpoints; nil leaves
    ///   the catalog alone.
    init(
        _ selected: [SelectedCheckpoint], on data: LandscapeData, options: LandscapeOptions,
        settings: [String: String]?, named name: String, architectures: ArchitectureLibrary, session: Session
    ) throws {
        guard !selected.isEmpty else {
            throw ZooError(.notFound, "no checkpoint is selected", hint: "'zoo query' shows what there is")
        }
        self.selected = selected
        self.data = data
        self.options = options
        self.session = session
        self.architectures = architectures
        let ids = selected.compactMap { $0.row?.id }
        let fingerprint = data.fingerprint
        recorder =
            try ids.isEmpty
            ? nil
            : settings.map {
                try FindingRecorder(
                    session, of: ids, dataset: name,
                    settings: $0.mapValues { "landscape samples=\(fingerprint) \($0)" })
            }
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
                    of: checkpoint, tensors: tensors, inputShape: data.inputShape,
                    beside: checkpoint.row == nil ? TextModel.configuration(beside: checkpoint.label) : JSONObject())
                let group = Group(graph: chosen.graph, tensors: tensors)
                let sweep = try known[group] ?? data.sweep(chosen.graph, tensors)
                known[group] = sweep
                sweeps[place] = sweep
                groups[place] = group
            } catch { try fail(place, error) }
        }
        // Data that fit no checkpoint are one mistake, not one for each.
        if sweeps.isEmpty, failures.count > 1, let first = failures.first?.error,
            failures.allSatisfy({ $0.error.message == first.message })
        {
            throw first
        }
    }

    mutating func fail(_ place: Int, _ error: any Error) throws {
        let wrapped = ZooError.wrap(error)
        if wrapped.code == .interrupted { throw wrapped }
        failures.append(.init(selected[place].label, wrapped))
    }

    mutating func append(_ measurements: [Measurement], of place: Int, and other: Int? = nil) {
        rows += measurements.map { Row(place: place, other: other, measurement: $0) }
    }

    // MARK: Single networks

    /// Metrics of single networks, models in parallel.
    mutating func measure(_ metrics: [LandscapeMetric]) throws {
        guard !metrics.isEmpty else { return }
        let places = selected.indices.filter { sweeps[$0] != nil }
        let tasks = places.compactMap { place in
            sweeps[place].flatMap { sweep in
                groups[place].map { LandscapeTask(checkpoint: selected[place], graph: $0.graph, sweep: sweep) }
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
            case .success(let measurements):
                for found in measurements {
                    guard let count = found.iterations else { continue }
                    session.detail("\(selected[place].label): \(found.name) took \(count) products")
                }
                append(measurements, of: place)
            case .failure(let error): try fail(place, error)
            }
        }
    }

    /// What was recorded stays when the work is interrupted.
    func finishing<T>(_ body: () throws -> T) throws -> T {
        do { return try body() } catch {
            try? recorder?.finish()
            throw error
        }
    }

    // MARK: Pairs

    /// The pairs among the checkpoints that can be measured, by their places.
    func pairs(_ choice: Landscape.PairChoice) throws -> [(first: Int, second: Int)] {
        if let givenPairs { return givenPairs.filter { sweeps[$0.first] != nil && sweeps[$0.second] != nil } }
        let places = selected.indices.filter { sweeps[$0] != nil }
        let keys: [String?] = try choice == .all ? places.map { _ in "" } : places.map(seedlessKey)
        let pairs = places.indices.flatMap { i in
            ((i + 1)..<max(i + 1, places.count)).compactMap { j in
                keys[i] != nil && keys[i] == keys[j] ? (first: places[i], second: places[j]) : nil
            }
        }
        guard !pairs.isEmpty else {
            throw ZooError(
                .notFound, "there are no pairs to compare",
                hint: choice == .seeds
                    ? "select checkpoints whose settings differ in the seed only, or --pairs all"
                    : "select two checkpoints or more")
        }
        return pairs
    }

    /// Configuration without the seed, and the epoch: equal for networks of one cell.
    private func seedlessKey(_ place: Int) throws -> String? {
        guard let row = selected[place].row else { return nil }
        var config = GridAxes.flattened(try architectures.config(of: row.modelID))
        for (key, _) in config where GridAxes.isRepetition(key) { config[key] = nil }
        // What 'zoo train' was told, the seed among it.
        config["training::manifest"] = nil
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

    /// One row per value, for people with the short names of checkpoints.
    func table(shortens: Bool) -> Table {
        let names = shortens ? ShortNames(selected.map(\.label)) : ShortNames([])
        if names.shortens {
            session.note(
                "names are shortened to what tells them apart: \(names.example); --json and --csv have them whole")
        }
        var table = Table([
            .init("checkpoint", isPath: true), .init("other", isPath: true), .init("metric"),
            .init("value", .double, digits: 6), .init("error", .double), .init("converged", .bool), .init("note"),
        ])
        for row in rows {
            table.append([
                .text(names[selected[row.place].label]),
                row.other.map { .text(names[selected[$0].label]) } ?? .null,
                .text(row.measurement.name),
                row.measurement.value.map { .double($0) } ?? .missing(reason: row.measurement.reason),
                row.measurement.error.map { .double($0) } ?? .null, .bool(row.measurement.isConverged),
                row.measurement.reason.map { .text($0) } ?? .null,
            ])
        }
        return table
    }
}
