import Dispatch
import Synchronization
import ZooBase
import ZooFormats

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Reads a source (archive, folder or file) into a catalog.
///
/// Models are read in parallel, batch by batch, and recorded in their order while the next batch is being read, so
/// that a catalog does not depend on the number of threads. Every batch is committed: a run that was killed goes on
/// where it stopped, and one over an unchanged source reads nothing.
public struct Indexer: Sendable {
    private let options: IndexOptions
    private let observer: (any IndexObserver)?
    /// Models read before they are recorded; bounds memory, and the work lost to a kill.
    private static let batchCount = 16

    /// Creates an indexer.
    public init(_ options: IndexOptions = IndexOptions(), observer: (any IndexObserver)? = nil) {
        self.options = options
        self.observer = observer
    }

    /// Lists what a source holds without recording or reading checkpoints.
    public func survey(_ path: String) throws -> IndexReport {
        let source = try OpenedSource(path, options)
        var report = IndexReport(source: source.path, zoo: source.zooName)
        let listing = try source.listing()
        report.modelCount = listing.models.count
        report.checkpointCount = listing.weightCount
        report.skipped = source.archive.skipped + listing.problems
        report.ignored = listing.ignored
        return report
    }

    /// Indexes a source.
    ///
    /// - Throws: `notFound`, `corrupt` or `unsupported` when the source cannot be opened, `busy` when another process
    ///   writes to the catalog, `interrupted`. Members that cannot be read are in the report.
    public func index(_ path: String, into catalog: Catalog) throws -> IndexReport {
        let clock = ContinuousClock(), start = clock.now
        let source = try OpenedSource(path, options)
        var report = IndexReport(source: source.path, zoo: source.zooName)
        let writer = try catalog.writer()
        let progress = try writer.begin(source.record, restart: options.restarts)
        if progress.isComplete {
            report.wasComplete = true
            report.modelCount = progress.completedModels.count
            report.resumedCount = report.modelCount
            try writer.close()
            try report.recall(progress.id, from: catalog)
            try importMetrics(&report, into: catalog)
            report.seconds = (clock.now - start).seconds
            return report
        }
        do {
            try run(source, progress, writer, &report)
            try writer.finish(progress.id)
            try writer.close()
        } catch {
            // What was recorded stays; the source is still marked as being indexed, so the next run goes on.
            try? writer.close()
            throw error
        }
        try importMetrics(&report, into: catalog)
        report.seconds = (clock.now - start).seconds
        return report
    }

    /// Adds what is published beside the source; a file that cannot be read is a problem of the report.
    private func importMetrics(_ report: inout IndexReport, into catalog: Catalog) throws {
        let path = MetricFile.beside(report.source)
        guard access(path, R_OK) == 0 else { return }
        do { report.metrics = try catalog.importMetrics(path, source: report.source) } catch let error as ZooError
            where error.code != .interrupted && error.code != .busy
        { report.skipped.append(SkippedMember(path: path, reason: error.message)) }
    }

    private func run(
        _ source: OpenedSource, _ progress: SourceProgress, _ writer: CatalogWriter, _ report: inout IndexReport
    ) throws {
        let listing = try source.listing()
        report.ignored = listing.ignored
        for problem in source.archive.skipped + listing.problems { try note(problem, progress.id, writer, &report) }
        let zoo = try writer.upsert(source.zooRecord)
        let models = listing.models
        let pending = models.indices.filter {
            !progress.completedModels.contains(CatalogWriter.key(path: models[$0].path, name: models[$0].name))
        }
        report.resumedCount = models.count - pending.count
        observer?.found(models: pending.count, checkpoints: listing.weightCount)
        let reader = ModelReader(source: source, sourceID: progress.id, zooID: zoo, options: options)
        try pipeline(pending.count) { position in
            try reader.read(models[pending[position]])
        } consume: { (batch: [ModelReading]) in
            for reading in batch {
                try writer.ingest(reading.model)
                for problem in reading.problems { try note(problem, progress.id, writer, &report) }
                report.add(reading.model)
            }
            observer?.recorded(models: batch.count, checkpoints: batch.reduce(0) { $0 + $1.model.checkpoints.count })
        }
        try writer.markDuplicates(of: progress.id)
        report.modelCount = models.count
    }

    private func note(
        _ problem: SkippedMember, _ source: Int64, _ writer: CatalogWriter, _ report: inout IndexReport
    ) throws {
        report.skipped.append(problem)
        try writer.skip(problem.path, reason: problem.reason, in: source)
    }

    /// Produces batches in parallel and consumes them in order, one batch behind: the caller's thread records the
    /// previous batch while the others read the next.
    private func pipeline<T: Sendable>(
        _ count: Int, produce: @escaping @Sendable (Int) throws -> T, consume: ([T]) throws -> Void
    ) throws {
        let jobs = options.jobs
        var start = 0
        var ready: [T] = []
        while start < count || !ready.isEmpty {
            let range = start..<min(start + Self.batchCount, count)
            start = range.upperBound
            let next = Pending<[T]>()
            if !range.isEmpty {
                DispatchQueue.global().async {
                    next.fulfil {
                        try Parallel.map(count: range.count, jobs: jobs) { try produce(range.lowerBound + $0) }
                    }
                }
            }
            let consumed = Result { try consume(ready) }
            // The readers must have ended before an error of the recorder leaves this function.
            ready = range.isEmpty ? [] : try next.value(discarding: consumed)
            try consumed.get()
        }
    }
}

/// A value that another thread is making.
private final class Pending<T: Sendable>: Sendable {
    private let result = Mutex<Result<T, any Error>?>(nil)
    private let done = DispatchSemaphore(value: 0)

    func fulfil(_ body: () throws -> T) {
        let value = Result { try body() }
        result.withLock { $0 = value }
        done.signal()
    }

    /// Waits for the value; an error of `other`, which came first, is thrown instead of one of the value.
    func value(discarding other: Result<Void, any Error>) throws -> T {
        done.wait()
        try other.get()
        guard let value = result.withLock({ $0 }) else { throw ZooError(.internal, "a batch was lost") }
        return try value.get()
    }
}

extension IndexReport {
    /// Fills in what an earlier, complete run recorded; its failures stay failures.
    mutating func recall(_ source: Int64, from catalog: Catalog) throws {
        skipped = try catalog.skipped(in: source).map { SkippedMember(path: $0.path, reason: $0.reason) }
        let totals = try catalog.sql(
            """
            SELECT count(*), sum(l.tensor_count), sum(l.parameter_count) FROM checkpoint c
                LEFT JOIN layout l ON l.id = c.layout_id WHERE c.source_id = \(source)
            """)
        checkpointCount = totals.rows[0][0].int ?? 0
        tensorCount = totals.rows[0][1].int ?? 0
        parameterCount = totals.rows[0][2].int ?? 0
    }

    /// Counts a model that was recorded.
    mutating func add(_ model: ModelIngest) {
        checkpointCount += model.checkpoints.count
        for checkpoint in model.checkpoints {
            tensorCount += checkpoint.layout?.entries.count ?? 0
            parameterCount += checkpoint.layout?.parameterCount ?? 0
        }
    }
}

extension Duration {
    /// The duration in seconds.
    var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
