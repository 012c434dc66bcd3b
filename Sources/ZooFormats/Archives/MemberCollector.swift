import ZooBase

/// Gathers the members of one archive: judges names, keeps the last of several with one name, counts.
struct MemberCollector {
    private(set) var skipped: [SkippedMember] = []
    private var found: [ArchiveMember?] = []
    private var positions: [String: Int] = [:]

    /// The members kept, in order.
    var members: [ArchiveMember] { found.compactMap { $0 } }

    /// Whether nothing was found yet.
    var isEmpty: Bool { positions.isEmpty }

    /// Takes a member under a path that is safe already.
    ///
    /// Of two members with one name the last counts, as it does when the archive is unpacked; the other is skipped.
    mutating func add(_ member: ArchiveMember) throws {
        try countCheck()
        if let earlier = positions.updateValue(found.count, forKey: member.path) {
            found[earlier] = nil
            skip(member.path, "a later member has the same name")
        }
        found.append(member)
    }

    /// Leaves a member out.
    mutating func skip(_ name: String, _ reason: String) {
        skipped.append(SkippedMember(path: MemberPath.shown(name), reason: reason))
    }

    /// The path of a name; nil, with the reason recorded, when it is refused.
    mutating func path(_ name: String) throws -> String? {
        try verdict(MemberPath.sanitise(name), shown: name)
    }

    /// The path of a name of unknown encoding; nil, with the reason recorded, when it is refused.
    mutating func path(_ name: [UInt8]) throws -> String? {
        let verdict = name.withUnsafeBytes { MemberPath.sanitise(bytes: $0) }
        if case .accepted(let path) = verdict { return path }
        return try self.verdict(verdict, shown: String(decoding: name.prefix(1000), as: UTF8.self))
    }

    private mutating func verdict(_ verdict: MemberPath.Verdict, shown name: String) throws -> String? {
        switch verdict {
        case .accepted(let path): return path
        case .refused(let reason):
            try countCheck()
            skip(name, reason)
            return nil
        }
    }

    /// Refuses archives of too many members, before each that is added.
    func countCheck() throws {
        let count = found.count + skipped.count
        guard count < ArchiveLimits.memberCount else {
            throw ZooError(.limit, "more than \(ArchiveLimits.memberCount) members")
        }
        if count & 0xFFF == 0xFFF { try Cancellation.check() }
    }
}
