import ZooTensor

/// Which of K parts each element of a tensor belongs to (aTLAS ×K, arXiv 2407.02880, section 5.3): a counter-based hash
/// of seed, block and flat index, so that nothing is stored and any run of elements can be asked for.
public struct PartitionHash: Sendable, Hashable {
    /// K.
    public let count: Int
    private let seed: UInt64
    private let isSharedByShape: Bool

    /// - Parameters:
    ///   - count: K, at least 1.
    ///   - isSharedByShape: tensors of one shape share their parts, as the released code has it.
    public init(count: Int, seed: UInt64, isSharedByShape: Bool = false) {
        self.count = max(1, count)
        self.seed = seed
        self.isSharedByShape = isSharedByShape
    }

    /// The key of a tensor.
    public func key(_ info: TensorInfo) -> UInt64 {
        var key: UInt64 = 0xCBF2_9CE4_8422_2325
        // FNV-1a over the name, or over the extents.
        for byte in (isSharedByShape ? info.shape.description : info.name).utf8 {
            key = (key ^ UInt64(byte)) &* 0x0000_0100_0000_01B3
        }
        return Self.mix(key ^ Self.mix(seed &+ 0x9E37_79B9_7F4A_7C15))
    }

    /// The part, 0 to K − 1, of an element: SplitMix64's output at place `index` of the stream that starts at the key,
    /// its high bits scaled to K.
    public func part(_ key: UInt64, _ index: Int) -> Int {
        let bits = Self.mix(key &+ 0x9E37_79B9_7F4A_7C15 &* (UInt64(truncatingIfNeeded: index) &+ 1))
        return Int(truncatingIfNeeded: ((bits >> 32) &* UInt64(count)) >> 32)
    }

    private static func mix(_ value: UInt64) -> UInt64 {
        var mixed = value
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }
}
