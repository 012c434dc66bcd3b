/// SplitMix64, the one generator of everything random that a seed must fix for ever: shuffles, subsets, splits.
///
/// The sequence is defined by the code below and not by the platform: state starts at the seed, grows by
/// 0x9E3779B97F4A7C15 a draw, and is mixed by two multiply-xorshift rounds (Steele, Lea and Flood, "Fast splittable
/// pseudorandom number generators", OOPSLA 2014, as published in `splitmix64.c`). Seed 0 begins with
/// 0xE220A8397B1DCDAF. What the standard library derives from a generator (`shuffle(using:)`) may change with its
/// version; `below(_:)` and `permutation(_:)` here may not.
public struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64

    /// Starts a sequence.
    public init(seed: UInt64) { state = seed }

    /// The next 64 bits.
    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }

    /// A whole number from 0 to `bound - 1`, all equally likely: the high half of draw × bound, draws whose low half
    /// lies under 2^64 mod bound thrown away (Lemire, 2019). Precondition: `bound > 0`.
    public mutating func below(_ bound: Int) -> Int {
        precondition(bound > 0)
        let wide = UInt64(bound)
        let threshold = (0 &- wide) % wide
        while true {
            let product = next().multipliedFullWidth(by: wide)
            if product.low >= threshold { return Int(product.high) }
        }
    }

    /// The numbers 0 to `count - 1` in random order: Fisher and Yates' shuffle from the end, `below(i + 1)` for the
    /// partner of place `i`.
    public mutating func permutation(_ count: Int) -> [Int] {
        var order = Array(0..<max(0, count))
        shuffle(&order)
        return order
    }

    /// Puts elements in random order, as `permutation` does.
    public mutating func shuffle<T>(_ elements: inout [T]) {
        for place in stride(from: elements.count - 1, to: 0, by: -1) { elements.swapAt(place, below(place + 1)) }
    }
}
