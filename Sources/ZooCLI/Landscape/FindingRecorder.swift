import Synchronization
import ZooBase
import ZooCatalog
import ZooLandscape

/// Records measurements from several threads, and recalls those of earlier runs with the same settings.
final class FindingRecorder: Sendable {
    private struct State: ~Copyable {
        var recorder: MetricRecorder
        var writer: CatalogWriter
        var recorded = 0
        var recalled = 0
        var isFinished = false
    }

    private let state: Mutex<State>
    /// Values by checkpoint and name of the metric that was asked for.
    private let earlier: [Int64: [String: [Measurement]]]

    /// Values that were recorded.
    var recordedCount: Int { state.withLock { $0.recorded } }
    /// Values that were known before.
    var recalledCount: Int { state.withLock { $0.recalled } }

    /// Reads what is known and begins a run.
    ///
    /// - Parameter settings: all that values depend on beside the checkpoint.
    init(_ session: Session, of checkpoints: [Int64], dataset: String, settings: String) throws {
        let catalog = try Catalog(session.catalogPath)
        earlier = Self.grouped(try catalog.metrics(of: checkpoints, settings: settings))
        let writer = try catalog.writer(patience: 5)
        let record = RunRecord.now(
            command: CommandLineTool.text, seed: session.seed, dataset: dataset, settings: settings)
        state = Mutex(State(recorder: try MetricRecorder(writer, record), writer: writer))
    }

    /// What one metric found belongs together: `hessian_top` also gives `hessian_min`, and so on.
    private static func grouped(_ rows: [MetricRow]) -> [Int64: [String: [Measurement]]] {
        var result: [Int64: [String: [Measurement]]] = [:]
        for row in rows where row.other == nil {
            guard let metric = LandscapeMetric.asked(for: row.name) else { continue }
            result[row.checkpoint, default: [:]][metric, default: []].append(
                Measurement(
                    row.name, row.value.isNaN ? nil : row.value, error: row.error, isConverged: row.note == nil,
                    reason: row.note))
        }
        return result
    }

    /// Measurements of a checkpoint by the name of their metric.
    func known(_ checkpoint: Int64?) -> [String: [Measurement]] {
        guard let checkpoint, let found = earlier[checkpoint] else { return [:] }
        let count = found.values.reduce(0) { $0 + $1.count }
        state.withLock { $0.recalled += count }
        return found
    }

    /// Records what was found of one checkpoint, durably.
    func record(_ found: [String: [Measurement]], of checkpoint: Int64) throws {
        try state.withLock { state in
            for measurement in found.sorted(by: { $0.key < $1.key }).flatMap(\.value) {
                try Self.record(measurement, checkpoint, nil, state.recorder)
                state.recorded += 1
            }
            try state.recorder.commit()
        }
    }

    /// Records what was found of a pair.
    func record(_ measurement: Measurement, of checkpoint: Int64, and other: Int64) throws {
        try state.withLock { state in
            try Self.record(measurement, checkpoint, other, state.recorder)
            state.recorded += 1
        }
    }

    private static func record(
        _ measurement: Measurement, _ checkpoint: Int64, _ other: Int64?, _ recorder: MetricRecorder
    ) throws {
        try recorder.record(
            measurement.name, of: checkpoint, and: other, value: measurement.value ?? .nan, error: measurement.error,
            note: measurement.reason)
    }

    /// Ends the run; again does nothing.
    func finish() throws {
        try state.withLock { state in
            guard !state.isFinished else { return }
            state.isFinished = true
            try state.recorder.finish()
            try state.writer.close()
        }
    }
}

extension LandscapeMetric {
    /// The metric that gives values of a name.
    static func asked(for value: String) -> String? {
        let stems = [
            "landscape_loss": "loss", "landscape_accuracy": "accuracy", "hessian_min": "hessian_top",
            "hessian_density_trace": "spectral_density", "hessian_squared_norm": "spectral_density",
            "effective_dimension": "spectral_density", "hessian_negative_share": "spectral_density",
        ]
        if let stem = stems[value] { return stem }
        if value.hasPrefix("hessian_top_") { return "hessian_top" }
        if value.hasPrefix("hessian_power_") { return "hessian_power" }
        return all.contains { $0.name == value } ? value : nil
    }
}
