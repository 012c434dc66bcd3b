import ZooBase

/// Writes zips byte by byte, right ones and wrong ones.
struct ZipBuilder {
    /// One member; every field of the directory can be falsified.
    struct Member {
        var name: [UInt8]
        var data: [UInt8]
        var method: UInt16 = 0
        var flags: UInt16 = 0x800
        var byteCount: UInt32?
        var packedByteCount: UInt32?
        var crc32: UInt32?
        var offset: UInt32?
        var date: UInt16 = 0
        var time: UInt16 = 0
        var localExtra: [UInt8] = []
        var extra: [UInt8] = []
        var mode: UInt32 = 0
        var host: UInt16 = 0x0314
        var isLocal = true

        init(_ name: String, _ data: [UInt8]) {
            self.name = Array(name.utf8)
            self.data = data
        }

        init(_ name: String, _ text: String) { self.init(name, Array(text.utf8)) }

        /// A change by closure, for terse tests.
        func with(_ change: (inout Member) -> Void) -> Member {
            var copy = self
            change(&copy)
            return copy
        }

        /// The data as one deflate stream of uncompressed blocks.
        var deflated: Member {
            with {
                $0.method = 8
                $0.byteCount = UInt32(data.count)
                $0.crc32 = ZipBuilder.crc32(data)
                $0.data = ZipBuilder.deflateStored(data)
            }
        }
    }

    var members: [Member] = []
    var prefix: [UInt8] = []
    var comment: [UInt8] = []
    var entryCount: UInt16?
    var directoryOffset: UInt32?
    var isWide = false

    init(_ members: [Member]) { self.members = members }

    /// The archive.
    func bytes() -> [UInt8] {
        var out = prefix
        var offsets: [Int] = []
        for member in members {
            offsets.append(out.count - prefix.count)
            if member.isLocal { appendLocal(member, to: &out) }
        }
        let start = out.count
        for (member, offset) in zip(members, offsets) { appendRecord(member, offset: offset, to: &out) }
        appendEnd(to: &out, start: start - prefix.count, size: out.count - start)
        return out
    }

    private func appendLocal(_ member: Member, to out: inout [UInt8]) {
        out.put(UInt32(0x0403_4B50))
        out.put(UInt16(20))
        out.put(member.flags)
        out.put(member.method)
        out.put(UInt32(0))
        for _ in 0..<3 { out.put(UInt32(0)) }
        out.put(UInt16(member.name.count))
        out.put(UInt16(member.localExtra.count))
        out += member.name + member.localExtra + member.data
    }

    private func appendRecord(_ member: Member, offset: Int, to out: inout [UInt8]) {
        out.put(UInt32(0x0201_4B50))
        out.put(member.host)
        out.put(UInt16(20))
        out.put(member.flags)
        out.put(member.method)
        out.put(member.time)
        out.put(member.date)
        out.put(member.crc32 ?? Self.crc32(member.data))
        out.put(member.packedByteCount ?? UInt32(member.data.count))
        out.put(member.byteCount ?? UInt32(member.data.count))
        out.put(UInt16(member.name.count))
        out.put(UInt16(member.extra.count))
        out.put(UInt16(0))
        out.put(UInt16(0))
        out.put(UInt16(0))
        out.put(member.mode << 16)
        out.put(member.offset ?? UInt32(offset))
        out += member.name + member.extra
    }

    private func appendEnd(to out: inout [UInt8], start: Int, size: Int) {
        let count = entryCount ?? UInt16(truncatingIfNeeded: members.count)
        if isWide {
            let position = out.count - prefix.count
            out.put(UInt32(0x0606_4B50))
            out.put(UInt64(44))
            out.put(UInt16(0x031E))
            out.put(UInt16(0x2D))
            out.put(UInt64(0))
            for value in [members.count, members.count, size, start] { out.put(UInt64(value)) }
            out.put(UInt32(0x0706_4B50))
            out.put(UInt32(0))
            out.put(UInt64(position))
            out.put(UInt32(1))
        }
        out.put(UInt32(0x0605_4B50))
        out.put(UInt32(0))
        out.put(isWide ? UInt16.max : count)
        out.put(isWide ? UInt16.max : count)
        out.put(isWide ? UInt32.max : UInt32(size))
        out.put(isWide ? UInt32.max : directoryOffset ?? UInt32(start))
        out.put(UInt16(comment.count))
        out += comment
    }

    /// CRC-32 by its definition, bit by bit.
    static func crc32(_ bytes: [UInt8]) -> UInt32 {
        var crc: UInt32 = 0xFFFF_FFFF
        for byte in bytes {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
        }
        return ~crc
    }

    /// Deflate without compression: blocks of at most 65,535 bytes.
    static func deflateStored(_ data: [UInt8]) -> [UInt8] {
        var out: [UInt8] = []
        var rest = data[...]
        repeat {
            let block = rest.prefix(65_535)
            rest = rest.dropFirst(65_535)
            out.append(rest.isEmpty ? 1 : 0)
            out.put(UInt16(block.count))
            out.put(~UInt16(block.count))
            out += block
        } while !rest.isEmpty
        return out
    }
}

extension [UInt8] {
    /// Appends a little-endian integer.
    mutating func put<T: FixedWidthInteger>(_ value: T) {
        Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
    }
}
