import CZlib
import ZooBase

/// Writes a zip archive of stored members whose bytes begin at multiples of 64, past 4 GB with zip64 records.
///
/// Source: PKWARE's APPNOTE 6.3. All dates are 1980-01-01, so equal contents give equal files. Alignment is made with
/// an extra field (0xD935, as Android's build tools use it) in the local header; readers skip it.
final class StoredZipWriter {
    private struct Member {
        var name: [UInt8]
        var crc: UInt32
        var byteCount: Int
        var offset: Int
    }

    /// Members begin at multiples of this.
    static let alignment = 64

    private let file: AtomicFile
    private var members: [Member] = []
    /// Sizes and offsets from here on need zip64 fields.
    private let limit32 = 0xFFFF_FFFF

    init(_ path: String) throws { file = try AtomicFile(path) }

    /// Adds a member made of two parts.
    func add(_ name: String, header: [UInt8], body: Bytes) throws {
        var crc = crc32(0, nil, 0)
        header.withUnsafeBytes { crc = Self.extend(crc, $0) }
        body.withUnsafeBytes { crc = Self.extend(crc, $0) }
        let member = Member(
            name: Array(name.utf8), crc: UInt32(truncatingIfNeeded: crc), byteCount: header.count + body.count,
            offset: file.byteCount)
        guard member.name.count < 1 << 16 else {
            throw ZooError(.unsupported, "member name of \(member.name.count) bytes")
        }
        try file.write(localHeader(member))
        try file.write(header)
        try file.write(body)
        members.append(member)
    }

    /// Writes the central directory and gives the file its name.
    func commit() throws {
        let start = file.byteCount
        for member in members { try file.write(centralHeader(member)) }
        try file.write(endRecords(start: start, byteCount: file.byteCount - start))
        try file.commit()
    }

    private static func extend(_ crc: UInt, _ bytes: UnsafeRawBufferPointer) -> UInt {
        var crc = crc
        var rest = bytes
        while !rest.isEmpty {
            let part = UnsafeRawBufferPointer(rebasing: rest.prefix(1 << 30))
            crc = crc32(crc, part.bindMemory(to: UInt8.self).baseAddress, UInt32(part.count))
            rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(part.count))
        }
        return crc
    }

    /// Version needed to method, dates and the name's encoding, as both headers share them.
    private func common(_ member: Member, isLarge: Bool) -> LittleEndianBytes {
        var out = LittleEndianBytes()
        out.put16(isLarge ? 45 : 20)
        out.put16(member.name.allSatisfy { $0 < 0x80 } ? 0 : 0x0800)
        out.put16(0)
        out.put16(0)
        out.put16(0x21)
        out.put32(Int(member.crc))
        let size = member.byteCount >= limit32 ? limit32 : member.byteCount
        out.put32(size)
        out.put32(size)
        out.put16(member.name.count)
        return out
    }

    private func localHeader(_ member: Member) -> [UInt8] {
        let isLarge = member.byteCount >= limit32
        var extra = LittleEndianBytes()
        if isLarge {
            extra.put16(1)
            extra.put16(16)
            extra.put64(member.byteCount)
            extra.put64(member.byteCount)
        }
        let unpadded = member.offset + 30 + member.name.count + extra.bytes.count
        var padding = (Self.alignment - unpadded % Self.alignment) % Self.alignment
        if padding > 0 {
            // The field itself takes six bytes.
            if padding < 6 { padding += Self.alignment }
            extra.put16(0xD935)
            extra.put16(padding - 4)
            extra.put16(Self.alignment)
            extra.bytes += repeatElement(0, count: padding - 6)
        }
        var out = LittleEndianBytes()
        out.put32(0x0403_4B50)
        out.bytes += common(member, isLarge: isLarge).bytes
        out.put16(extra.bytes.count)
        return out.bytes + member.name + extra.bytes
    }

    private func centralHeader(_ member: Member) -> [UInt8] {
        let isLarge = member.byteCount >= limit32
        let isFar = member.offset >= limit32
        var extra = LittleEndianBytes()
        if isLarge || isFar {
            extra.put16(1)
            extra.put16((isLarge ? 16 : 0) + (isFar ? 8 : 0))
            if isLarge {
                extra.put64(member.byteCount)
                extra.put64(member.byteCount)
            }
            if isFar { extra.put64(member.offset) }
        }
        var out = LittleEndianBytes()
        out.put32(0x0201_4B50)
        out.put16(45)
        out.bytes += common(member, isLarge: isLarge || isFar).bytes
        out.put16(extra.bytes.count)
        out.put16(0)
        out.put16(0)
        out.put16(0)
        out.put32(0)
        out.put32(isFar ? limit32 : member.offset)
        return out.bytes + member.name + extra.bytes
    }

    private func endRecords(start: Int, byteCount: Int) -> [UInt8] {
        var out = LittleEndianBytes()
        let isLarge = members.count >= 0xFFFF || start >= limit32 || byteCount >= limit32
        if isLarge {
            out.put32(0x0606_4B50)
            out.put64(44)
            out.put16(45)
            out.put16(45)
            out.put32(0)
            out.put32(0)
            out.put64(members.count)
            out.put64(members.count)
            out.put64(byteCount)
            out.put64(start)
            out.put32(0x0706_4B50)
            out.put32(0)
            out.put64(start + byteCount)
            out.put32(1)
        }
        out.put32(0x0605_4B50)
        out.put16(0)
        out.put16(0)
        out.put16(min(members.count, 0xFFFF))
        out.put16(min(members.count, 0xFFFF))
        out.put32(min(byteCount, limit32))
        out.put32(min(start, limit32))
        out.put16(0)
        return out.bytes
    }
}

/// Integers gathered least significant byte first.
struct LittleEndianBytes {
    var bytes: [UInt8] = []

    mutating func put16(_ value: Int) { put(value, 2) }
    mutating func put32(_ value: Int) { put(value, 4) }
    mutating func put64(_ value: Int) { put(value, 8) }

    private mutating func put(_ value: Int, _ width: Int) {
        for byte in 0..<width { bytes.append(UInt8(truncatingIfNeeded: value >> (8 * byte))) }
    }
}
