import Synchronization
import ZooBase
import ZooCatalog
import ZooLandscape

/// Records measurements from several threads, and recalls those of earlier runs with the same settings.
///
/// A metric's settings are those that its values depend on and no others: asking for more eigenvalues does not make a
/// trained curve unknown. Metrics of different settings are recorded under runs of their own.
final class FindingRecorder: Sendable {
    private struct State: ~Copyable {
        /// By settings.
        var recorders: [String: MetricRecorder] = [:]
        var writer: CatalogWriter
        var recorded = 0
        var recalled = 0
        var isFinished = false
    }

    /// Two checkpoints in the order in which they were compared.
    private struct Pair: Hashable {
        var first: Int64
        var second: Int64?
    }

    private let state: Mutex<State>
    /// Values by checkpoint or pair and name of the metric that was asked for.
    private let earlier: [Pair: [String: [Measurement]]]
    /// By name of the metric.
    private let settings: [String: String]
    private let dataset: String
    private let seed: UInt64

    /// Values that were recorded.
    var recordedCount: Int { state.withLock { $0.recorded } }
    /// Values that were known before.
    var recalledCount: Int { state.withLock { $0.recalled } }

    /// Reads what is known.
    ///
    /// - Parameter settings: for each metric all that its values depend on beside the checkpoints.
    init(_ session: Session, of checkpoints: [Int64], dataset: String, settings: [String: String]) throws {
        let catalog = try Catalog(session.catalogPath)
        var earlier: [Pair: [String: [Measurement]]] = [:]
        for text in Set(settings.values).sorted() {
            for row in try catalog.metrics(of: checkpoints, settings: text) {
                guard let metric = LandscapeNames.metric(of: row.name), settings[metric] == text else { continue }
                earlier[Pair(first: row.checkpoint, second: row.other), default: [:]][metric, default: []].append(
                    Measurement(
                        row.name, row.value.isNaN ? nil : row.value, error: row.error, isConverged: row.note == nil,
                        reason: row.note))
            }
        }
        try Self.warnOfReplacement(session, catalog, checkpoints, dataset, settings)
        self.earlier = earlier
        self.settings = settings
        self.dataset = dataset
        seed = session.seed
        state = Mutex(State(writer: try catalog.writer(patience: 5)))
    }

    /// Says which values of other data or settings those of this run will replace: the catalog keeps one value of a
    /// metric per checkpoint or pair, the last.
    private static func warnOfReplacement(
        _ session: Session, _ catalog: Catalog, _ checkpoints: [Int64], _ dataset: String, _ settings: [String: String]
    ) throws {
        let chosen = Set(checkpoints)
        let replaced = try catalog.findings(of: checkpoints).filter { finding in
            guard let metric = LandscapeNames.metric(of: finding.row.name), let own = settings[metric] else {
                return false
            }
            return finding.settings != own && finding.row.other.map { chosen.contains($0) } ?? true
        }
        ReplacedValues(replaced, by: dataset, samples: settings.values.first.flatMap { MetricFinding.samples(in: $0) })
            .warn(session)
    }

    /// Measurements of a checkpoint, or of a pair, by the name of their metric.
    func known(_ checkpoint: Int64?, and other: Int64?? = .some(nil)) -> [String: [Measurement]] {
        guard let checkpoint, let other, let found = earlier[Pair(first: checkpoint, second: other)] else { return [:] }
        let count = found.values.reduce(0) { $0 + $1.count }
        state.withLock { $0.recalled += count }
        return found
    }

    /// Records what was found of one checkpoint, or of a pair.
    ///
    /// - Parameter isDurable: whether it is written out at once.
    func record(
        _ found: [String: [Measurement]], of checkpoint: Int64, and other: Int64? = nil, isDurable: Bool = true
    ) throws {
        try state.withLock { state in
            for (metric, measurements) in found.sorted(by: { $0.key < $1.key }) {
                let text = settings[metric] ?? ""
                if state.recorders[text] == nil {
                    state.recorders[text] = try MetricRecorder(
                        state.writer,
                        RunRecord.now(command: CommandLineTool.text, seed: seed, dataset: dataset, settings: text))
                }
                for measurement in measurements {
                    try state.recorders[text]?.record(
                        measurement.name, of: checkpoint, and: other, value: measurement.value ?? .nan,
                        error: measurement.error, note: measurement.reason)
                    state.recorded += 1
                }
                if isDurable { try state.recorders[text]?.commit() }
            }
        }
    }

    /// Ends the runs; again does nothing.
    func finish() throws {
        try state.withLock { state in
            guard !state.isFinished else { return }
            state.isFinished = true
            for text in state.recorders.keys.sorted() { try state.recorders[text]?.finish() }
            try state.writer.close()
        }
    }
}

/// Which metric gives which values.
enum LandscapeNames {
    private static let stems = [
        "landscape_loss": "loss", "landscape_accuracy": "accuracy",
        "hessian_density_trace": "spectral_density", "hessian_squared_norm": "spectral_density",
        "effective_dimension": "spectral_density", "hessian_negative_share": "spectral_density",
    ]
    private static let prefixes = [
        ("hessian_top_", "hessian_top"), ("hessian_power_", "hessian_power"), ("curve_", "curve"),
        ("lmc_aligned_", "lmc_aligned"), ("lmc_", "lmc"), ("layer_hessian_", "layer_curvature"),
        ("layer_distance/", "layer_distance"), ("full_", "full_spectrum"),
    ]

    /// The metric that gives values of a name; nil for a name of something else.
    static func metric(of value: String) -> String? {
        if let stem = stems[value] { return stem }
        // Values of these two have the names above; rows called like the metrics stem from elsewhere.
        let plain =
            LandscapeMetric.all.map(\.name).filter { $0 != "loss" && $0 != "accuracy" }
            + PairMetric.allCases.map(\.rawValue)
        if plain.contains(value) { return value }
        return prefixes.first { value.hasPrefix($0.0) }?.1
    }
}
