import CArchive
import ZooBase

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// An archive that can only be read from beginning to end: a compressed tar, a 7z.
///
/// Opening it is one pass, which copies the members that matter into a nameless temporary file; they are then slices of
/// its mapping. Members that were not thought to matter are listed too; each costs another pass when it is asked for.
public struct StreamArchive: Archive {
    /// `tar.gz`, `tar.xz`, `tar.bz2`, `tar.zst` or `7z`.
    public let kind: String
    /// The members, in order.
    public let members: [ArchiveMember]
    /// What was left out, with reasons; damage after the first members is recorded here, and they stay readable.
    public let skipped: [SkippedMember]

    private let bytes: Bytes
    private let format: ArchiveFormat
    private let name: String
    private let spooled: Bytes
    private let ranges: [String: Range<Int>]

    /// How many bytes of temporary file the members take.
    public var spooledByteCount: Int { spooled.count }

    /// Unpacks what matters.
    ///
    /// - Parameters:
    ///   - format: `compressed` or `sevenZip`.
    ///   - isInteresting: which paths to copy in this pass.
    /// - Throws: `corrupt` when not even the first member can be read, `limit`, `io` when the disk is full,
    ///   `interrupted`.
    public init(
        _ bytes: Bytes, format: ArchiveFormat, name: String, isInteresting: @escaping (String) -> Bool = { _ in true }
    ) throws {
        self.bytes = bytes
        self.format = format
        self.name = name
        let pass = try ZooError.locate(name) {
            let pass = try StreamPass(packedByteCount: bytes.count, isInteresting: isInteresting)
            try pass.run(bytes, format: format)
            return pass
        }
        kind = Self.kind(format)
        members = pass.collector.members
        skipped = pass.collector.skipped
        ranges = pass.ranges
        spooled = try pass.spool.bytes()
    }

    /// A member's bytes: a slice of the temporary file, or the fruit of another pass.
    public func bytes(of member: ArchiveMember) throws -> Bytes {
        if let range = ranges[member.path] { return try spooled.slice(range.lowerBound, range.count) }
        return try ZooError.locate("\(name)!/\(member.path)") {
            let pass = try StreamPass(packedByteCount: bytes.count) { $0 == member.path }
            try pass.run(bytes, format: format)
            guard let range = pass.ranges[member.path] else {
                throw ZooError(.notFound, "not a member of this archive")
            }
            return try pass.spool.bytes().slice(range.lowerBound, range.count)
        }
    }

    private static func kind(_ format: ArchiveFormat) -> String {
        switch format {
        case .compressed(let compression): "tar.\(compression.rawValue)"
        case .sevenZip: "7z"
        case .tar: "tar"
        case .zip: "zip"
        }
    }

    /// The source of a compressed file's content.
    static func source(_ bytes: Bytes, _ compression: ArchiveFormat.Compression) throws -> any SequentialSource {
        switch compression {
        case .gzip: try GzipSource(bytes)
        case .xz, .bzip2, .zstd: try FilterSource(bytes, compression: compression)
        }
    }

    /// Whether a compressed file's content begins like a tar; damage in its first bytes throws.
    static func holdsTar(_ bytes: Bytes, _ compression: ArchiveFormat.Compression) throws -> Bool {
        let head = try Bytes(byteCount: TarHeader.byteCount) { try source(bytes, compression).read(into: $0) }
        return TarHeader.accepts(head)
    }
}

/// One pass over a stream archive.
private final class StreamPass {
    private(set) var collector = MemberCollector()
    private(set) var ranges: [String: Range<Int>] = [:]
    let spool: SpoolFile
    private let isInteresting: (String) -> Bool
    private let limit: Int
    private let block = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 18, alignment: 64)

    init(packedByteCount: Int, isInteresting: @escaping (String) -> Bool) throws {
        let (ratioLimit, overflow) = packedByteCount.multipliedReportingOverflow(by: ArchiveLimits.ratio)
        limit = min(ArchiveLimits.unpackedByteCount, overflow ? .max : max(ArchiveLimits.ratioFloor, ratioLimit))
        spool = try SpoolFile(limit: limit, label: "the archive")
        self.isInteresting = isInteresting
    }

    deinit { block.deallocate() }

    func run(_ bytes: Bytes, format: ArchiveFormat) throws {
        switch format {
        case .compressed(let compression):
            try walkTar(TarWalker(StreamArchive.source(bytes, compression)))
        case .tar: try walkTar(TarWalker(BytesSource(bytes)))
        case .sevenZip: try walkSevenZip(bytes)
        case .zip: throw ZooError(.internal, "a zip is not read as a stream")
        }
    }

    private func walkTar(_ walker: TarWalker) throws {
        try walkEntries(walker)
        do { try walker.drain(limit: limit) } catch let error as ZooError
            where error.code == .corrupt || error.code == .limit
        {
            if collector.skipped.last?.path != MemberCollector.restOfArchive {
                collector.skip(MemberCollector.restOfArchive, "\(error.message); members before it may be damaged too")
            }
        }
    }

    private func walkEntries(_ walker: TarWalker) throws {
        try collector.walk(walker) { item, path, collector in
            try check(total: item.offset, next: item.byteCount)
            guard isInteresting(path) else {
                try collector.add(
                    ArchiveMember(path: path, byteCount: item.byteCount, placement: nil, modified: item.modified))
                return
            }
            let start = try alignedStart()
            let copied = try walker.copyData(of: item, through: block) { try spool.write($0) }
            guard copied == item.byteCount else {
                collector.skip(path, "truncated: \(copied) of its \(item.byteCount) bytes")
                return
            }
            ranges[path] = start..<start + copied
            try collector.add(ArchiveMember(path: path, byteCount: copied, placement: nil, modified: item.modified))
        }
    }

    private func walkSevenZip(_ bytes: Bytes) throws {
        let locale = UTF8Locale()
        defer { locale.end() }
        let handle = try ArchiveHandle(bytes) { _ = archive_read_support_format_7zip($0) }
        var isFirst = true
        do {
            var total = 0
            while let entry = try handle.nextEntry() {
                try takeSevenZip(entry, of: handle, total: &total)
                isFirst = false
            }
        } catch let error as ZooError where [.corrupt, .limit].contains(error.code) && !isFirst {
            collector.skip(MemberCollector.restOfArchive, error.message)
        }
    }

    private func takeSevenZip(_ entry: OpaquePointer, of handle: ArchiveHandle, total: inout Int) throws {
        let kind = archive_entry_filetype(entry)
        if kind == 0o040000 { return }
        let rawName = archive_entry_pathname_utf8(entry) ?? archive_entry_pathname(entry)
        guard let rawName else {
            try collector.countCheck()
            collector.skip("", "its name cannot be told in UTF-8")
            return
        }
        let name = Array(UnsafeRawBufferPointer(start: rawName, count: strlen(rawName)))
        guard let path = try collector.path(name) else { return }
        let refusal = SevenZipEntry.refusal(entry, kind: kind)
        if let refusal {
            try collector.countCheck()
            collector.skip(path, refusal)
            return
        }
        let declared = Int(archive_entry_size(entry))
        try check(total: total, next: declared)
        let isWanted = isInteresting(path)
        let start = isWanted ? try alignedStart() : 0
        let copied = try copy(handle, keeping: isWanted, total: total)
        total += copied
        guard copied == declared else {
            collector.skip(path, "has \(copied) bytes, not the \(declared) it declares")
            return
        }
        if isWanted { ranges[path] = start..<start + copied }
        let modified = archive_entry_mtime_is_set(entry) != 0 ? Int(archive_entry_mtime(entry)) : nil
        try collector.add(ArchiveMember(path: path, byteCount: copied, placement: nil, modified: modified))
    }

    private func copy(_ handle: ArchiveHandle, keeping: Bool, total: Int) throws -> Int {
        var copied = 0
        while true {
            try Cancellation.check()
            let got = try handle.read(into: block)
            copied += got
            try check(total: total, next: copied)
            if keeping { try spool.write(UnsafeRawBufferPointer(rebasing: block[..<got])) }
            if got < block.count { return copied }
        }
    }

    /// Members begin at multiples of 64 bytes, so that what a writer aligned stays aligned.
    private func alignedStart() throws -> Int {
        let padding = (64 - spool.byteCount % 64) % 64
        try [UInt8](repeating: 0, count: padding).withUnsafeBytes { try spool.write($0) }
        return spool.byteCount
    }

    private func check(total: Int, next: Int) throws {
        guard next >= 0, total <= limit, next <= limit - total else {
            throw ZooError(
                .limit, "unpacks to more than \(limit) bytes",
                hint: "if you trust the file, unpack it yourself and index the folder")
        }
    }
}

private enum SevenZipEntry {
    static func refusal(_ entry: OpaquePointer, kind: mode_t) -> String? {
        if kind == 0o120000 || archive_entry_symlink(entry) != nil { return "a symbolic link" }
        if kind != 0o100000 { return "a device, pipe or socket" }
        if archive_entry_is_encrypted(entry) != 0 { return "encrypted" }
        return archive_entry_size_is_set(entry) == 0 ? "of unknown size" : nil
    }
}

/// A UTF-8 locale for this thread: in the C locale, libarchive loses every name of a 7z that is not ASCII.
private struct UTF8Locale {
    private let locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", nil) ?? newlocale(LC_CTYPE_MASK, "en_US.UTF-8", nil)
    private let previous: locale_t?

    init() { previous = locale.flatMap { uselocale($0) } }

    func end() {
        guard let locale else { return }
        uselocale(previous)
        freelocale(locale)
    }
}
