import ZooBase

/// An uncompressed tar, opened in place: the walk reads headers only, every member is a slice.
public struct TarArchive: Archive {
    /// `tar`.
    public var kind: String { "tar" }
    /// The members, in order.
    public let members: [ArchiveMember]
    /// What was left out, with reasons; damage after the first members is recorded here, and they stay readable.
    public let skipped: [SkippedMember]

    private let bytes: Bytes
    private let name: String

    /// Walks the headers.
    ///
    /// - Throws: `corrupt` when the first header is damaged, `limit` for more members or longer headers than allowed.
    public init(_ bytes: Bytes, name: String) throws {
        self.bytes = bytes
        self.name = name
        var collector = MemberCollector()
        try ZooError.locate(name) {
            guard bytes.count >= TarHeader.byteCount else {
                throw ZooError(.corrupt, bytes.count == 0 ? "empty file, not a tar archive" : "not a tar archive")
            }
            try collector.walk(TarWalker(BytesSource(bytes))) { item, path, collector in
                guard item.byteCount <= bytes.count - item.offset else {
                    collector.skip(path, "truncated: \(bytes.count - item.offset) of its \(item.byteCount) bytes")
                    return
                }
                try collector.add(
                    ArchiveMember(
                        path: path, byteCount: item.byteCount,
                        placement: ArchiveMember.Placement(
                            offset: item.offset, byteCount: item.byteCount, encoding: .stored),
                        modified: item.modified))
            }
        }
        members = collector.members
        skipped = collector.skipped
    }

    /// A member's bytes, in place.
    public func bytes(of member: ArchiveMember) throws -> Bytes {
        try PlacedMember.bytes(of: member, in: bytes, name: name)
    }
}

extension MemberCollector {
    /// Where messages put what concerns the rest of an archive.
    static let restOfArchive = "(rest of the archive)"

    /// Goes through a tar; regular files with acceptable names go to `body`, the rest is skipped with a reason.
    ///
    /// Damage, or a limit reached, after the first entry ends the walk and is recorded; what came before stays.
    mutating func walk(
        _ walker: TarWalker, _ body: (TarItem, String, inout MemberCollector) throws -> Void
    ) throws {
        var isFirst = true
        do {
            while let item = try walker.next() {
                isFirst = false
                if item.kind == .folder { continue }
                guard let path = try path(item.name) else { continue }
                if let reason = item.kind.refusal {
                    try countCheck()
                    skip(path, reason)
                    continue
                }
                try body(item, path, &self)
            }
            if let problem = walker.endProblem { skip(Self.restOfArchive, problem) }
        } catch let error as ZooError where [.corrupt, .limit].contains(error.code) && !isFirst {
            skip(Self.restOfArchive, error.message)
        }
    }
}
