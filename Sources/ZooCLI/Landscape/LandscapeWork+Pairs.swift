import ZooBase
import ZooCatalog
import ZooLandscape
import ZooNN
import ZooTensor

/// How pairs are walked between.
struct ConnectionSettings: Sendable {
    /// Curves.
    var curve: CurveOptions
    /// Points of straight lines.
    var points: Int
    /// What curves are trained on and batch-norm statistics estimated on.
    var training: LandscapeData
    /// Seed of weight matching.
    var seed: UInt64

    /// All that values of a metric depend on beside the networks and the samples.
    func settings(for metric: ConnectionMetric) -> String {
        let base = "training=\(training.fingerprint) "
        switch metric {
        case .curve: return base + curve.description
        case .lmc: return base + "points=\(points) bn=recompute"
        case .lmcAligned: return base + "points=\(points) bn=recompute seed=\(seed)"
        }
    }
}

extension LandscapeWork {
    /// What the catalog knows of a pair.
    private func known(_ pair: (first: Int, second: Int)) -> [String: [Measurement]] {
        guard let recorder, let a = selected[pair.first].row?.id, let b = selected[pair.second].row?.id else {
            return [:]
        }
        return recorder.known(a, and: b)
    }

    /// Metrics of pairs' outputs and weights: every network runs once.
    mutating func compare(_ metrics: [PairMetric], choice: Landscape.PairChoice) throws {
        let pairs = try pairs(choice)
        let known = pairs.map { pair in self.known(pair) }
        let open = pairs.indices.filter { place in metrics.contains { known[place][$0.rawValue] == nil } }
        let places = Set(open.flatMap { [pairs[$0].first, pairs[$0].second] }).sorted()
        var subjects: [Int: PairSubject] = [:]
        for (place, result) in zip(places, try subjectResults(places, metrics)) {
            switch result {
            case .success(let subject): subjects[place] = subject
            case .failure(let error): try fail(place, error)
            }
        }
        let progress = session.progress("pairs", total: pairs.count, unit: .items("pairs"))
        defer { progress.finish() }
        let ready = subjects, jobs = session.jobs
        let found = try finishing {
            try Parallel.map(count: pairs.count, jobs: jobs) { index -> [String: [Measurement]] in
                defer { progress.advance(by: 1) }
                guard let a = ready[pairs[index].first], let b = ready[pairs[index].second] else { return [:] }
                var fresh: [String: [Measurement]] = [:]
                for metric in metrics where known[index][metric.rawValue] == nil {
                    fresh[metric.rawValue] = try a.measure(metric, with: b)
                }
                return fresh
            }
        }
        for (index, pair) in pairs.enumerated() {
            try keep(found[index], known[index], metrics.map(\.rawValue), pair, isDurable: false)
        }
    }

    private func subjectResults(_ places: [Int], _ metrics: [PairMetric]) throws -> [Result<PairSubject, ZooError>] {
        let sweeps = sweeps, selected = selected, seed = options.seed
        // The mixed inputs are the same for all networks; their sweeps are made once per architecture.
        var mixed: [Group: ModelSweep] = [:]
        if metrics.contains(where: \.readsMixedInputs) {
            let inputs = try data.labelled().mixedUp(seed: seed)
            for place in places {
                guard let group = groups[place], mixed[group] == nil else { continue }
                mixed[group] = try ModelSweep(group.graph, tensors: group.tensors, samples: inputs)
            }
        }
        let mixedSweeps = mixed, groups = groups, jobs = session.jobs
        return try finishing {
            try Parallel.map(count: places.count, jobs: jobs) { index -> Result<PairSubject, ZooError> in
                do {
                    let place = places[index]
                    guard let sweep = sweeps[place] else { throw ZooError(.internal, "no sweep") }
                    let model = try selected[place].open()
                    let other = try groups[place].flatMap { mixedSweeps[$0] }.map { try $0.problem(model) }
                    return .success(try PairSubject(sweep.problem(model), mixed: other, metrics: metrics))
                } catch let error as ZooError where error.code != .interrupted { return .failure(error) }
            }
        }
    }

    /// Records what is new of a pair and adds its rows.
    private mutating func keep(
        _ fresh: [String: [Measurement]], _ known: [String: [Measurement]], _ names: [String],
        _ pair: (first: Int, second: Int), isDurable: Bool
    ) throws {
        if !fresh.isEmpty, let a = selected[pair.first].row?.id, let b = selected[pair.second].row?.id {
            try recorder?.record(fresh, of: a, and: b, isDurable: isDurable)
        }
        for name in names { append(fresh[name] ?? known[name] ?? [], of: pair.first, and: pair.second) }
    }

    /// Metrics of walks between pairs, each recorded when it is done.
    mutating func connect(
        _ metrics: [ConnectionMetric], choice: Landscape.PairChoice, settings: ConnectionSettings
    ) throws {
        let pairs = try pairs(choice)
        let known = pairs.map { pair in self.known(pair) }
        var tools: [Group: Result<ConnectionTools, ZooError>] = [:]
        for (index, pair) in pairs.enumerated() {
            guard let group = groups[pair.first], group == groups[pair.second], tools[group] == nil,
                metrics.contains(where: { known[index][$0.rawValue] == nil })
            else { continue }
            tools[group] = Result {
                try ConnectionTools(
                    PathGround(group.graph, group.tensors, measured: data, training: settings.training),
                    metrics: metrics, curve: settings.curve, points: settings.points, seed: settings.seed)
            }.mapError(ZooError.wrap)
        }
        let progress = session.progress("connections", total: pairs.count, unit: .items("pairs"))
        defer { progress.finish() }
        let work = PairWalks(
            pairs: pairs, known: known, metrics: metrics, selected: selected, groups: groups, tools: tools,
            recorder: recorder)
        let jobs = session.jobs
        let found = try finishing {
            try Parallel.map(count: pairs.count, jobs: jobs) { index in
                defer { progress.advance(by: 1) }
                return try work.measure(index)
            }
        }
        for (index, result) in found.enumerated() {
            let pair = pairs[index]
            switch result {
            case .success(let fresh):
                for metric in metrics {
                    let name = metric.rawValue
                    append(fresh[name] ?? known[index][name] ?? [], of: pair.first, and: pair.second)
                }
            case .failure(let error): try fail(pair.first, error)
            }
        }
    }
}

/// The walks of a run, one after the other by any thread.
private struct PairWalks: Sendable {
    let pairs: [(first: Int, second: Int)]
    let known: [[String: [Measurement]]]
    let metrics: [ConnectionMetric]
    let selected: [SelectedCheckpoint]
    let groups: [Int: LandscapeWork.Group]
    let tools: [LandscapeWork.Group: Result<ConnectionTools, ZooError>]
    let recorder: FindingRecorder?

    func measure(_ index: Int) throws -> Result<[String: [Measurement]], ZooError> {
        let pair = pairs[index]
        let wanted = metrics.filter { known[index][$0.rawValue] == nil }
        guard !wanted.isEmpty else { return .success([:]) }
        var fresh: [String: [Measurement]] = [:]
        do {
            guard let group = groups[pair.first], group == groups[pair.second] else {
                for metric in wanted {
                    fresh[metric.rawValue] = metric.valueNames.map {
                        Measurement($0, nil, reason: "the networks have different architectures")
                    }
                }
                return .success(fresh)
            }
            guard let tools = try tools[group]?.get() else { return .success([:]) }
            let a = try selected[pair.first].open(), b = try selected[pair.second].open()
            for metric in wanted { fresh[metric.rawValue] = try tools.measure(metric, a, b) }
            if let first = selected[pair.first].row?.id, let second = selected[pair.second].row?.id {
                try recorder?.record(fresh, of: first, and: second)
            }
            return .success(fresh)
        } catch let error as ZooError where error.code != .interrupted { return .failure(error) }
    }
}
