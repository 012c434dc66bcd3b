import ZooBase

/// A zip opened in place. Listing reads the directory and, only where it leaves a doubt about where data begin, the
/// local header; stored members are slices, deflated ones inflate when asked for.
public struct ZipArchive: Archive {
    /// `zip`.
    public var kind: String { "zip" }
    /// The members, in the order of the directory.
    public let members: [ArchiveMember]
    /// What was left out, with reasons.
    public let skipped: [SkippedMember]

    private let bytes: Bytes
    private let name: String

    /// Opens a zip.
    ///
    /// - Throws: as `ZipDirectory`.
    public init(_ bytes: Bytes, name: String) throws {
        try self.init(ZipDirectory(bytes, name: name))
    }

    /// Opens a zip whose directory was read already.
    public init(_ directory: ZipDirectory) throws {
        bytes = directory.bytes
        name = directory.name
        var collector = MemberCollector()
        try ZooError.locate(directory.name) {
            for entry in directory.entries where !entry.isFolder {
                try Self.add(entry, of: directory, to: &collector)
            }
        }
        members = collector.members
        skipped = collector.skipped
    }

    private static func add(
        _ entry: ZipEntry, of directory: ZipDirectory, to collector: inout MemberCollector
    ) throws {
        if let reason = entry.defectReason {
            try collector.countCheck()
            collector.skip(entry.name, reason)
            return
        }
        guard let path = try collector.path(entry.name) else { return }
        do {
            let offset = try entry.certainDataOffset ?? directory.dataRange(of: entry).lowerBound
            try collector.add(
                ArchiveMember(
                    path: path, byteCount: entry.byteCount,
                    placement: ArchiveMember.Placement(
                        offset: offset, byteCount: entry.compressedByteCount,
                        encoding: entry.method == 8 ? .deflate : .stored),
                    crc32: entry.crc32, modified: entry.modified))
        } catch let error as ZooError where error.code == .corrupt {
            collector.skip(path, error.message)
        }
    }

    /// A member's bytes: a slice when stored, else inflated and its CRC checked.
    public func bytes(of member: ArchiveMember) throws -> Bytes {
        try PlacedMember.bytes(of: member, in: bytes, name: name)
    }
}

extension ZipEntry {
    /// Where the data begin, when the room up to the next entry leaves no choice: saves touching a page of the file
    /// for every member of archives whose headers carry no extra fields.
    var certainDataOffset: Int? {
        let offset = localHeaderOffset + 30 + nameByteCount
        return offset + compressedByteCount == endLimit ? offset : nil
    }
}

/// Members that lie in an archive's bytes.
enum PlacedMember {
    /// The member's bytes out of the archive's.
    static func bytes(of member: ArchiveMember, in bytes: Bytes, name: String) throws -> Bytes {
        guard let placement = member.placement else {
            throw ZooError(.notFound, "\(name)!/\(member.path): not a member of this archive")
        }
        let packed = try ZooError.locate("\(name)!/\(member.path)") {
            try bytes.slice(placement.offset, placement.byteCount)
        }
        guard placement.encoding == .deflate else { return packed }
        return try Inflate.bytes(
            packed, byteCount: member.byteCount, crc32: member.crc32, name: "\(name)!/\(member.path)")
    }
}

extension Archive {
    /// Reads a member whole and compares its size and, where the archive records one, its CRC-32.
    ///
    /// - Throws: `corrupt` when they differ, and what `bytes(of:)` throws.
    public func verify(_ member: ArchiveMember) throws {
        let bytes = try bytes(of: member)
        try ZooError.locate(member.path) {
            guard bytes.count == member.byteCount else {
                throw ZooError(.corrupt, "has \(bytes.count) bytes, not the recorded \(member.byteCount)")
            }
            if let crc32 = member.crc32 { try Inflate.verify(bytes, crc32: crc32) }
        }
    }
}
