import ZooBase

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// How an archive is opened.
public struct ArchiveOptions: Sendable {
    /// Open archives inside archives and list their members as `inner.zip!/trial_3/…`.
    public var opensNested = true
    /// Which paths (within their own archive) are worth keeping while an archive that must be read as a stream is
    /// unpacked; the others are listed, and cost a pass of their own when they are read.
    public var isInteresting: @Sendable (String) -> Bool = { _ in true }

    /// The defaults.
    public init() {}
}

/// Opens archives of any kind.
public enum Archives {
    /// Opens a folder, an archive, or a single file as an archive of one member.
    ///
    /// - Throws: `notFound`, `io`; `unsupported` for pipes and devices and for a compressed file that holds no tar;
    ///   `corrupt` when an archive cannot be listed; `limit`.
    public static func open(path: String, options: ArchiveOptions = ArchiveOptions()) throws -> any Archive {
        guard let status = FileSystem.status(path, followsLinks: true) else {
            throw ZooError.system("open \(path)", errno: errno)
        }
        switch status.st_mode & S_IFMT {
        case S_IFDIR:
            let folder = try FolderArchive(path: path)
            let byteCount = folder.members.reduce(0) { $0.addingReportingOverflow($1.byteCount).partialValue }
            return try flatten(folder, of: nil, byteCount: max(0, byteCount), name: path, options: options)
        case S_IFREG:
            return try open(
                Bytes(mapping: path), name: path, modified: FileSystem.modified(status), options: options)
        default: throw ZooError(.unsupported, "\(path): a device, pipe or socket")
        }
    }

    /// Opens bytes: an archive by its content, or anything else as an archive of one member.
    ///
    /// - Parameters:
    ///   - name: the path, for messages and as the member's name of what is no archive.
    ///   - modified: seconds since 1970, of what is no archive.
    public static func open(
        _ bytes: Bytes, name: String, modified: Int? = nil, options: ArchiveOptions = ArchiveOptions()
    ) throws -> any Archive {
        guard let archive = try openOne(bytes, name: name, options: options) else {
            return FileArchive(bytes, name: name, modified: modified)
        }
        return try flatten(archive, of: bytes, byteCount: bytes.count, name: name, options: options)
    }

    private static func flatten(
        _ archive: any Archive, of bytes: Bytes?, byteCount: Int, name: String, options: ArchiveOptions
    ) throws -> any Archive {
        guard options.opensNested else { return archive }
        let budget = NestingBudget(packedByteCount: byteCount, memberCount: archive.members.count)
        return try NestedArchive.flatten(
            archive, name: name, options: options,
            nesting: Nesting(depth: 1, ancestors: bytes.map { [$0] } ?? [], budget: budget))
    }

    /// Opens one archive without looking for others inside.
    ///
    /// - Returns: nil for what is no archive of files: a checkpoint, alone or in a container of its own.
    /// - Throws: `corrupt`, `limit`; `unsupported` for a compressed file that holds no tar.
    static func openOne(_ bytes: Bytes, name: String, options: ArchiveOptions) throws -> (any Archive)? {
        switch ArchiveFormat(bytes) {
        case nil: return nil
        case .zip:
            let directory = try ZipDirectory(bytes, name: name)
            return ZipContent(directory) == .files ? try ZipArchive(directory) : nil
        case .tar:
            let archive = try TarArchive(bytes, name: name)
            return isLegacyPyTorch(archive) ? nil : archive
        case .compressed(let compression):
            guard try ZooError.locate(name, { try StreamArchive.holdsTar(bytes, compression) }) else {
                throw ZooError(
                    .unsupported, "\(name): compressed (\(compression.rawValue)), but not a tar inside",
                    hint: "unpack it first")
            }
            fallthrough
        case .sevenZip:
            guard let format = ArchiveFormat(bytes) else { return nil }
            return try StreamArchive(bytes, format: format, name: name, isInteresting: options.isInteresting)
        }
    }

    /// Checkpoints of PyTorch before 0.1.10 are tars of four files.
    private static func isLegacyPyTorch(_ archive: TarArchive) -> Bool {
        archive.members.count < 16
            && Set(archive.members.map(\.path)).isSuperset(of: ["sys_info", "pickle", "storages"])
    }
}
