import Synchronization
import ZooBase

/// An archive with the archives inside it opened: their members appear as `inner.zip!/trial_3/…` in their place.
///
/// What lies stored in stored keeps a placement in the outermost bytes and is read from there. Inner archives that had
/// to be unpacked are kept open a few at a time and opened again when they are needed.
public final class NestedArchive: Archive {
    /// The outer archive's kind.
    public var kind: String { outer.kind }
    /// The members of the outer archive and, in the place of inner archives, theirs.
    public let members: [ArchiveMember]
    /// What was left out at any depth, with reasons.
    public let skipped: [SkippedMember]

    private let outer: any Archive
    private let slots: [String: NestedSlot]
    private let recent: Mutex<[NestedSlot]>

    /// Between inner paths and those of their archive.
    public static let separator = "!/"

    private init(_ builder: NestedBuilder) {
        outer = builder.outer
        members = builder.members
        skipped = builder.skipped
        slots = builder.slots
        recent = Mutex(builder.open)
    }

    /// Opens what is an archive inside; the archive itself when there is none.
    static func flatten(
        _ archive: any Archive, name: String, options: ArchiveOptions, nesting: Nesting
    ) throws -> any Archive {
        guard archive.members.contains(where: { ArchiveFormat.isArchiveName($0.path) }) else { return archive }
        var builder = NestedBuilder(outer: archive, name: name, options: options, nesting: nesting)
        for member in archive.members { try builder.take(member) }
        builder.finish()
        guard !builder.slots.isEmpty || builder.skipped.count != archive.skipped.count else { return archive }
        return NestedArchive(builder)
    }

    /// A member's bytes, at any depth.
    public func bytes(of member: ArchiveMember) throws -> Bytes {
        guard let (slot, path) = slot(of: member.path) else { return try outer.bytes(of: member) }
        let archive = try open(slot)
        return try archive.bytes(of: slot.innerMember(member, path: path, archive: archive))
    }

    /// The inner archive a path leads into, and the path inside it.
    private func slot(of path: String) -> (NestedSlot, String)? {
        for split in MemberPath.splits(path) {
            if let slot = slots[split.outer] { return (slot, split.inner) }
        }
        return nil
    }

    /// The slot's archive, opened again if it was closed; closes the one that was not used for longest.
    private func open(_ slot: NestedSlot) throws -> any Archive {
        let archive = try slot.archive()
        guard slot.isCostly else { return archive }
        let dropped = recent.withLock { recent -> [NestedSlot] in
            recent.removeAll { $0 === slot }
            recent.append(slot)
            let surplus = max(0, recent.count - ArchiveLimits.openNestedCount)
            defer { recent.removeFirst(surplus) }
            return Array(recent.prefix(surplus))
        }
        dropped.forEach { $0.close() }
        return archive
    }
}
