import ZooBase

/// Where in a nest of archives one lies.
struct Nesting {
    /// Archives around its members, itself included.
    var depth: Int
    /// The archives around it and itself, outermost first, to tell one that contains itself.
    var ancestors: [Bytes]
    /// Shared by the whole nest.
    var budget: NestingBudget
}

/// What a whole nest may take: one count over all depths, so that breadth and depth cannot multiply.
final class NestingBudget {
    private var archiveCount = 0
    private var memberCount: Int
    private var unpackedByteCount = 0
    let unpackedLimit: Int

    /// - Parameters:
    ///   - packedByteCount: the outermost archive's size, which unpacked bytes are measured against.
    ///   - memberCount: the outermost archive's members.
    init(packedByteCount: Int, memberCount: Int) {
        self.memberCount = memberCount
        let (limit, overflow) = packedByteCount.multipliedReportingOverflow(by: ArchiveLimits.ratio)
        unpackedLimit = min(ArchiveLimits.unpackedByteCount, overflow ? .max : max(ArchiveLimits.ratioFloor, limit))
    }

    /// A budget of the same size, nothing of it spent: for opening an inner archive once more.
    init(unpackedLimit: Int) {
        self.unpackedLimit = unpackedLimit
        memberCount = 0
    }

    /// Counts one inner archive's listing in.
    func take(members: Int) throws {
        archiveCount += 1
        memberCount += members
        guard archiveCount <= ArchiveLimits.nestedArchiveCount else {
            throw ZooError(.limit, "more than \(ArchiveLimits.nestedArchiveCount) archives inside")
        }
        guard memberCount <= ArchiveLimits.memberCount else {
            throw ZooError(.limit, "more than \(ArchiveLimits.memberCount) members with those of archives inside")
        }
    }

    /// Counts bytes in that are about to be unpacked.
    func take(unpacking byteCount: Int) throws {
        let (total, overflow) = unpackedByteCount.addingReportingOverflow(byteCount)
        guard !overflow, total <= unpackedLimit else {
            throw ZooError(
                .limit, "archives inside unpack to more than \(unpackedLimit) bytes",
                hint: "if you trust the file, unpack it yourself and index the folder")
        }
        unpackedByteCount = total
    }
}
