import Synchronization
import ZooBase

/// An archive inside another, open or to be opened again.
final class NestedSlot: Sendable {
    /// Where the inner archive's bytes begin in those of the outermost, when they lie there as they are.
    let offset: Int?
    /// Whether keeping it open takes memory or disk: it had to be unpacked.
    let isCostly: Bool

    private let reopen: @Sendable () throws -> any Archive
    private let state: Mutex<State>

    private struct State {
        var archive: (any Archive)?
        var positions: [String: Int]?
    }

    init(offset: Int?, isCostly: Bool, archive: (any Archive)?, reopen: @escaping @Sendable () throws -> any Archive) {
        self.offset = offset
        self.isCostly = isCostly
        self.reopen = reopen
        state = Mutex(State(archive: archive))
    }

    /// The archive; opening it again makes others who want it wait.
    func archive() throws -> any Archive {
        try state.withLock { state in
            if let archive = state.archive { return archive }
            let archive = try reopen()
            state.archive = archive
            return archive
        }
    }

    /// Lets the archive go; bytes handed out stay valid.
    func close() { state.withLock { $0 = State() } }

    /// The member as the inner archive lists it, from the one that the nest lists.
    func innerMember(_ member: ArchiveMember, path: String, archive: any Archive) throws -> ArchiveMember {
        var inner = member
        inner.path = path
        if let offset, let placement = member.placement {
            inner.placement?.offset = placement.offset - offset
            return inner
        }
        let positions = state.withLock { state in
            if let positions = state.positions { return positions }
            let pairs = archive.members.enumerated().map { ($0.element.path, $0.offset) }
            let positions = Dictionary(pairs) { $1 }
            state.positions = positions
            return positions
        }
        guard let position = positions[path], position < archive.members.count else {
            throw ZooError(.notFound, "\(member.path): not a member of this archive")
        }
        return archive.members[position]
    }
}
