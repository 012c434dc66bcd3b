/// How work over many models is split: for messages to users.
public struct WorkSplit: Sendable, Hashable, CustomStringConvertible {
    /// Models.
    public let models: Int
    /// Groups of batches that each model's samples are cut into.
    public let batchGroups: Int
    /// Threads that take part.
    public let threads: Int
    /// Bytes that each thread's arena takes.
    public let arenaByteCount: Int

    /// `452 models × 1 batch group on 2 threads`.
    public var description: String {
        func plural(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }
        return "\(plural(models, "model")) × \(plural(batchGroups, "batch group")) on \(plural(threads, "thread"))"
    }
}
