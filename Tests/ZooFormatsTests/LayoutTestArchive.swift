import ZooBase
import ZooFormats

/// An archive in memory: paths and texts, in a given order.
struct LayoutTestArchive: Archive {
    let kind = "memory"
    let members: [ArchiveMember]
    let skipped: [SkippedMember] = []
    private let contents: [String: Bytes]

    init(_ files: [(String, String)]) {
        self.init(bytes: files.map { ($0.0, Array($0.1.utf8)) })
    }

    init(bytes files: [(String, [UInt8])]) {
        members = files.map { ArchiveMember(path: $0.0, byteCount: $0.1.count, placement: nil) }
        contents = Dictionary(files.map { ($0.0, Bytes($0.1)) }, uniquingKeysWith: { $1 })
    }

    /// Members without content: names are all that a layout needs.
    init(paths: [String]) { self.init(paths.map { ($0, "") }) }

    func bytes(of member: ArchiveMember) throws -> Bytes {
        guard let bytes = contents[member.path] else { throw ZooError(.notFound, "\(member.path): not there") }
        return bytes
    }
}
