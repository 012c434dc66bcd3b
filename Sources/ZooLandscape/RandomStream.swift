/// A sequence of random bits that a seed and what it is for determine, so that results do not depend on what else is
/// computed, in which order, or on how many threads: SplitMix64 from a hash of the words.
struct RandomStream: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64, _ words: String...) {
        // FNV-1a, with a separator between the words.
        var hash = seed ^ 0xCBF2_9CE4_8422_2325
        for word in words {
            for byte in word.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
            hash = (hash ^ 0x1F) &* 0x100_0000_01B3
        }
        state = hash
    }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }

    /// ±1, one bit each.
    mutating func rademacher(_ count: Int) -> [Double] {
        var bits: UInt64 = 0
        return (0..<count).map { place in
            if place % 64 == 0 { bits = next() }
            defer { bits >>= 1 }
            return bits & 1 == 1 ? 1 : -1
        }
    }

    /// Standard normal numbers (Marsaglia's polar method).
    mutating func normal(_ count: Int) -> [Double] {
        var values: [Double] = []
        values.reserveCapacity(count + 1)
        while values.count < count {
            let x = Double.random(in: -1..<1, using: &self), y = Double.random(in: -1..<1, using: &self)
            let square = x * x + y * y
            guard square > 0, square < 1 else { continue }
            let factor = (-2 * NaturalLogarithm.of(square) / square).squareRoot()
            values.append(x * factor)
            values.append(y * factor)
        }
        return Array(values.prefix(count))
    }
}
