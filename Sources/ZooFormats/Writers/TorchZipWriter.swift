import ZooBase

/// Writes a zip in exactly the layout of PyTorch's own writer, whose readers may compute offsets instead of reading
/// them.
///
/// Every local header is followed by the name and an extra field `FB` of `Z`s that brings the data to a multiple of 64;
/// its CRC and sizes are zero, they come after the data (`PK\7\8`) and in the central directory. The file always ends
/// with a zip64 end record. Members past 4 GB, or beginning there, get zip64 fields.
final class TorchZipWriter {
    private struct Member {
        var name: [UInt8]
        var crc: UInt32
        var byteCount: Int
        var offset: Int
    }

    private let file: AtomicFile
    private let folder: String
    private var members: [Member] = []
    /// From this many bytes on a number needs a zip64 field; tests lower it.
    private let wideLimit: Int
    static let alignment = 64

    /// - Parameter folder: the folder inside that holds all members.
    init(_ path: String, folder: String, wideLimit: Int = 0xFFFF_FFFF) throws {
        file = try AtomicFile(path)
        self.folder = folder
        self.wideLimit = wideLimit
    }

    /// Adds a member.
    func add(_ name: String, _ body: [UInt8]) throws { try add(name, Bytes(body)) }

    /// Adds a member.
    func add(_ name: String, _ body: Bytes) throws {
        var member = Member(
            name: Array("\(folder)/\(name)".utf8), crc: 0, byteCount: body.count, offset: file.byteCount)
        try file.write(localHeader(member))
        try file.write(body)
        member.crc = body.withUnsafeBytes { Inflate.crc32(of: $0) }
        if body.count > 0 { try file.write(descriptor(member)) }
        members.append(member)
    }

    /// Twenty digits for the names and twenty for the contents: equal for equal files.
    var contentIdentifier: String {
        var names: UInt64 = 0xCBF2_9CE4_8422_2325, contents = names
        for member in members {
            for byte in member.name { names = (names ^ UInt64(byte)) &* 0x100_0000_01B3 }
            contents = (contents ^ UInt64(member.crc)) &* 0x100_0000_01B3
        }
        return [names, contents].map { number in
            let digits = String(number)
            return String(repeating: "0", count: 20 - digits.count) + digits
        }.joined()
    }

    /// Writes the directory and gives the file its name.
    func commit() throws {
        let start = file.byteCount
        for member in members { try file.write(centralHeader(member)) }
        try file.write(endRecords(start: start, byteCount: file.byteCount - start))
        try file.commit()
    }

    // MARK: Records

    private func flags(_ member: Member) -> Int { member.byteCount > 0 ? 0x0808 : 0x0800 }

    /// The zip64 field of a member; empty when none of its numbers needs it.
    private func wideField(_ member: Member) -> [UInt8] {
        var numbers = LittleEndianBytes()
        if member.byteCount >= wideLimit {
            numbers.put64(member.byteCount)
            numbers.put64(member.byteCount)
        }
        if member.offset >= wideLimit { numbers.put64(member.offset) }
        guard !numbers.bytes.isEmpty else { return [] }
        var field = LittleEndianBytes()
        field.put16(1)
        field.put16(numbers.bytes.count)
        return field.bytes + numbers.bytes
    }

    private func narrow(_ number: Int) -> Int { number >= wideLimit ? 0xFFFF_FFFF : number }

    private func localHeader(_ member: Member) -> [UInt8] {
        var extra = LittleEndianBytes(bytes: wideField(member))
        let unpadded = member.offset + 30 + member.name.count + extra.bytes.count + 4
        let padding = (Self.alignment - unpadded % Self.alignment) % Self.alignment
        extra.put16(0x4246)
        extra.put16(padding)
        extra.bytes += repeatElement(0x5A, count: padding)
        var out = LittleEndianBytes()
        out.put32(0x0403_4B50)
        out.put16(0)
        out.put16(flags(member))
        for _ in 0..<9 { out.put16(0) }
        out.put16(member.name.count)
        out.put16(extra.bytes.count)
        return out.bytes + member.name + extra.bytes
    }

    private func descriptor(_ member: Member) -> [UInt8] {
        var out = LittleEndianBytes()
        out.put32(0x0807_4B50)
        out.put32(Int(member.crc))
        for _ in 0..<2 {
            if member.byteCount >= wideLimit || member.offset >= wideLimit {
                out.put64(member.byteCount)
            } else {
                out.put32(member.byteCount)
            }
        }
        return out.bytes
    }

    private func centralHeader(_ member: Member) -> [UInt8] {
        let extra = wideField(member)
        var out = LittleEndianBytes()
        out.put32(0x0201_4B50)
        out.put32(0)
        out.put16(flags(member))
        for _ in 0..<3 { out.put16(0) }
        out.put32(Int(member.crc))
        out.put32(narrow(member.byteCount))
        out.put32(narrow(member.byteCount))
        out.put16(member.name.count)
        out.put16(extra.count)
        for _ in 0..<5 { out.put16(0) }
        out.put32(narrow(member.offset))
        return out.bytes + member.name + extra
    }

    private func endRecords(start: Int, byteCount: Int) -> [UInt8] {
        var out = LittleEndianBytes()
        out.put32(0x0606_4B50)
        out.put64(44)
        out.put16(0x031E)
        out.put16(0x2D)
        out.put64(0)
        out.put64(members.count)
        out.put64(members.count)
        out.put64(byteCount)
        out.put64(start)
        out.put32(0x0706_4B50)
        out.put32(0)
        out.put64(start + byteCount)
        out.put32(1)
        out.put32(0x0605_4B50)
        out.put32(0)
        out.put16(min(members.count, 0xFFFF))
        out.put16(min(members.count, 0xFFFF))
        out.put32(min(byteCount, 0xFFFF_FFFF))
        out.put32(min(start, 0xFFFF_FFFF))
        out.put16(0)
        return out.bytes
    }
}
