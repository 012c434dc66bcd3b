import ZooBase

/// SHA-256 (FIPS 180-4), so that tests compare tensors with digests that a peer wrote.
enum PyTorchDigest {
    static func sha256(_ bytes: Bytes) -> String {
        var message = bytes.array
        let bitCount = UInt64(message.count) * 8
        message.append(0x80)
        while message.count % 64 != 56 { message.append(0) }
        for shift in stride(from: 56, through: 0, by: -8) {
            message.append(UInt8(truncatingIfNeeded: bitCount >> UInt64(shift)))
        }
        var state: [UInt32] = [
            0x6A09_E667, 0xBB67_AE85, 0x3C6E_F372, 0xA54F_F53A, 0x510E_527F, 0x9B05_688C, 0x1F83_D9AB, 0x5BE0_CD19,
        ]
        for start in stride(from: 0, to: message.count, by: 64) { compress(&state, message[start..<start + 64]) }
        return state.map { word in
            let text = String(word, radix: 16)
            return String(repeating: "0", count: 8 - text.count) + text
        }.joined()
    }

    private static func compress(_ state: inout [UInt32], _ block: ArraySlice<UInt8>) {
        var words = [UInt32](repeating: 0, count: 64)
        for (index, byte) in block.enumerated() { words[index / 4] = words[index / 4] << 8 | UInt32(byte) }
        for index in 16..<64 {
            let a = words[index - 15], b = words[index - 2]
            let low = rotate(a, 7) ^ rotate(a, 18) ^ a >> 3
            let high = rotate(b, 17) ^ rotate(b, 19) ^ b >> 10
            words[index] = words[index - 16] &+ low &+ words[index - 7] &+ high
        }
        var v = state
        for index in 0..<64 {
            let e = v[4], a = v[0]
            let first = v[7] &+ (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) &+ (e & v[5] ^ ~e & v[6])
            let mixed = first &+ constants[index] &+ words[index]
            let majority = a & v[1] ^ a & v[2] ^ v[1] & v[2]
            let second = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) &+ majority
            v = [mixed &+ second, a, v[1], v[2], v[3] &+ mixed, e, v[5], v[6]]
        }
        for index in 0..<8 { state[index] &+= v[index] }
    }

    private static func rotate(_ value: UInt32, _ count: UInt32) -> UInt32 { value >> count | value << (32 - count) }

    /// The fractional bits of the cube roots of the first 64 primes.
    private static let constants: [UInt32] = {
        var primes: [Int] = []
        var candidate = 2
        while primes.count < 64 {
            if !primes.contains(where: { candidate % $0 == 0 }) { primes.append(candidate) }
            candidate += 1
        }
        return primes.map { prime in
            // The largest r with r³ <= prime · 2^96, whose lower 32 bits are wanted.
            var low: UInt64 = 0, high: UInt64 = 1 << 36
            while high - low > 1 {
                let middle = (low + high) / 2
                if cubeIsAtMost(middle, prime) { low = middle } else { high = middle }
            }
            return UInt32(truncatingIfNeeded: low)
        }
    }()

    private static func cubeIsAtMost(_ root: UInt64, _ prime: Int) -> Bool {
        let square = root.multipliedFullWidth(by: root)
        let lowPart = square.low.multipliedFullWidth(by: root)
        let highPart = square.high.multipliedFullWidth(by: root)
        let (middle, carry) = lowPart.high.addingReportingOverflow(highPart.low)
        let top = highPart.high + (carry ? 1 : 0)
        let limitHigh = UInt64(prime) << 32
        return top == 0 && (middle < limitHigh || middle == limitHigh && lowPart.low == 0)
    }
}
