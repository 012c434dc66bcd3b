import ZooBase

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// What a path like `zoo.zip!/a/inner.tar!/b` leads to.
public struct ResolvedMember: Sendable {
    /// The bytes, in place where every archive on the way stores what is inside it as it is.
    public var bytes: Bytes
    /// The path as it was given, for messages.
    public var name: String
    /// The file or folder on disk.
    public var filePath: String
    /// The path inside, with `!/` between archives; nil when the path is that of the file itself.
    public var memberPath: String?
}

extension Archives {
    /// Follows a path from the disk into archives: `FILE`, `FILE!/MEMBER`, `FILE!/INNER!/MEMBER`, any file at the end.
    ///
    /// A name that itself contains `!/` is found too: whatever exists as it is written comes first. Only the archives on
    /// the way are opened, and of those that are streams only the member is unpacked.
    ///
    /// - Throws: `notFound` naming what is missing, with members of the same name as a hint; what opening throws.
    public static func resolve(_ path: String) throws -> ResolvedMember {
        let (file, inside) = try splitAtFile(path)
        guard let inside else {
            return ResolvedMember(bytes: try Bytes(mapping: file), name: path, filePath: file)
        }
        let archive: any Archive
        if FileSystem.isFolder(file) {
            archive = try FolderArchive(path: file)
        } else {
            archive = try openAny(Bytes(mapping: file), name: file, target: inside)
        }
        let bytes = try descend(archive, name: file, path: inside, depth: 1)
        return ResolvedMember(bytes: bytes, name: path, filePath: file, memberPath: inside)
    }

    /// The part of the path that exists on disk, and the rest.
    private static func splitAtFile(_ path: String) throws -> (file: String, inside: String?) {
        if FileSystem.status(path, followsLinks: true) != nil { return (path, nil) }
        let code = errno
        let splits = MemberPath.splits(path)
        for split in splits where FileSystem.status(split.outer, followsLinks: true) != nil {
            return (split.outer, split.inner)
        }
        throw ZooError.system("open \(MemberPath.shown(splits.first?.outer ?? path))", errno: code)
    }

    private static func descend(_ archive: any Archive, name: String, path: String, depth: Int) throws -> Bytes {
        if let member = archive.members.first(where: { $0.path == path }) { return try archive.bytes(of: member) }
        for (head, rest) in MemberPath.splits(path) {
            guard let member = archive.members.first(where: { $0.path == head }) else { continue }
            let place = "\(name)\(NestedArchive.separator)\(head)"
            guard depth < ArchiveLimits.nestingDepth else {
                throw ZooError(.limit, "\(place): archives nested more than \(ArchiveLimits.nestingDepth) deep")
            }
            let inner = try openAny(archive.bytes(of: member), name: place, target: rest)
            return try descend(inner, name: place, path: rest, depth: depth + 1)
        }
        throw missing(path, in: archive, name: name)
    }

    /// Opens for the sake of one member; a checkpoint that is a zip counts as an archive too.
    private static func openAny(_ bytes: Bytes, name: String, target: String) throws -> any Archive {
        var options = ArchiveOptions()
        options.isInteresting = { target == $0 || target.hasPrefix($0 + NestedArchive.separator) }
        if let archive = try openOne(bytes, name: name, options: options) { return archive }
        guard ArchiveFormat(bytes) == .zip else { throw ZooError(.unsupported, "\(name): not an archive") }
        return try ZipArchive(bytes, name: name)
    }

    private static func missing(_ path: String, in archive: any Archive, name: String) -> ZooError {
        if let skipped = archive.skipped.first(where: { $0.path == path }) {
            return ZooError(.unsupported, "\(name)\(NestedArchive.separator)\(path): \(skipped.reason)")
        }
        let last = "/" + (path.split(separator: "/").last.map(String.init) ?? path)
        let alike = archive.members.lazy.filter { ("/" + $0.path).hasSuffix(last) }.prefix(3).map(\.path)
        return ZooError(
            .notFound, "\(name): no member \(MemberPath.shown(path))",
            hint: alike.isEmpty ? "" : "there is \(alike.joined(separator: ", "))")
    }
}

extension FileSystem {
    /// Whether a path is that of a folder, links followed.
    static func isFolder(_ path: String) -> Bool {
        status(path, followsLinks: true).map { $0.st_mode & S_IFMT == S_IFDIR } ?? false
    }
}
