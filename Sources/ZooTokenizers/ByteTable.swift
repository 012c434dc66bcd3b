/// Byte strings and the numbers they stand for: a hash table over one block of bytes, probed with hashes that grow
/// byte by byte (FNV-1a), so that all prefixes of a word are looked up in one pass.
struct ByteTable: Sendable {
    private var blob: [UInt8] = []
    private var entries: [(hash: UInt64, start: Int, count: Int, id: Int32)] = []
    private var slots: [Int32]
    private let mask: Int

    static let seed: UInt64 = 0xcbf2_9ce4_8422_2325

    init(_ keys: [(key: [UInt8], id: Int32)]) {
        var size = 16
        while size < 2 * keys.count { size *= 2 }
        slots = [Int32](repeating: -1, count: size)
        mask = size - 1
        for (key, id) in keys {
            let hash = key.reduce(Self.seed, Self.extend)
            var slot = place(hash)
            while slots[slot] >= 0 { slot = (slot + 1) & mask }
            slots[slot] = Int32(entries.count)
            entries.append((hash, blob.count, key.count, id))
            blob += key
        }
    }

    @inline(__always) static func extend(_ hash: UInt64, _ byte: UInt8) -> UInt64 {
        (hash ^ UInt64(byte)) &* 0x100_0000_01b3
    }

    /// The high bits matter: the product carries upwards.
    @inline(__always) private func place(_ hash: UInt64) -> Int { Int(truncatingIfNeeded: hash ^ (hash >> 32)) & mask }

    /// The number of a key whose hash is known.
    func find(_ key: UnsafeBufferPointer<UInt8>, hash: UInt64) -> Int32? {
        var slot = place(hash)
        while slots[slot] >= 0 {
            let entry = entries[Int(slots[slot])]
            if entry.hash == hash, entry.count == key.count,
                blob.withUnsafeBufferPointer({ own in key.indices.allSatisfy { own[entry.start + $0] == key[$0] } })
            {
                return entry.id
            }
            slot = (slot + 1) & mask
        }
        return nil
    }

    func find(_ key: [UInt8]) -> Int32? {
        key.withUnsafeBufferPointer { find($0, hash: $0.reduce(Self.seed, Self.extend)) }
    }
}
