import ZooBase
import ZooFormats

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Where data lie: one file, or a folder of files on disk or in an archive. Readers look at places, never at paths.
public enum DataPlace: Sendable {
    /// The bytes of a file, unpacked when it was gzipped.
    case file(DataFile)
    /// Files below a folder.
    case folder(DataFolder)

    /// Opens a path: a file, a folder, an archive, or a member (`a.zip!/b.npz`).
    ///
    /// Archives of files (zip, tar, tar.gz, 7z) are folders; a zip that is one file of its format (npz, PyTorch, Keras)
    /// is a file.
    ///
    /// - Throws: `notFound` or `io`; `corrupt` or `limit` for an archive that cannot be listed.
    public static func open(_ path: String) throws -> DataPlace {
        if isFolder(path) {
            return .folder(DataFolder(try FolderArchive(path: path), name: path))
        }
        let bytes = try Archives.resolve(path).bytes
        return try place(bytes, name: path)
    }

    private static func isFolder(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    private static func place(_ bytes: Bytes, name: String) throws -> DataPlace {
        if case .compressed(.gzip)? = ArchiveFormat(bytes) {
            let inner = try Inflate.stream(bytes, frame: .gzip, name: name)
            return try archiveOrFile(inner, name: name.hasSuffix(".gz") ? String(name.dropLast(3)) : name)
        }
        return try archiveOrFile(bytes, name: name)
    }

    private static func archiveOrFile(_ bytes: Bytes, name: String) throws -> DataPlace {
        var options = ArchiveOptions()
        options.opensNested = false
        guard ArchiveFormat(bytes) != nil else { return .file(DataFile(name: name, bytes: bytes)) }
        let archive = try Archives.open(bytes, name: name, options: options)
        return archive is FileArchive
            ? .file(DataFile(name: name, bytes: bytes)) : .folder(DataFolder(archive, name: name))
    }

    /// The path as it was given, without `.gz`.
    public var name: String {
        switch self {
        case .file(let file): file.name
        case .folder(let folder): folder.name
        }
    }
}

/// One file with data.
public struct DataFile: Sendable {
    /// Its path, for messages and for the split it may name.
    public var name: String
    /// Its bytes.
    public var bytes: Bytes

    /// Creates a file.
    public init(name: String, bytes: Bytes) {
        self.name = name
        self.bytes = bytes
    }

    /// The last component of the path, in small letters.
    var baseName: String { DataFolder.last(name).lowercased() }

    /// The split that the file's name begins with (`train_32x32.mat`, `t10k-images…`, `test.csv`); nil for others.
    var splitName: String? { SplitName.of(baseName) }
}

/// Files below a folder, in the order of their paths.
public struct DataFolder: Sendable {
    /// The folder's path.
    public let name: String
    /// The paths inside, in order.
    public let paths: [String]

    private let archive: any Archive
    private let members: [String: ArchiveMember]

    /// Takes an archive's files.
    init(_ archive: any Archive, name: String) {
        self.name = name
        self.archive = archive
        members = Dictionary(archive.members.map { ($0.path, $0) }) { first, _ in first }
        paths = members.keys.sorted { Array($0.utf8).lexicographicallyPrecedes(Array($1.utf8)) }
    }

    /// The last component of a path.
    static func last(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }

    /// A file, unpacked when it is gzipped.
    ///
    /// - Throws: as the archive does; `notFound`.
    func file(_ path: String) throws -> DataFile {
        guard let member = members[path] else { throw ZooError(.notFound, "\(name): no file '\(path)'") }
        let place = "\(name)/\(path)"
        let bytes = try archive.bytes(of: member)
        guard case .compressed(.gzip)? = ArchiveFormat(bytes) else { return DataFile(name: place, bytes: bytes) }
        let inner = try Inflate.stream(bytes, frame: .gzip, name: place)
        return DataFile(name: place.hasSuffix(".gz") ? String(place.dropLast(3)) : place, bytes: inner)
    }

    /// The paths whose last component satisfies a condition.
    func paths(where isWanted: (String) -> Bool) -> [String] { paths.filter { isWanted(Self.last($0)) } }
}

/// Names of splits.
enum SplitName {
    /// What names begin with, and the split that means.
    private static let beginnings: [(String, String)] = [
        ("train", "train"), ("t10k", "test"), ("test", "test"), ("validation", "val"), ("valid", "val"),
        ("val", "val"), ("dev", "val"), ("extra", "extra"),
    ]

    /// The split that a file's or folder's name begins with; the rest must not go on with a letter.
    static func of(_ name: String) -> String? {
        let lower = name.lowercased()
        for (beginning, split) in beginnings where lower.hasPrefix(beginning) {
            let rest = lower.dropFirst(beginning.count)
            if rest == "set" || rest == "ing" { return split }
            if let next = rest.unicodeScalars.first, next.properties.isAlphabetic { continue }
            return split
        }
        return nil
    }
}
