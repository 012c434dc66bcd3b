/// Parquet's RLE/bit-packing hybrid, used for definition levels and dictionary indices.
///
/// A run is a varint header and its content: an even header is `count << 1` and one value in whole bytes; an odd one
/// is `groups << 1 | 1` and `groups × 8` values packed at `bitWidth` bits, least significant first.
package enum LevelEncoder {
    /// A repeat of this many equal values is cheaper as a run than packed.
    private static let shortestRun = 8

    /// Bits needed for values up to `maximum`.
    package static func bitWidth(maximum: Int) -> Int { Int.bitWidth - max(0, maximum).leadingZeroBitCount }

    /// Encodes values below `1 << bitWidth`.
    package static func encode(_ values: [UInt32], bitWidth: Int) -> [UInt8] {
        var output: [UInt8] = []
        var packedStart = 0
        var position = 0
        while position < values.count {
            var end = position + 1
            while end < values.count, values[end] == values[position] { end += 1 }
            // Packed groups hold exactly eight values, so values before a run are filled up from the run's start.
            let missing = (8 - (position - packedStart) % 8) % 8
            if end - position >= Self.shortestRun + missing {
                let runStart = position + missing
                pack(values[packedStart..<runStart], bitWidth, into: &output)
                output.appendVarint(UInt64(end - runStart) << 1)
                for byte in 0..<(bitWidth + 7) / 8 {
                    output.append(UInt8(truncatingIfNeeded: values[position] >> UInt32(8 * byte)))
                }
                packedStart = end
            }
            position = end
        }
        pack(values[packedStart...], bitWidth, into: &output)
        return output
    }

    private static func pack(_ values: ArraySlice<UInt32>, _ bitWidth: Int, into output: inout [UInt8]) {
        guard !values.isEmpty else { return }
        let groups = (values.count + 7) / 8
        output.appendVarint(UInt64(groups) << 1 | 1)
        var pending: UInt64 = 0
        var pendingBits = 0
        func emit(_ value: UInt32, _ output: inout [UInt8]) {
            pending |= UInt64(value) << UInt64(pendingBits)
            pendingBits += bitWidth
            while pendingBits >= 8 {
                output.append(UInt8(truncatingIfNeeded: pending))
                pending >>= 8
                pendingBits -= 8
            }
        }
        for value in values { emit(value, &output) }
        for _ in values.count..<groups * 8 { emit(0, &output) }
    }
}
