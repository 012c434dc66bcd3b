import CZlib
import ZooBase

/// Compression through zlib, whole blocks at a time.
enum Deflate {
    /// The frame around the deflate stream.
    enum Frame: Int32 {
        /// RFC 1950, as PNG wants it.
        case zlib = 15
        /// RFC 1952, as Parquet wants it.
        case gzip = 31
    }

    /// - Throws: `internal` when zlib refuses, which only lack of memory makes it do.
    static func compress(_ bytes: [UInt8], frame: Frame, level: Int32) throws -> [UInt8] {
        var stream = z_stream()
        let started = deflateInit2_(
            &stream, level, Z_DEFLATED, frame.rawValue, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
            Int32(MemoryLayout<z_stream>.size))
        guard started == Z_OK else { throw ZooError(.internal, "zlib: cannot start compression, code \(started)") }
        defer { deflateEnd(&stream) }
        let bound = Int(deflateBound(&stream, UInt(bytes.count)))
        guard bytes.count <= Int(UInt32.max), bound <= Int(UInt32.max) else {
            throw ZooError(.limit, "compresses at most 4 GiB at a time, got \(bytes.count) bytes")
        }
        let output = try [UInt8](unsafeUninitializedCapacity: bound) { target, count in
            let status = bytes.withUnsafeBytes { source in
                // zlib's interface lacks `const`; it reads only.
                stream.next_in = UnsafeMutablePointer(mutating: source.bindMemory(to: UInt8.self).baseAddress)
                stream.avail_in = UInt32(source.count)
                stream.next_out = target.baseAddress
                stream.avail_out = UInt32(bound)
                return deflate(&stream, Z_FINISH)
            }
            guard status == Z_STREAM_END else {
                throw ZooError(.internal, "zlib: compression ended with code \(status)")
            }
            count = bound - Int(stream.avail_out)
        }
        return output
    }
}
