extension Samples {
    /// 64 bits that tell these samples from others, in hexadecimal: FNV-1a over count, shape, labels and inputs. It
    /// recognises equal data and is no protection against made-up ones.
    public var fingerprint: String {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        func mix(_ word: UInt64) { hash = (hash ^ word) &* 0x100_0000_01B3 }
        mix(UInt64(count))
        for extent in inputShape { mix(UInt64(extent)) }
        for label in labels { mix(UInt64(UInt32(bitPattern: label))) }
        for value in inputs { mix(UInt64(value.bitPattern)) }
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
