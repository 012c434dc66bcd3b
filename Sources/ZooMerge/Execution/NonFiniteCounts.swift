import Synchronization

/// Elements of the inputs that are NaN or infinite, counted while they are merged.
public final class NonFiniteCounts: Sendable {
    /// One tensor of one model.
    public struct Place: Hashable, Sendable {
        /// The tensor's name in the result.
        public var tensor: String
        /// The model, as messages call it.
        public var model: String
    }

    private let counts = Mutex<[Place: Int]>([:])

    /// Adds to a count.
    func add(_ count: Int, _ place: Place) { counts.withLock { $0[place, default: 0] += count } }

    /// What was found, by tensor and model.
    public var found: [(place: Place, count: Int)] {
        counts.withLock { counts in
            counts.sorted { ($0.key.tensor, $0.key.model) < ($1.key.tensor, $1.key.model) }.map { ($0.key, $0.value) }
        }
    }
}
