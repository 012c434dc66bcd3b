import ZooBase
import ZooFormats

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A source on its way into the catalog: its archive, its identity and what the manifest says of it.
struct OpenedSource: Sendable {
    /// Absolute, without symbolic links.
    let path: String
    let archive: any Archive
    let record: SourceRecord
    let zooRecord: ZooRecord
    private let manifest: Manifest?
    private let layoutName: String?

    var zooName: String { zooRecord.name }

    init(_ given: String, _ options: IndexOptions) throws {
        path = try FileStatus.canonicalPath(given)
        let status = try FileStatus(path)
        archive = try Archives.open(path: path)
        if archive is FileArchive { try Self.checkCheckpoint(archive, path) }
        manifest = options.manifest
        layoutName = options.layoutName
        record = SourceRecord(
            path: path, kind: archive.kind,
            byteCount: status.isFolder ? Self.byteCount(archive.members) : status.byteCount,
            modified: status.isFolder ? Self.modified(archive.members) : status.modified,
            manifest: options.manifest?.id)
        zooRecord = ZooRecord(
            name: options.zooName ?? options.manifest?.id ?? Self.stem(of: path),
            architecture: Self.only(options.manifest?.architectures), dataset: Self.only(options.manifest?.datasets),
            licence: options.manifest?.licence,
            citation: options.manifest?.citation.flatMap { $0.text ?? $0.bibtex ?? $0.doi ?? $0.arxiv })
    }

    /// A file that is neither an archive nor a checkpoint is told so at once: it would become a zoo without models.
    private static func checkCheckpoint(_ archive: any Archive, _ path: String) throws {
        guard let member = archive.members.first else { return }
        let bytes = try archive.bytes(of: member)
        guard CheckpointReaders.reader(for: bytes) == nil else { return }
        _ = try CheckpointReaders.open(bytes, name: path)
    }

    /// All files of a folder; tells with the latest change whether files came, went or changed.
    private static func byteCount(_ members: [ArchiveMember]) -> Int {
        members.reduce(0) { $0.addingReportingOverflow($1.byteCount).partialValue }
    }

    /// The latest change of a file of a folder, in nanoseconds since 1970.
    private static func modified(_ members: [ArchiveMember]) -> Int? {
        members.compactMap(\.modified).max().map { $0.multipliedReportingOverflow(by: 1_000_000_000).partialValue }
    }

    /// What all models share: the one element of a list of one.
    private static func only(_ names: [String]?) -> String? { names?.count == 1 ? names?[0] : nil }

    /// The models of the source.
    func listing() throws -> ZooListing {
        let layout: any ZooLayout
        if let layoutName {
            layout = try ZooLayouts.layout(named: layoutName)
        } else if let manifest {
            layout = try manifest.zooLayout()
        } else {
            layout = AutomaticLayout()
        }
        return try layout.listing(of: archive, rootName: Self.stem(of: path))
    }

    /// `digits-cnn` of `/data/digits-cnn.tar.gz`.
    static func stem(of path: String) -> String {
        let name = path.split(separator: "/").last.map(String.init) ?? "zoo"
        for ending in [".zip", ".tar", ".tgz", ".tbz2", ".txz", ".7z", ".tar.gz", ".tar.xz", ".tar.zst", ".tar.bz2"]
            .sorted(by: { $0.count > $1.count })
        where name.count > ending.count && name.lowercased().hasSuffix(ending) {
            return String(name.dropLast(ending.count))
        }
        guard let point = name.lastIndex(of: "."), point != name.startIndex else { return name }
        return String(name[..<point])
    }
}

/// What the file system says of a path.
struct FileStatus {
    var byteCount: Int
    /// Nanoseconds since 1970.
    var modified: Int
    var isFolder: Bool

    /// - Throws: `notFound` or `io`.
    init(_ path: String) throws {
        var status = stat()
        guard stat(path, &status) == 0 else { throw ZooError.system("open \(path)", errno: errno) }
        byteCount = Int(status.st_size)
        isFolder = status.st_mode & S_IFMT == S_IFDIR
        #if canImport(Darwin)
            modified = status.st_mtimespec.tv_sec * 1_000_000_000 + status.st_mtimespec.tv_nsec
        #else
            modified = status.st_mtim.tv_sec * 1_000_000_000 + status.st_mtim.tv_nsec
        #endif
    }

    /// The path from the root, links resolved.
    static func canonicalPath(_ path: String) throws -> String {
        guard let resolved = realpath(path, nil) else { throw ZooError.system("open \(path)", errno: errno) }
        defer { free(resolved) }
        return String(cString: resolved)
    }
}
