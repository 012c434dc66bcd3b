import ZooBase

/// A single file that is no archive of files (a checkpoint), as an archive of one member.
public struct FileArchive: Archive {
    /// `file`.
    public var kind: String { "file" }
    /// The file.
    public let members: [ArchiveMember]
    /// Nothing.
    public var skipped: [SkippedMember] { [] }

    private let bytes: Bytes

    /// Wraps a file.
    ///
    /// - Parameter name: its path, of which the last component becomes the member's.
    public init(_ bytes: Bytes, name: String, modified: Int? = nil) {
        self.bytes = bytes
        let last = name.split(separator: "/").last.map(String.init) ?? name
        members = [
            ArchiveMember(
                path: last, byteCount: bytes.count,
                placement: ArchiveMember.Placement(offset: 0, byteCount: bytes.count, encoding: .stored),
                modified: modified)
        ]
    }

    /// The file's bytes.
    public func bytes(of member: ArchiveMember) throws -> Bytes { bytes }
}
