/// One entry of a zip's central directory.
public struct ZipEntry: Sendable, Hashable {
    /// The name as stored: `/`-separated, of a folder when it ends in `/`. Not yet safe as a path: see `MemberPath`.
    public var name: String
    /// Compression method: 0 stored, 8 deflate.
    public var method: UInt16
    /// General purpose flags.
    public var flags: UInt16
    /// CRC-32 of the uncompressed bytes.
    public var crc32: UInt32
    /// Bytes in the archive.
    public var compressedByteCount: Int
    /// Bytes when read.
    public var byteCount: Int
    /// Where the local header begins in the archive's bytes, whatever was put in front of the archive.
    public var localHeaderOffset: Int
    /// Seconds since 1970; a time without zone is taken as UTC; nil when the archive records none.
    public var modified: Int?
    /// Why the entry cannot be read; nil when nothing in the directory speaks against it.
    public var defect: ZipDefect?

    /// Bytes of the name as stored.
    var nameByteCount: Int
    /// Where the next entry's local header, or the directory, begins: this entry's bytes end before.
    var endLimit: Int

    /// Whether the name is that of a folder.
    public var isFolder: Bool { name.utf8.last == UInt8(ascii: "/") }
}

/// What makes an entry unreadable.
public enum ZipDefect: UInt8, Sendable, Hashable {
    /// Encrypted, by the flags.
    case encrypted
    /// A compression method other than stored and deflate.
    case method
    /// A symbolic link.
    case link
    /// A device, pipe or socket.
    case special
    /// A name that claims to be UTF-8 and is not.
    case name
    /// Bytes outside the archive.
    case outside
    /// Bytes shared with another entry.
    case overlap
    /// Stored, with two different sizes.
    case sizes
    /// Larger than a deflate stream of its length can be.
    case ratio
    /// On another disk of a split archive.
    case disk
}

extension ZipEntry {
    /// The defect in words; nil without one.
    public var defectReason: String? {
        switch defect {
        case nil: nil
        case .encrypted: "encrypted"
        case .method: "compression method \(Self.methodName(method)) is not read, only stored and deflate"
        case .link: "a symbolic link"
        case .special: "a device, pipe or socket"
        case .name: "its name is not UTF-8"
        case .outside:
            "its \(compressedByteCount) bytes at offset \(localHeaderOffset) do not lie before the directory"
        case .overlap: "overlaps another member"
        case .sizes: "stored, but \(compressedByteCount) bytes in the archive for \(byteCount) bytes unpacked"
        case .ratio: "claims to unpack \(compressedByteCount) bytes to \(byteCount), more than deflate can"
        case .disk: "on another part of a split archive"
        }
    }

    static func methodName(_ method: UInt16) -> String {
        let names: [UInt16: String] = [
            1: "shrink", 6: "implode", 9: "deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "xz",
            98: "PPMd", 99: "AES encryption",
        ]
        return names[method].map { "\(method) (\($0))" } ?? "\(method)"
    }
}
