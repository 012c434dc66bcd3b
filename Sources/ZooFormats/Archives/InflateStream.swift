import ZooBase

extension Inflate {
    /// The frame around a deflate stream that does not say beforehand how long it becomes.
    public enum Frame: Sendable {
        /// RFC 1950, as in MATLAB files.
        case zlib
        /// RFC 1952; several members one after the other count as one.
        case gzip

        var windowBits: Int32 { self == .gzip ? 31 : 15 }
    }

    /// Unpacks a stream of unknown length, which grows in a nameless temporary file; its check sum is verified.
    ///
    /// - Parameters:
    ///   - limit: the most bytes it may become, beside the limits on all archives.
    ///   - name: for messages.
    /// - Throws: `corrupt` for damaged data; `limit` for one that grows out of all proportion.
    public static func stream(_ packed: Bytes, frame: Frame, limit: Int = .max, name: String) throws -> Bytes {
        try ZooError.locate(name) {
            let (proportion, overflow) = packed.count.multipliedReportingOverflow(by: ArchiveLimits.ratio)
            let most = min(
                limit, ArchiveLimits.unpackedByteCount,
                max(overflow ? .max : proportion, ArchiveLimits.ratioFloor))
            let inflater = try Inflater(windowBits: frame.windowBits)
            let spool = try SpoolFile(limit: most, label: "the stream")
            let block = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 18, alignment: 64)
            defer { block.deallocate() }
            try packed.withUnsafeBytes { input in
                var consumed = 0
                while consumed < input.count || consumed == 0 {
                    try Cancellation.check()
                    var produced = 0
                    let rest = UnsafeRawBufferPointer(rebasing: input[consumed...])
                    let status = inflater.step(rest, block, &consumed, &produced)
                    if produced > 0 { try spool.write(UnsafeRawBufferPointer(rebasing: block[..<produced])) }
                    // Z_OK is 0 and Z_STREAM_END is 1.
                    if status == 1 {
                        guard frame == .gzip, consumed + 2 < input.count, input[consumed] == 0x1F,
                            input[consumed + 1] == 0x8B
                        else { return }
                        inflater.restart()
                    } else if status != 0 {
                        throw inflater.failure(status)
                    }
                }
                // The input may end while output is still to come.
                while true {
                    var produced = 0
                    let nothing = UnsafeRawBufferPointer(rebasing: input[input.count...])
                    let status = inflater.step(nothing, block, &consumed, &produced)
                    if produced > 0 { try spool.write(UnsafeRawBufferPointer(rebasing: block[..<produced])) }
                    if status == 1 { return }
                    guard status == 0 else { throw inflater.failure(status) }
                }
            }
            return try spool.bytes()
        }
    }
}
