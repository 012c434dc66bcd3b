/// Limits on what a pickle may ask for; each is far above what real checkpoints need.
///
/// Past one of them parsing stops with a `limit` error that names it.
package enum PickleLimits {
    /// Bytes of one pickle. Tensor data lie outside of it.
    package static let byteCount = 64 << 20
    /// Bytes of one pickle of a data set, whose arrays lie inside.
    package static let dataByteCount = 2 << 30
    /// Bytes of a pickle that lies compressed in its archive, which PyTorch never does.
    static let packedByteCount = 16 << 20
    /// Opcodes executed.
    static let opcodeCount = 10_000_000
    /// Values on the stack at one time.
    static let stackCount = 1_000_000
    /// Values remembered for later use.
    static let memoCount = 10_000_000
    /// Containers inside containers, when a graph is walked.
    static let depth = 1_000
    /// Bytes of one arbitrary-precision integer.
    static let longByteCount = 1_024
    /// Bytes of one text.
    static let textByteCount = 16 << 20
    /// Bytes of one line of the text opcodes (numbers, memo keys, names of globals).
    static let lineByteCount = 64 << 10
    /// Different globals named in one pickle.
    static let globalCount = 100_000
    /// Bytes of one dotted tensor name.
    static let nameByteCount = 4 << 10
}
