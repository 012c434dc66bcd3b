import ZooBase

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Records what a command measures on checkpoints: a `run` row that says how, and metric rows that name it.
///
///     let recorder = try MetricRecorder(catalog.writer(), .now(command: "zoo eval …", dataset: "digits.safetensors"))
///     try recorder.record("eval_test_loss", of: checkpoint, value: 0.12)
///     try recorder.finish()
///
/// Rows are written in batches and become visible to readers when a transaction is committed, at the latest by
/// `finish`. A value measured before under the same name is replaced. Not for several threads at once.
public final class MetricRecorder {
    /// The id of the run.
    public let run: Int64
    /// How many values were recorded.
    public private(set) var count = 0
    private let writer: CatalogWriter
    private let start: Double
    private var waiting: [MetricRow] = []

    /// Rows that are written together.
    private static let batch = 1_000

    /// Begins a run.
    public init(_ writer: CatalogWriter, _ record: RunRecord) throws {
        self.writer = writer
        start = Self.seconds()
        run = try writer.record(record)
    }

    /// Records a value.
    ///
    /// - Parameters:
    ///   - checkpoint: what it was measured on, by its id.
    ///   - other: the second of a pair.
    ///   - value: the value; NaN is kept.
    ///   - error: its standard error, where known.
    ///   - note: why there is no value, or what is wrong with it.
    public func record(
        _ name: String, of checkpoint: Int64, and other: Int64? = nil, value: Double, error: Double? = nil,
        note: String? = nil
    ) throws {
        waiting.append(
            MetricRow(
                checkpoint: checkpoint, other: other, name: name, value: value, error: error, run: run, note: note))
        count += 1
        if waiting.count >= Self.batch { try flush() }
    }

    /// Ends the run and makes everything durable.
    ///
    /// - Parameter seconds: how long it took; nil for the time since `init`.
    public func finish(seconds: Double? = nil) throws {
        try flush()
        try writer.finish(run: run, seconds: seconds ?? Self.seconds() - start)
        try writer.commit()
    }

    /// Makes what was recorded so far durable.
    public func commit() throws {
        try flush()
        try writer.commit()
    }

    private func flush() throws {
        guard !waiting.isEmpty else { return }
        try writer.record(waiting)
        waiting = []
    }

    private static func seconds() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
}

extension RunRecord {
    /// The record of a run that begins now, by this version on this machine.
    public static func now(
        command: String, seed: UInt64? = nil, dataset: String? = nil, settings: String? = nil
    ) -> RunRecord {
        var moment = time(nil)
        var parts = tm()
        gmtime_r(&moment, &parts)
        func digits(_ number: Int32, _ count: Int) -> String {
            let text = String(number)
            return String(repeating: "0", count: max(0, count - text.count)) + text
        }
        let date = [digits(parts.tm_year + 1900, 4), digits(parts.tm_mon + 1, 2), digits(parts.tm_mday, 2)]
        let clock = [digits(parts.tm_hour, 2), digits(parts.tm_min, 2), digits(parts.tm_sec, 2)]
        return RunRecord(
            command: command, seed: seed.flatMap { Int(exactly: $0) }, dataset: dataset,
            toolVersion: ZooVersion.string,
            started: date.joined(separator: "-") + "T" + clock.joined(separator: ":") + "Z",
            machine: Machine.processorName, settings: settings)
    }
}
