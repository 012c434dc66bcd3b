import CArchive
import CZlib
import ZooBase

/// Bytes that come one after the other.
protocol SequentialSource: AnyObject {
    /// Fills the buffer; less only at the end.
    ///
    /// - Returns: how many bytes were read.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int

    /// Passes over bytes; fewer only at the end.
    ///
    /// - Returns: how many bytes were passed.
    func skip(_ count: Int) throws -> Int
}

extension SequentialSource {
    func skip(_ count: Int) throws -> Int {
        let block = UnsafeMutableRawBufferPointer.allocate(byteCount: min(max(count, 1), 1 << 18), alignment: 64)
        defer { block.deallocate() }
        var passed = 0
        while passed < count {
            let wanted = min(block.count, count - passed)
            let got = try read(into: UnsafeMutableRawBufferPointer(rebasing: block[..<wanted]))
            passed += got
            if got < wanted { break }
        }
        return passed
    }
}

/// Bytes in memory or mapped.
final class BytesSource: SequentialSource {
    private let bytes: Bytes
    private var position = 0

    init(_ bytes: Bytes) { self.bytes = bytes }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let count = min(buffer.count, bytes.count - position)
        bytes.withUnsafeBytes {
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[position..<position + count]))
        }
        position += count
        return count
    }

    func skip(_ count: Int) throws -> Int {
        let passed = min(count, bytes.count - position)
        position += passed
        return passed
    }
}

/// Lets go of the pages of a mapped file behind a reader that moves through it once.
struct PageTrail {
    private let bytes: Bytes
    private var released = 0
    private static let stride = 32 << 20

    init(_ bytes: Bytes) { self.bytes = bytes }

    mutating func advance(to position: Int) {
        guard position - released >= Self.stride, let part = try? bytes.slice(released, position - released) else {
            return
        }
        part.releasePages()
        released = position
    }
}

/// A gzip file, through zlib, which checks the CRC and length at the end of each part.
final class GzipSource: SequentialSource {
    private let bytes: Bytes
    private let inflater: Inflater
    private var trail: PageTrail
    private var consumed = 0
    private var isDone = false

    init(_ bytes: Bytes) throws {
        self.bytes = bytes
        trail = PageTrail(bytes)
        inflater = try Inflater(windowBits: 31)
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        var produced = 0
        try bytes.withUnsafeBytes { input in
            while produced < buffer.count, !isDone {
                let status = inflater.step(
                    UnsafeRawBufferPointer(rebasing: input[consumed...]),
                    UnsafeMutableRawBufferPointer(rebasing: buffer[produced...]), &consumed, &produced)
                if status == Z_STREAM_END {
                    nextPart(input)
                } else if status != Z_OK {
                    throw status == Z_BUF_ERROR
                        ? ZooError(.corrupt, "truncated: the gzip data end too early", hint: "download it again")
                        : inflater.failure(status)
                }
            }
        }
        trail.advance(to: consumed)
        return produced
    }

    /// Parts may follow each other; anything else behind the last one is padding, as for gzip itself.
    private func nextPart(_ input: UnsafeRawBufferPointer) {
        if input.count - consumed >= 2, input[consumed] == 0x1F, input[consumed + 1] == 0x8B {
            inflater.restart()
        } else {
            isDone = true
        }
    }
}

/// A file compressed with xz, bzip2 or Zstandard, through libarchive, with nothing enabled but that one filter.
final class FilterSource: SequentialSource {
    private let handle: ArchiveHandle
    private var trail: PageTrail

    init(_ bytes: Bytes, compression: ArchiveFormat.Compression) throws {
        trail = PageTrail(bytes)
        handle = try ArchiveHandle(bytes) { archive in
            archive_read_support_format_raw(archive)
            switch compression {
            case .xz: archive_read_support_filter_xz(archive)
            case .bzip2: archive_read_support_filter_bzip2(archive)
            case .zstd: archive_read_support_filter_zstd(archive)
            case .gzip: archive_read_support_filter_gzip(archive)
            }
        }
        guard try handle.nextEntry() != nil else { throw ZooError(.corrupt, "no compressed data") }
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let count = try handle.read(into: buffer)
        trail.advance(to: handle.consumedByteCount)
        return count
    }
}

/// A libarchive reader over bytes.
final class ArchiveHandle {
    private let archive: OpaquePointer
    // Keeps the memory alive that libarchive looks at.
    private let bytes: Bytes

    /// - Parameter enable: switches on formats and filters, the only ones that will be tried.
    init(_ bytes: Bytes, enable: (OpaquePointer) -> Void) throws {
        guard let archive = archive_read_new() else { throw ZooError(.internal, "libarchive does not start") }
        self.archive = archive
        self.bytes = bytes
        enable(archive)
        let status = bytes.withUnsafeBytes { archive_read_open_memory(archive, $0.baseAddress, $0.count) }
        guard status == ARCHIVE_OK else { throw failure() }
    }

    deinit { archive_read_free(archive) }

    /// Compressed bytes taken so far.
    var consumedByteCount: Int { Int(archive_filter_bytes(archive, -1)) }

    /// The next entry; nil at the end. Valid until the next call.
    func nextEntry() throws -> OpaquePointer? {
        var entry: OpaquePointer?
        while true {
            switch archive_read_next_header(archive, &entry) {
            case ARCHIVE_OK, ARCHIVE_WARN: return entry
            case ARCHIVE_EOF: return nil
            case ARCHIVE_RETRY: try Cancellation.check()
            default: throw failure()
            }
        }
    }

    /// Fills the buffer from the current entry; less only at its end.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        var filled = 0
        while filled < buffer.count {
            let got = archive_read_data(archive, buffer.baseAddress.map { $0 + filled }, buffer.count - filled)
            if got == Int(ARCHIVE_RETRY) { continue }
            guard got >= 0 else { throw failure() }
            if got == 0 { break }
            filled += got
        }
        return filled
    }

    private func failure() -> ZooError {
        let text = archive_error_string(archive).map { String(cString: $0) } ?? "unknown error"
        return ZooError(.corrupt, "damaged or truncated: \(text)", hint: "download it again")
    }
}
