import ZooBase

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Random numbers that are a function of a key and a counter (the finaliser of SplitMix64, Steele et al., OOPSLA 2014):
/// the n-th number is known without those before it, so nothing depends on threads or on where a run was interrupted.
package struct CounterGenerator: RandomNumberGenerator, Sendable {
    private let key: UInt64
    private var counter: UInt64 = 0

    /// A stream for one purpose: `("order", epoch)`, `("init", tensor)`.
    package init(_ seed: TrainingSeed, _ purpose: String, _ numbers: Int...) {
        var key = Self.mix(seed.base ^ 0x5A6F_6F54_7261_696E)
        key = Self.mix(key ^ UInt64(bitPattern: Int64(seed.trial)))
        for byte in purpose.utf8 { key = Self.mix(key ^ UInt64(byte)) }
        for number in numbers { key = Self.mix(key ^ UInt64(bitPattern: Int64(number))) }
        self.key = key
    }

    private static func mix(_ value: UInt64) -> UInt64 {
        var z = value &+ 0x9E37_79B9_7F4A_7C15
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// The next 64 bits.
    package mutating func next() -> UInt64 {
        defer { counter &+= 1 }
        return Self.mix(key &+ counter &* 0x9E37_79B9_7F4A_7C15)
    }

    /// Uniform in [0, 1), 53 bits.
    package mutating func uniform() -> Double { Double(next() >> 11) * 0x1p-53 }

    /// Uniform in [0, limit).
    package mutating func below(_ limit: Int) -> Int { Int(next().multipliedFullWidth(by: UInt64(limit)).high) }

    /// Standard normal (Box and Muller), two uniforms each.
    package mutating func normal() -> Double {
        let radius = (-2 * log(1 - uniform())).squareRoot()
        return radius * cos(2 * .pi * uniform())
    }

    /// The numbers below `count` in random order (Fisher and Yates).
    package mutating func permutation(_ count: Int) -> [Int] {
        var order = Array(0..<count)
        for place in stride(from: count - 1, to: 0, by: -1) { order.swapAt(place, below(place + 1)) }
        return order
    }
}

/// What all randomness of a trial comes from: the command's seed and the trial's own.
package struct TrainingSeed: Sendable, Hashable {
    /// `--seed`.
    package var base: UInt64
    /// The trial's `seed`.
    package var trial: Int

    package init(base: UInt64 = 0, trial: Int) {
        self.base = base
        self.trial = trial
    }
}
