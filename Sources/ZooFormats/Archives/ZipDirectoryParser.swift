import ZooBase

/// Reads the records of a central directory and judges them against each other.
struct ZipDirectoryParser {
    let buffer: UnsafeRawBufferPointer
    let end: ZipEndRecord

    /// All entries, each with its defect.
    func entries() throws -> [ZipEntry] {
        let room = (end.directoryEnd - end.directoryStart) / 46
        let expected = end.isShortCount ? room : end.entryCount
        guard min(expected, room) <= ArchiveLimits.memberCount else {
            throw ZooError(.limit, "more than \(ArchiveLimits.memberCount) members")
        }
        var entries: [ZipEntry] = []
        entries.reserveCapacity(min(end.entryCount, room))
        var at = end.directoryStart
        while at < end.directoryEnd {
            if entries.count & 0xFFFF == 0xFFFF { try Cancellation.check() }
            entries.append(try entry(at: &at, number: entries.count))
        }
        let isWrapped = end.isShortCount && entries.count & 0xFFFF == end.entryCount
        guard entries.count == end.entryCount || isWrapped else {
            throw ZooError(.corrupt, "its directory holds \(entries.count) entries, not \(end.entryCount)")
        }
        setLimits(&entries)
        return entries
    }

    private func entry(at position: inout Int, number: Int) throws -> ZipEntry {
        let at = position
        guard end.directoryEnd - at >= 46, buffer.u32(at) == 0x0201_4B50 else {
            throw ZooError(.corrupt, "damaged directory: no entry \(number) at offset \(at)")
        }
        let nameLength = buffer.u16(at + 28)
        let extraLength = buffer.u16(at + 30)
        let recordLength = 46 + nameLength + extraLength + buffer.u16(at + 32)
        guard recordLength <= end.directoryEnd - at else {
            throw ZooError(.corrupt, "damaged directory: entry \(number) at offset \(at) is cut off")
        }
        position = at + recordLength
        let rawName = UnsafeRawBufferPointer(rebasing: buffer[at + 46..<at + 46 + nameLength])
        let extraStart = at + 46 + nameLength
        let flags = UInt16(buffer.u16(at + 8))
        var extra = ZipExtra(
            byteCount: UInt64(buffer.u32(at + 24)), compressed: UInt64(buffer.u32(at + 20)),
            offset: UInt64(buffer.u32(at + 42)))
        if extraLength > 0 {
            extra.read(UnsafeRawBufferPointer(rebasing: buffer[extraStart..<extraStart + extraLength]), name: rawName)
        }
        let decoded = extra.unicodeName ?? ZipName.decode(rawName, isUTF8: flags & 0x800 != 0)
        let isBadName = decoded == nil
        var entry = ZipEntry(
            name: decoded ?? String(decoding: rawName, as: UTF8.self), method: UInt16(buffer.u16(at + 10)),
            flags: flags, crc32: buffer.u32(at + 16), compressedByteCount: Int(clamping: extra.compressed),
            byteCount: Int(clamping: extra.byteCount),
            localHeaderOffset: Int(clamping: extra.offset.addingReportingOverflow(UInt64(end.base)).partialValue),
            modified: extra.modified ?? ZipTime.seconds(date: buffer.u16(at + 14), time: buffer.u16(at + 12)),
            defect: nil, nameByteCount: nameLength, endLimit: end.directoryStart)
        entry.defect = isBadName ? .name : defect(of: entry, at: at)
        return entry
    }

    /// What one record alone shows.
    private func defect(of entry: ZipEntry, at: Int) -> ZipDefect? {
        let disk = buffer.u16(at + 34)
        let kind = buffer.u16(at + 4) >> 8 == 3 ? buffer.u32(at + 38) >> 28 : 0
        let (needed, overflow) = entry.compressedByteCount.addingReportingOverflow(30 + entry.nameByteCount)
        if overflow || entry.localHeaderOffset > end.directoryStart
            || needed > end.directoryStart - entry.localHeaderOffset
        {
            return .outside
        }
        if disk != 0, disk != 0xFFFF { return .disk }
        // Unix file kinds (the top four bits of the mode): 10 link, 8 regular, 4 folder, 0 not recorded.
        if kind == 10 { return .link }
        if kind != 0, kind != 8, kind != 4 { return .special }
        if entry.flags & 0x2041 != 0 { return .encrypted }
        switch entry.method {
        case 0: return entry.byteCount == entry.compressedByteCount ? nil : .sizes
        case 8:
            let (most, overflow) = entry.compressedByteCount.multipliedReportingOverflow(by: ArchiveLimits.deflateRatio)
            return overflow || entry.byteCount <= most ? nil : .ratio
        default: return .method
        }
    }

    /// Gives each entry the beginning of its successor in the file as its limit, and marks those that reach past it.
    private func setLimits(_ entries: inout [ZipEntry]) {
        if isOrdered(entries) {
            limit(&entries, order: entries.indices)
        } else {
            limit(&entries, order: entries.indices.sorted { isBefore(entries[$0], entries[$1]) })
        }
    }

    private func isBefore(_ left: ZipEntry, _ right: ZipEntry) -> Bool {
        left.localHeaderOffset < right.localHeaderOffset
    }

    private func isOrdered(_ entries: [ZipEntry]) -> Bool {
        for index in entries.indices.dropFirst() where isBefore(entries[index], entries[index - 1]) { return false }
        return true
    }

    private func limit(_ entries: inout [ZipEntry], order: some Sequence<Int>) {
        var reach = 0
        var owner = -1
        for index in order where entries[index].defect != .outside {
            let start = entries[index].localHeaderOffset
            if owner >= 0 {
                if start < reach {
                    entries[index].defect = .overlap
                    entries[owner].defect = .overlap
                } else {
                    entries[owner].endLimit = start
                }
            }
            let stop = start + 30 + entries[index].nameByteCount + entries[index].compressedByteCount
            if owner < 0 || stop >= reach {
                reach = stop
                owner = index
            }
        }
    }
}

/// What the extra fields of a directory record add to it.
struct ZipExtra {
    var byteCount: UInt64
    var compressed: UInt64
    var offset: UInt64
    var modified: Int?
    var unicodeName: String?

    init(byteCount: UInt64, compressed: UInt64, offset: UInt64) {
        self.byteCount = byteCount
        self.compressed = compressed
        self.offset = offset
    }

    /// Reads the fields that matter; a malformed tail is left alone, as all readers do.
    mutating func read(_ fields: UnsafeRawBufferPointer, name: UnsafeRawBufferPointer) {
        var at = 0
        while fields.count - at >= 4 {
            let length = fields.u16(at + 2)
            guard length <= fields.count - at - 4 else { return }
            let body = UnsafeRawBufferPointer(rebasing: fields[at + 4..<at + 4 + length])
            switch fields.u16(at) {
            case 0x0001: readWide(body)
            case 0x5455 where length >= 5 && body[0] & 1 != 0:
                modified = Int(Int32(bitPattern: body.u32(1)))
            case 0x7075 where length > 5 && body[0] == 1 && body.u32(1) == Inflate.crc32(of: name):
                unicodeName = ZipName.decode(UnsafeRawBufferPointer(rebasing: body[5...]), isUTF8: true)
            default: break
            }
            at += 4 + length
        }
    }

    /// Zip64: 8 bytes for each saturated field, in this order.
    private mutating func readWide(_ body: UnsafeRawBufferPointer) {
        var at = 0
        func next(_ value: inout UInt64) {
            guard value == 0xFFFF_FFFF, at + 8 <= body.count else { return }
            value = body.u64(at)
            at += 8
        }
        next(&byteCount)
        next(&compressed)
        next(&offset)
    }
}
