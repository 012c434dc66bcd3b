import ZooBase

/// One file inside an archive or folder.
public struct ArchiveMember: Sendable, Hashable {
    /// The path inside, `/`-separated, without `.` and `..` and never absolute.
    public var path: String
    /// The uncompressed size, as far as the archive vouches for it.
    public var byteCount: Int
    /// How the bytes lie in the archive's own bytes; nil when only a pass over the archive reaches them.
    public var placement: Placement?
    /// The CRC-32 of the uncompressed bytes when the archive records one.
    public var crc32: UInt32?
    /// Seconds since 1970, as the archive records it (zip: local time, taken as UTC); nil when it does not.
    public var modified: Int?

    /// Where a member's bytes are within the archive's bytes.
    public struct Placement: Sendable, Hashable {
        /// Offset of the first (perhaps compressed) byte.
        public var offset: Int
        /// How many (perhaps compressed) bytes.
        public var byteCount: Int
        /// How they are stored.
        public var encoding: Encoding

        /// Creates a placement.
        public init(offset: Int, byteCount: Int, encoding: Encoding) {
            self.offset = offset
            self.byteCount = byteCount
            self.encoding = encoding
        }
    }

    /// How a member is stored.
    public enum Encoding: String, Sendable, Hashable {
        /// As it is: readable in place.
        case stored
        /// A raw deflate stream (zip method 8).
        case deflate
    }

    /// Creates a member.
    public init(path: String, byteCount: Int, placement: Placement?, crc32: UInt32? = nil, modified: Int? = nil) {
        self.path = path
        self.byteCount = byteCount
        self.placement = placement
        self.crc32 = crc32
        self.modified = modified
    }
}

/// A member that cannot be offered, and why: `../` in its name, a symbolic link, encryption, a duplicate.
public struct SkippedMember: Sendable, Hashable {
    /// The member, as far as its name can be shown.
    public var path: String
    /// One line.
    public var reason: String

    /// Creates a record.
    public init(path: String, reason: String) {
        self.path = path
        self.reason = reason
    }
}

/// A container of files, opened without unpacking it to a folder.
public protocol Archive: Sendable {
    /// `zip`, `tar`, `tar.gz`, `7z`, `folder`.
    var kind: String { get }

    /// Regular files in the order of the container; folders, links and refused names are left out.
    var members: [ArchiveMember] { get }

    /// What was left out, with reasons.
    var skipped: [SkippedMember] { get }

    /// The bytes of a member: a slice where it is stored, else inflated into memory or, when large, into a nameless
    /// temporary file.
    ///
    /// - Throws: `corrupt`, `limit`, `unsupported`, naming the member.
    func bytes(of member: ArchiveMember) throws -> Bytes
}
