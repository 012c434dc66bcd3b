import Synchronization
import ZooBase

/// Executors of one program that are handed out and taken back, so that arenas are allocated once and then kept.
///
/// Split work at the outermost level: over models first, then over groups of samples. Work under a millisecond is not
/// worth a second thread.
public final class ExecutorPool<Scalar: EngineScalar>: Sendable {
    /// The program that all run.
    public let compiled: CompiledProgram<Scalar>
    private let idle = Mutex<[Executor<Scalar>]>([])

    /// An empty pool.
    public init(_ compiled: CompiledProgram<Scalar>) { self.compiled = compiled }

    /// Calls `body` with an executor that nobody else uses meanwhile.
    public func withExecutor<R>(_ body: (Executor<Scalar>) throws -> R) rethrows -> R {
        let executor = idle.withLock { $0.popLast() } ?? compiled.makeExecutor()
        defer { idle.withLock { $0.append(executor) } }
        return try body(executor)
    }

    /// Calls `body` once per index below `count` on at most `jobs` threads, each with an executor of its own, and
    /// gathers the values in order.
    public func map<T: Sendable>(
        count: Int, jobs: Int, _ body: @Sendable (Int, Executor<Scalar>) throws -> T
    ) throws -> [T] {
        try Parallel.map(count: count, jobs: jobs) { index in try withExecutor { try body(index, $0) } }
    }
}
