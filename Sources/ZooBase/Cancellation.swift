import Synchronization

/// Whether the user asked to stop. The command line's signal handler sets it; long loops ask.
public enum Cancellation {
    private static let flag = Atomic<Bool>(false)

    /// Asks all running work to stop at its next safe point. Safe inside a signal handler.
    public static func request() { flag.store(true, ordering: .relaxed) }

    /// Withdraws the request (tests).
    public static func reset() { flag.store(false, ordering: .relaxed) }

    /// Whether a stop was asked for.
    public static var isRequested: Bool { flag.load(ordering: .relaxed) }

    /// - Throws: `interrupted` when a stop was asked for.
    @inlinable
    public static func check() throws {
        if isRequested { throw ZooError(.interrupted, "interrupted", hint: "run the same command again to go on") }
    }
}
