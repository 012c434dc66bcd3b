import ZooBase

/// The central directory of a zip, zip64 included.
///
/// Layout read, from the end: end record (`PK\5\6`, 22 bytes and a comment), before it perhaps a zip64 locator
/// (`PK\6\7`, 20 bytes) and a zip64 end record (`PK\6\6`, 56 bytes or more), before these the directory, one
/// `PK\1\2` record of 46 bytes, name, extra fields and comment each. Sizes and CRC come from the directory alone:
/// writers that stream leave them zero in the local header. Data may be put in front of the archive.
///
/// What is wrong with one entry (overlap, encryption, false sizes) is that entry's `defect` and fails when it is read,
/// so that the others stay readable; a directory that contradicts itself throws.
public struct ZipDirectory: Sendable {
    /// The entries, in the order of the directory, folders included.
    public let entries: [ZipEntry]
    /// The archive's bytes.
    public let bytes: Bytes
    /// The archive in messages.
    public let name: String

    /// Parses the directory; local headers are not read.
    ///
    /// - Parameter name: the file or member, for messages.
    /// - Throws: `corrupt` for a truncated archive or a damaged directory, `unsupported` for a split one, `limit` for
    ///   more than `ArchiveLimits.memberCount` entries.
    public init(_ bytes: Bytes, name: String) throws {
        self.bytes = bytes
        self.name = name
        entries = try ZooError.locate(name) {
            try bytes.withUnsafeBytes { buffer in
                let end = try ZipEndRecord(buffer)
                return try ZipDirectoryParser(buffer: buffer, end: end).entries()
            }
        }
    }

    /// Whether the bytes begin like a zip: with a member, or with the end record of an empty archive.
    public static func accepts(_ bytes: Bytes) -> Bool {
        bytes.starts(with: [0x50, 0x4B, 3, 4]) || bytes.starts(with: [0x50, 0x4B, 5, 6])
    }

    /// Where an entry's (perhaps compressed) bytes lie, read from its local header.
    ///
    /// - Throws: `corrupt` when the local header is not there or the bytes run into the next entry, or the entry's
    ///   defect as `unsupported` or `corrupt`.
    public func dataRange(of entry: ZipEntry) throws -> Range<Int> {
        if let reason = entry.defectReason {
            let isForeign = [.encrypted, .method, .link, .special, .disk].contains(entry.defect)
            throw ZooError(isForeign ? .unsupported : .corrupt, "\(name)!/\(entry.name): \(reason)")
        }
        let at = entry.localHeaderOffset
        guard at >= 0, at <= bytes.count - 30, try bytes.littleEndian(UInt32.self, at: at) == 0x0403_4B50 else {
            throw ZooError(.corrupt, "\(name)!/\(entry.name): no local header at offset \(at)")
        }
        let nameLength = Int(try bytes.littleEndian(UInt16.self, at: at + 26))
        let extraLength = Int(try bytes.littleEndian(UInt16.self, at: at + 28))
        let start = at + 30 + nameLength + extraLength
        guard start <= entry.endLimit, entry.compressedByteCount <= entry.endLimit - start else {
            throw ZooError(
                .corrupt,
                "\(name)!/\(entry.name): \(entry.compressedByteCount) bytes at offset \(start) run past the next "
                    + "entry at \(entry.endLimit)")
        }
        return start..<start + entry.compressedByteCount
    }

    /// An entry's bytes: in place when stored, else inflated with its CRC checked.
    ///
    /// - Throws: as `dataRange(of:)` and `Inflate.bytes`.
    public func bytes(of entry: ZipEntry) throws -> Bytes {
        let range = try dataRange(of: entry)
        let packed = try bytes.slice(range.lowerBound, range.count)
        guard entry.method == 8 else { return packed }
        return try Inflate.bytes(
            packed, byteCount: entry.byteCount, crc32: entry.crc32, name: "\(name)!/\(entry.name)")
    }

    /// Positions by name.
    ///
    /// - Throws: `corrupt` when two entries have one name: readers would disagree on which one counts.
    public func indexByName() throws -> [String: Int] {
        var index: [String: Int] = [:]
        index.reserveCapacity(entries.count)
        for (position, entry) in entries.enumerated() where index.updateValue(position, forKey: entry.name) != nil {
            throw ZooError(.corrupt, "\(name): two entries are named \(MemberPath.shown(entry.name))")
        }
        return index
    }
}
