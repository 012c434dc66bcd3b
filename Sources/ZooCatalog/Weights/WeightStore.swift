import Synchronization
import ZooBase
import ZooFormats
import ZooTensor

/// Hands out the weights of any checkpoint, lazily: in place by byte range where the member is stored, through a
/// bounded cache where it is compressed.
///
/// Values of a stored checkpoint are slices of the mapped source file; nothing is copied until they are used. Sources
/// stay mapped, and archives that must be unpacked as a whole stay unpacked (in nameless temporary files), for the
/// store's life. Safe to use from several threads.
public final class WeightStore: Sendable {
    /// Bytes of inflated members kept for the next reader.
    public static let defaultCacheByteCount = 512 << 20

    private struct State {
        var files: [String: Bytes] = [:]
        var archives: [String: any Archive] = [:]
        var inflated = ByteCache()
    }

    private let state: Mutex<State>
    private let options: ReaderOptions

    /// Creates a store.
    ///
    /// - Parameter cacheByteCount: the most bytes of inflated members kept.
    public init(cacheByteCount: Int = defaultCacheByteCount, options: ReaderOptions = ReaderOptions()) {
        state = Mutex(State(inflated: ByteCache(limit: cacheByteCount)))
        self.options = options
    }

    /// The tensors of a cataloged checkpoint.
    ///
    /// - Throws: `notFound` when the source has gone, `mismatch` when it has changed since it was indexed, and what
    ///   reading throws, with the checkpoint's place in front.
    public func source(of row: CheckpointRow) throws -> any TensorSource {
        try ZooError.locate(row.location) {
            try checkUnchanged(row)
            if row.format.hasSuffix("-sharded") { return try sharded(row) }
            return try CheckpointReaders.open(try bytes(of: row), name: row.member, options: options)
        }
    }

    /// The digest of a cataloged checkpoint's bytes as they are now, computed as `zoo index` computes it.
    public func digest(of row: CheckpointRow) throws -> String {
        guard row.format.hasSuffix("-sharded") else { return ContentDigest.of(try bytes(of: row)) }
        let archive = try archive(row.sourcePath)
        return try ContentDigest.of(
            ShardedCheckpoint.shardPaths(indexMember: row.member, in: archive).map { path in
                try member(path, of: row.sourcePath)
            })
    }

    /// The unpacked bytes of a cataloged checkpoint.
    public func bytes(of row: CheckpointRow) throws -> Bytes {
        guard let offset = row.offset, let stored = row.storedBytes, row.encoding != .none else {
            return try member(row.member, of: row.sourcePath)
        }
        let range = try file(row.sourcePath).slice(offset, stored)
        if row.encoding == .stored { return range }
        let key = "\(row.sourcePath)!/\(row.member)"
        if let cached = state.withLock({ $0.inflated[key] }) { return cached }
        let bytes = try Inflate.bytes(range, byteCount: row.byteCount, crc32: nil, name: row.member)
        state.withLock { $0.inflated[key] = bytes }
        return bytes
    }

    private func file(_ path: String) throws -> Bytes {
        if let mapped = state.withLock({ $0.files[path] }) { return mapped }
        let mapped = try Bytes(mapping: path)
        state.withLock { $0.files[path] = mapped }
        return mapped
    }

    private func archive(_ path: String) throws -> any Archive {
        if let open = state.withLock({ $0.archives[path] }) { return open }
        let opened = try Archives.open(path: path)
        return state.withLock { state in
            // Another thread may have been faster; one of the two is dropped.
            if let other = state.archives[path] { return other }
            state.archives[path] = opened
            return opened
        }
    }

    private func member(_ path: String, of source: String) throws -> Bytes {
        if try FileStatus(source).isFolder, !path.contains("!/") { return try file("\(source)/\(path)") }
        let archive = try archive(source)
        guard let member = archive.members.first(where: { $0.path == path }) else {
            throw ZooError(.notFound, "the source has no such member", hint: "run 'zoo index \(source)' again")
        }
        return try archive.bytes(of: member)
    }

    private func sharded(_ row: CheckpointRow) throws -> any TensorSource {
        try ShardedCheckpoint(indexMember: row.member, in: archive(row.sourcePath), options: options)
    }

    private func checkUnchanged(_ row: CheckpointRow) throws {
        // A folder's numbers are those of all its files; a changed file is told by its own digest.
        guard row.sourceKind != "folder", let size = row.sourceByteCount, let modified = row.sourceModified else {
            return
        }
        let status = try FileStatus(row.sourcePath)
        guard status.byteCount == size, status.modified == modified else {
            throw ZooError(
                .mismatch, "the source has changed since it was indexed",
                hint: "run 'zoo index \(row.sourcePath)' again")
        }
    }
}

/// Bytes by key, the least recently used dropped first.
private struct ByteCache {
    private var entries: [String: (bytes: Bytes, lastUse: Int)] = [:]
    private var byteCount = 0
    private var clock = 0
    private let limit: Int

    init(limit: Int = 0) { self.limit = limit }

    subscript(key: String) -> Bytes? {
        mutating get {
            guard let entry = entries[key] else { return nil }
            clock += 1
            entries[key] = (entry.bytes, clock)
            return entry.bytes
        }
        set {
            if let old = entries.removeValue(forKey: key) { byteCount -= old.bytes.count }
            guard let newValue, newValue.count <= limit else { return }
            clock += 1
            entries[key] = (newValue, clock)
            byteCount += newValue.count
            while byteCount > limit, let oldest = entries.min(by: { $0.value.lastUse < $1.value.lastUse }) {
                entries.removeValue(forKey: oldest.key)
                byteCount -= oldest.value.bytes.count
            }
        }
    }
}
