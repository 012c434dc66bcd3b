import ZooBase

/// Opens the archives inside one, member by member.
struct NestedBuilder {
    let outer: any Archive
    private let name: String
    private let options: ArchiveOptions
    private let nesting: Nesting

    private(set) var members: [ArchiveMember] = []
    private(set) var skipped: [SkippedMember]
    private(set) var slots: [String: NestedSlot] = [:]
    /// Slots that had to be unpacked and were left open.
    private(set) var open: [NestedSlot] = []
    private var tooDeep: [String] = []
    /// Positions of the outer archive's own members whose names look like those of inner ones.
    private var ambiguous: [Int] = []

    init(outer: any Archive, name: String, options: ArchiveOptions, nesting: Nesting) {
        self.outer = outer
        self.name = name
        self.options = options
        self.nesting = nesting
        skipped = outer.skipped
    }

    /// Takes a member over, or the members of the archive that it is.
    mutating func take(_ member: ArchiveMember) throws {
        guard ArchiveFormat.isArchiveName(member.path) else { return keep(member) }
        let place = "\(name)\(NestedArchive.separator)\(member.path)"
        do {
            try takeArchive(member, place: place)
        } catch let error as ZooError where ![.interrupted, .internal].contains(error.code) {
            let reason =
                error.message.hasPrefix("\(place): ") ? String(error.message.dropFirst(place.count + 2)) : error.message
            skipped.append(SkippedMember(path: member.path, reason: reason))
        }
    }

    /// Adds what can be said only after the last member.
    mutating func finish() {
        if let first = tooDeep.first {
            let others = tooDeep.count > 1 ? ", like \(tooDeep.count - 1) more beside it" : ""
            skipped.append(
                SkippedMember(
                    path: first, reason: "archives nested more than \(ArchiveLimits.nestingDepth) deep\(others)"))
        }
        for position in ambiguous.reversed() where posesAsInner(members[position].path) {
            let path = members.remove(at: position).path
            skipped.append(SkippedMember(path: path, reason: "its name is that of a member of an archive beside it"))
        }
    }

    private mutating func keep(_ member: ArchiveMember) {
        if !MemberPath.splits(member.path).isEmpty { ambiguous.append(members.count) }
        members.append(member)
    }

    private func posesAsInner(_ path: String) -> Bool {
        MemberPath.splits(path).contains { slots[$0.outer] != nil }
    }

    private mutating func takeArchive(_ member: ArchiveMember, place: String) throws {
        let isPacked = member.placement?.encoding == .deflate
        if isPacked { try nesting.budget.take(unpacking: member.byteCount) }
        let bytes = try outer.bytes(of: member)
        guard let format = ArchiveFormat(bytes), try !isCheckpoint(bytes, format, place: place) else {
            return keep(member)
        }
        guard !nesting.ancestors.contains(where: { isSame($0, bytes) }) else {
            throw ZooError(.limit, "an archive that contains itself")
        }
        guard nesting.depth < ArchiveLimits.nestingDepth else {
            tooDeep.append(member.path)
            return
        }
        let inner = try Self.open(bytes, place: place, options: options, nesting: nesting)
        guard let inner else { return keep(member) }
        add(inner, of: member, isCostly: isPacked || format.isStream, place: place)
    }

    private mutating func add(_ inner: any Archive, of member: ArchiveMember, isCostly: Bool, place: String) {
        let prefix = member.path + NestedArchive.separator
        let offset = member.placement.flatMap { $0.encoding == .stored ? $0.offset : nil }
        for var innerMember in inner.members {
            innerMember.path = prefix + innerMember.path
            if let offset { innerMember.placement?.offset += offset } else { innerMember.placement = nil }
            members.append(innerMember)
        }
        skipped += inner.skipped.map { SkippedMember(path: prefix + $0.path, reason: $0.reason) }
        let isKept = !isCostly || open.count < ArchiveLimits.openNestedCount
        let (outer, options, depth, ancestors) = (outer, options, nesting.depth, nesting.ancestors)
        let limit = nesting.budget.unpackedLimit
        let slot = NestedSlot(offset: offset, isCostly: isCostly, archive: isKept ? inner : nil) {
            let again = Nesting(depth: depth, ancestors: ancestors, budget: NestingBudget(unpackedLimit: limit))
            let bytes = try outer.bytes(of: member)
            guard let archive = try NestedBuilder.open(bytes, place: place, options: options, nesting: again) else {
                throw ZooError(.corrupt, "\(place): changed while it was being read")
            }
            return archive
        }
        slots[member.path] = slot
        if isCostly, isKept { open.append(slot) }
    }

    /// Opens an inner archive and those inside it.
    private static func open(
        _ bytes: Bytes, place: String, options: ArchiveOptions, nesting: Nesting
    ) throws -> (any Archive)? {
        guard let inner = try Archives.openOne(bytes, name: place, options: options) else { return nil }
        try nesting.budget.take(members: inner.members.count)
        if let stream = inner as? StreamArchive { try nesting.budget.take(unpacking: stream.spooledByteCount) }
        let below = Nesting(
            depth: nesting.depth + 1, ancestors: nesting.ancestors + [bytes], budget: nesting.budget)
        return try NestedArchive.flatten(inner, name: place, options: options, nesting: below)
    }

    private func isCheckpoint(_ bytes: Bytes, _ format: ArchiveFormat, place: String) throws -> Bool {
        guard format == .zip else { return false }
        return try ZipContent(ZipDirectory(bytes, name: place)) != .files
    }

    private func isSame(_ left: Bytes, _ right: Bytes) -> Bool {
        guard left.count == right.count else { return false }
        return left.withUnsafeBytes { left in right.withUnsafeBytes { left.elementsEqual($0) } }
    }
}
