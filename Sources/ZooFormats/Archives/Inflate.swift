import CZlib
import ZooBase

/// Raw deflate streams (zip method 8), through zlib.
///
/// The declared size is an upper bound that must be met exactly. Memory is taken for a claim only as far as the
/// packed bytes make it likely (`ArchiveLimits.trustedByteCount`); what is larger grows in a nameless temporary file.
public enum Inflate {
    /// Inflates a whole stream.
    ///
    /// - Parameters:
    ///   - packed: the deflate stream, nothing before or after it.
    ///   - byteCount: the size it must have.
    ///   - crc32: the CRC-32 it must have; nil to go without the check.
    ///   - name: the member, for messages.
    /// - Throws: `corrupt` for damaged data, another size or CRC; `limit` for a size out of all proportion; `io` when
    ///   a temporary file cannot be written.
    public static func bytes(_ packed: Bytes, byteCount: Int, crc32: UInt32?, name: String) throws -> Bytes {
        try ZooError.locate(name) {
            try checkClaim(byteCount, packed: packed.count)
            let inMemory =
                byteCount <= ArchiveLimits.memoryByteCount
                && (byteCount <= ArchiveLimits.trustedByteCount || byteCount / 8 <= packed.count)
            let result: Bytes
            if inMemory {
                result = try Bytes(byteCount: byteCount) { try Inflater().run(packed, into: $0) }
            } else {
                let spool = try SpoolFile(limit: byteCount, label: "a member")
                try Inflater().run(packed) { piece in
                    try Cancellation.check()
                    try spool.write(piece)
                }
                result = try spool.bytes()
            }
            guard result.count == byteCount else {
                throw ZooError(.corrupt, "unpacks to \(result.count) bytes, not the \(byteCount) it declares")
            }
            if let crc32 { try verify(result, crc32: crc32) }
            return result
        }
    }

    /// Compares bytes with a recorded CRC-32.
    ///
    /// - Throws: `corrupt` when they differ.
    public static func verify(_ bytes: Bytes, crc32 expected: UInt32) throws {
        let found = crc32(of: bytes)
        guard found == expected else {
            throw ZooError(
                .corrupt, "CRC-32 is \(hexadecimal(found)), not the recorded \(hexadecimal(expected))",
                hint: "the file is damaged; download it again")
        }
    }

    /// The CRC-32 of bytes.
    public static func crc32(of bytes: Bytes) -> UInt32 { bytes.withUnsafeBytes { crc32(of: $0) } }

    /// The CRC-32 of a buffer, going on from that of the bytes before it.
    static func crc32(of buffer: UnsafeRawBufferPointer, after previous: UInt32 = 0) -> UInt32 {
        guard let base = buffer.bindMemory(to: UInt8.self).baseAddress else { return previous }
        return UInt32(truncatingIfNeeded: crc32_z(UInt(previous), base, buffer.count))
    }

    private static func hexadecimal(_ value: UInt32) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 8 - digits.count) + digits
    }

    private static func checkClaim(_ byteCount: Int, packed: Int) throws {
        let (most, overflow) = packed.multipliedReportingOverflow(by: ArchiveLimits.deflateRatio)
        guard byteCount >= 0, overflow || byteCount <= most else {
            throw ZooError(.corrupt, "claims to unpack \(packed) bytes to \(byteCount), more than deflate can")
        }
        guard byteCount <= ArchiveLimits.ratioFloor || byteCount / ArchiveLimits.ratio <= packed else {
            throw ZooError(
                .limit, "unpacks to \(byteCount) bytes, more than \(ArchiveLimits.ratio) times its packed size",
                hint: "if you trust the file, unpack it yourself and index the folder")
        }
        guard byteCount <= ArchiveLimits.unpackedByteCount else {
            throw ZooError(.limit, "unpacks to \(byteCount) bytes, more than \(ArchiveLimits.unpackedByteCount)")
        }
    }
}

/// One zlib inflate state.
final class Inflater {
    private var stream = z_stream()

    /// - Parameter windowBits: negative for raw deflate, 31 for gzip.
    init(windowBits: Int32 = -15) throws {
        let status = inflateInit2_(&stream, windowBits, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
        guard status == Z_OK else { throw ZooError(.internal, "zlib does not start (\(status))") }
    }

    deinit { inflateEnd(&stream) }

    /// Inflates everything into one block; the stream must end with the input and fit.
    ///
    /// - Returns: how many bytes were written.
    func run(_ packed: Bytes, into target: UnsafeMutableRawBufferPointer) throws -> Int {
        try packed.withUnsafeBytes { input in
            var (consumed, produced) = (0, 0)
            while true {
                let status = step(
                    UnsafeRawBufferPointer(rebasing: input[consumed...]),
                    UnsafeMutableRawBufferPointer(rebasing: target[produced...]), &consumed, &produced)
                if status == Z_STREAM_END { break }
                // Without progress zlib answers Z_BUF_ERROR, so this loop ends.
                if status == Z_OK { continue }
                let isFull = status == Z_BUF_ERROR && produced == target.count && consumed < input.count
                throw isFull ? Self.oversized(target.count) : failure(status)
            }
            try checkEnd(consumed, of: input.count)
            return produced
        }
    }

    /// Inflates piece by piece.
    func run(_ packed: Bytes, sink: (UnsafeRawBufferPointer) throws -> Void) throws {
        let block = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 18, alignment: 64)
        defer { block.deallocate() }
        try packed.withUnsafeBytes { input in
            var consumed = 0
            while true {
                var produced = 0
                let status = step(UnsafeRawBufferPointer(rebasing: input[consumed...]), block, &consumed, &produced)
                if produced > 0 { try sink(UnsafeRawBufferPointer(rebasing: block[..<produced])) }
                if status == Z_STREAM_END { break }
                guard status == Z_OK else { throw failure(status) }
            }
            try checkEnd(consumed, of: input.count)
        }
    }

    /// One call of zlib over as much as its 32-bit counts take.
    func step(
        _ input: UnsafeRawBufferPointer, _ output: UnsafeMutableRawBufferPointer, _ consumed: inout Int,
        _ produced: inout Int
    ) -> Int32 {
        let offered = min(input.count, 1 << 30)
        let room = min(output.count, 1 << 30)
        var spare: UInt8 = 0
        return withUnsafeMutablePointer(to: &spare) { spare in
            stream.next_in = input.bindMemory(to: UInt8.self).baseAddress.map(UnsafeMutablePointer.init(mutating:))
            stream.avail_in = UInt32(offered)
            stream.next_out = output.bindMemory(to: UInt8.self).baseAddress ?? spare
            stream.avail_out = UInt32(room)
            let status = inflate(&stream, Z_NO_FLUSH)
            consumed += offered - Int(stream.avail_in)
            produced += room - Int(stream.avail_out)
            return status
        }
    }

    /// Makes the state ready for another stream of the same kind.
    func restart() { inflateReset(&stream) }

    /// The error for a status other than success.
    func failure(_ status: Int32) -> ZooError {
        let text = stream.msg.map { String(cString: $0) }
        return ZooError(.corrupt, "damaged deflate data: \(text ?? "it ends too early")")
    }

    private func checkEnd(_ consumed: Int, of count: Int) throws {
        guard consumed == count else {
            throw ZooError(.corrupt, "its deflate data end after \(consumed) of \(count) bytes")
        }
    }

    private static func oversized(_ byteCount: Int) -> ZooError {
        ZooError(.corrupt, "unpacks to more than the \(byteCount) bytes it declares")
    }
}
