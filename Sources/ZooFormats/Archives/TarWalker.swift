import ZooBase

/// One entry of a tar.
struct TarItem {
    var name: [UInt8]
    var kind: TarKind
    var byteCount: Int
    var modified: Int?
    /// Where its data begin.
    var offset: Int
}

/// Walks the headers of a tar over any source of bytes: POSIX prefix, extended headers (path, size, mtime), GNU long
/// names, base-256 numbers. The walk ends at the first block of zeros, as for other tools.
final class TarWalker {
    private let source: any SequentialSource
    private var position = 0
    private var pending = 0
    private var global = PaxRecords()

    /// Why the walk ended other than at the mark for it; nil when it ended there.
    private(set) var endProblem: String?

    init(_ source: any SequentialSource) { self.source = source }

    /// The next entry, nil at the end; data of the last one that were not copied are passed over.
    ///
    /// - Throws: `corrupt` for a damaged header, `limit` for an extended one of absurd length.
    func next() throws -> TarItem? {
        var local = global
        var longName: [UInt8]?
        while true {
            guard try passPending(), let block = try readBlock() else { return nil }
            let start = position - TarHeader.byteCount
            let header = try ZooError.locate("tar header at offset \(start)") {
                try block.withUnsafeBytes { try TarHeader($0) }
            }
            switch header.type {
            case UInt8(ascii: "x"), UInt8(ascii: "X"):
                guard let text = try extended(header) else { return nil }
                try local.read(text)
            case UInt8(ascii: "g"):
                guard let text = try extended(header) else { return nil }
                try global.read(text)
                try local.read(text)
            case UInt8(ascii: "L"):
                guard let text = try extended(header) else { return nil }
                longName = Array(text.prefix { $0 != 0 })
            case UInt8(ascii: "K"), UInt8(ascii: "V"):
                setPending(header.size)
            default:
                return try item(header, local: local, longName: longName)
            }
        }
    }

    /// Hands on the current entry's data.
    ///
    /// - Returns: how many bytes came; fewer than the entry has when the archive is cut off.
    func copyData(
        of item: TarItem, through block: UnsafeMutableRawBufferPointer, to sink: (UnsafeRawBufferPointer) throws -> Void
    ) throws -> Int {
        var copied = 0
        while copied < item.byteCount {
            try Cancellation.check()
            let wanted = min(block.count, item.byteCount - copied)
            let got = try source.read(into: UnsafeMutableRawBufferPointer(rebasing: block[..<wanted]))
            copied += got
            position += got
            pending -= got
            try sink(UnsafeRawBufferPointer(rebasing: block[..<got]))
            if got < wanted { break }
        }
        return copied
    }

    /// Reads what follows the end mark, so that a compressed source gets to check its sums.
    ///
    /// - Parameter limit: the most bytes the whole source may have.
    func drain(limit: Int) throws {
        while position <= limit {
            try Cancellation.check()
            let passed = try source.skip(1 << 20)
            position += passed
            if passed < 1 << 20 { return }
        }
        throw ZooError(.limit, "unpacks to more than \(limit) bytes")
    }

    private func item(_ header: TarHeader, local: PaxRecords, longName: [UInt8]?) throws -> TarItem {
        var header = header
        if let size = local.size { header.size = size }
        if header.kind == .sparse { try passSparseMap(header) }
        guard header.size <= Int.max - position - TarHeader.byteCount else {
            throw ZooError(.corrupt, "tar entry at offset \(position): \(header.size) bytes of data")
        }
        let name = local.path ?? longName ?? header.name
        var kind = local.isSparse ? .sparse : header.kind
        if kind == .regular, header.type == 0, name.last == UInt8(ascii: "/") { kind = .folder }
        setPending(header.dataByteCount)
        return TarItem(
            name: name, kind: kind, byteCount: header.dataByteCount, modified: local.modified ?? header.modified,
            offset: position)
    }

    /// The data of a header that describes the next one; nil when the archive ends within.
    private func extended(_ header: TarHeader) throws -> [UInt8]? {
        guard header.size <= ArchiveLimits.tarHeaderByteCount else {
            throw ZooError(
                .limit,
                "tar header at offset \(position - TarHeader.byteCount): \(header.size) bytes of extended header, "
                    + "more than \(ArchiveLimits.tarHeaderByteCount)")
        }
        var text = [UInt8](repeating: 0, count: header.size)
        let got = try text.withUnsafeMutableBytes { try source.read(into: $0) }
        position += got
        guard got == header.size else { return endedEarly() }
        pending = padding(header.size)
        return text
    }

    private func setPending(_ size: Int) { pending = size + padding(size) }

    private func padding(_ size: Int) -> Int {
        (TarHeader.byteCount - size % TarHeader.byteCount) % TarHeader.byteCount
    }

    private func passPending() throws -> Bool {
        guard pending > 0 else { return true }
        let passed = try source.skip(pending)
        position += passed
        let isWhole = passed == pending
        pending = 0
        if !isWhole { endedEarly() }
        return isWhole
    }

    private func readBlock() throws -> [UInt8]? {
        var block = [UInt8](repeating: 0, count: TarHeader.byteCount)
        let got = try block.withUnsafeMutableBytes { try source.read(into: $0) }
        position += got
        guard got == block.count else {
            endedEarly()
            if got == 0 { endProblem = "no end mark at offset \(position): the archive may be cut off" }
            return nil
        }
        return block.allSatisfy { $0 == 0 } ? nil : block
    }

    @discardableResult
    private func endedEarly() -> [UInt8]? {
        endProblem = "truncated: the archive ends at offset \(position), within an entry"
        return nil
    }

    /// Old GNU sparse files carry more of their map in blocks of their own.
    private func passSparseMap(_ header: TarHeader) throws {
        var more = header.hasMoreSparseMap
        while more, let block = try readBlock() { more = block[504] != 0 }
    }
}
