import Dispatch
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Work split over threads, at the outermost level only: over files or models, never inside an operation.
public enum Parallel {
    /// How many processors this process may use.
    public static var processorCount: Int { max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))) }

    /// Calls `body` once for each index below `count`, on at most `jobs` threads; indices are handed out in order.
    ///
    /// The first error (of the lowest index that failed) is thrown after the running calls have ended; no new index
    /// is handed out after a failure or a cancellation.
    public static func forEach(
        count: Int, jobs: Int, _ body: @Sendable (Int) throws -> Void
    ) throws {
        let workers = max(1, min(jobs, count))
        if workers == 1 {
            for index in 0..<count {
                try Cancellation.check()
                try body(index)
            }
            return
        }
        let next = Atomic<Int>(0)
        let failure = Mutex<(index: Int, error: any Error)?>(nil)
        DispatchQueue.concurrentPerform(iterations: workers) { _ in
            while true {
                let index = next.add(1, ordering: .relaxed).oldValue
                guard index < count, failure.withLock({ $0 == nil }) else { return }
                do {
                    try Cancellation.check()
                    try body(index)
                } catch {
                    failure.withLock { first in
                        if first.map({ index < $0.index }) ?? true { first = (index, error) }
                    }
                }
            }
        }
        if let first = failure.withLock({ $0 }) { throw first.error }
    }

    /// `forEach` for work that cannot fail and is too short to be interrupted, such as arithmetic on one long array.
    public static func perform(count: Int, jobs: Int, _ body: @Sendable (Int) -> Void) {
        let workers = max(1, min(jobs, count))
        guard workers > 1 else {
            for index in 0..<count { body(index) }
            return
        }
        let next = Atomic<Int>(0)
        DispatchQueue.concurrentPerform(iterations: workers) { _ in
            while true {
                let index = next.add(1, ordering: .relaxed).oldValue
                guard index < count else { return }
                body(index)
            }
        }
    }

    /// `forEach` that gathers a value per index, in order.
    public static func map<T: Sendable>(
        count: Int, jobs: Int, _ body: @Sendable (Int) throws -> T
    ) throws -> [T] {
        let slots = Mutex<[T?]>(Array(repeating: nil, count: count))
        try forEach(count: count, jobs: jobs) { index in
            let value = try body(index)
            slots.withLock { $0[index] = value }
        }
        return slots.withLock { $0.compactMap { $0 } }
    }
}
