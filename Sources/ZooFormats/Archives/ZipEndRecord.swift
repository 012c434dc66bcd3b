import ZooBase

/// Where the central directory lies, from the records at the end of a zip.
struct ZipEndRecord {
    /// Where the directory begins in the bytes.
    let directoryStart: Int
    /// Where it ends.
    let directoryEnd: Int
    /// How many entries it claims.
    let entryCount: Int
    /// Whether the count is a 16-bit field, which careless writers let wrap around.
    let isShortCount: Bool
    /// What must be added to recorded offsets: the length of whatever was put in front of the archive.
    let base: Int

    /// Reads end record, zip64 locator and zip64 end record.
    init(_ buffer: UnsafeRawBufferPointer) throws {
        let end = try Self.findEnd(buffer)
        var count = UInt64(buffer.u16(end + 10))
        var size = UInt64(buffer.u32(end + 12))
        var offset = UInt64(buffer.u32(end + 16))
        var disks = buffer.u16(end + 4) == 0xFFFF ? 0 : buffer.u16(end + 4)
        var directoryEnd = end
        let wide = try Self.findWide(buffer, end: end)
        if let wide {
            disks = Int(truncatingIfNeeded: buffer.u32(wide + 16))
            try Self.adopt(buffer.u64(wide + 32), over: &count, saturated: 0xFFFF, "entries")
            try Self.adopt(buffer.u64(wide + 40), over: &size, saturated: 0xFFFF_FFFF, "directory bytes")
            try Self.adopt(buffer.u64(wide + 48), over: &offset, saturated: 0xFFFF_FFFF, "directory offset")
            directoryEnd = wide
        }
        guard disks == 0 else {
            throw ZooError(.unsupported, "one part of a split zip archive", hint: "join the parts first")
        }
        guard size <= UInt64(directoryEnd), offset <= UInt64(directoryEnd) - size else {
            throw ZooError(
                .corrupt, "its directory of \(size) bytes at offset \(offset) does not end before \(directoryEnd)")
        }
        (directoryStart, base) = Self.place(buffer, offset: Int(offset), size: Int(size), end: directoryEnd)
        self.directoryEnd = directoryStart + Int(size)
        entryCount = count > UInt64(Int.max) ? Int.max : Int(count)
        isShortCount = wide == nil
        if base > 0, buffer.u32(0) == 0x0403_4B50 {
            throw ZooError(
                .corrupt, "truncated archive (no central directory: the one at its end is of an archive inside it)",
                hint: "download it again")
        }
    }

    /// The end record's offset: the last signature whose comment ends with the file.
    private static func findEnd(_ buffer: UnsafeRawBufferPointer) throws -> Int {
        let last = buffer.count - 22
        var at = last
        while at >= 0, at >= last - 0xFFFF {
            if buffer.u32(at) == 0x0605_4B50, buffer.u16(at + 20) == last - at { return at }
            at -= 1
        }
        let isZip = buffer.count >= 4 && buffer.u32(0) == 0x0403_4B50
        if isZip || buffer.count < 4 && buffer.starts(with: [0x50, 0x4B]) {
            throw ZooError(.corrupt, "truncated archive (no central directory)", hint: "download it again")
        }
        throw ZooError(.corrupt, buffer.isEmpty ? "empty file, not a zip archive" : "not a zip archive")
    }

    /// The zip64 end record's offset; nil without one.
    private static func findWide(_ buffer: UnsafeRawBufferPointer, end: Int) throws -> Int? {
        let locator = end - 20
        guard locator >= 0, buffer.u32(locator) == 0x0706_4B50 else { return nil }
        let adjacent = locator - 56
        if adjacent >= 0, buffer.u32(adjacent) == 0x0606_4B50 { return adjacent }
        if let recorded = Int(exactly: buffer.u64(locator + 8)), adjacent >= 0, recorded <= adjacent,
            buffer.u32(recorded) == 0x0606_4B50
        {
            return recorded
        }
        throw ZooError(.corrupt, "truncated archive (a zip64 locator without its end record)")
    }

    /// Takes the 64-bit value; the short one must be saturated or equal.
    private static func adopt(_ wide: UInt64, over short: inout UInt64, saturated: UInt64, _ what: String) throws {
        guard short == saturated || short == wide else {
            throw ZooError(.corrupt, "its two end records disagree: \(short) and \(wide) \(what)")
        }
        short = wide
    }

    /// The directory's place: right before the end records, or at the recorded offset when something lies between.
    private static func place(
        _ buffer: UnsafeRawBufferPointer, offset: Int, size: Int, end: Int
    ) -> (start: Int, base: Int) {
        let adjacent = end - size
        let isAdjacent = size < 4 || buffer.u32(adjacent) == 0x0201_4B50
        if !isAdjacent, buffer.u32(offset) == 0x0201_4B50 { return (offset, 0) }
        return (adjacent, adjacent - offset)
    }
}

extension UnsafeRawBufferPointer {
    /// A little-endian 16-bit field. Precondition: inside.
    @inline(__always) func u16(_ offset: Int) -> Int {
        Int(UInt16(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt16.self)))
    }

    /// A little-endian 32-bit field. Precondition: inside.
    @inline(__always) func u32(_ offset: Int) -> UInt32 {
        UInt32(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }

    /// A little-endian 64-bit field. Precondition: inside.
    @inline(__always) func u64(_ offset: Int) -> UInt64 {
        UInt64(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }
}
