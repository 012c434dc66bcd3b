import ZooBase

/// What a tar entry is.
enum TarKind: Equatable {
    case regular, folder, hardLink, symbolicLink, special, sparse
    case unknown(UInt8)

    /// Why it cannot be offered; nil for files and folders.
    var refusal: String? {
        switch self {
        case .regular, .folder: nil
        case .hardLink: "a hard link"
        case .symbolicLink: "a symbolic link"
        case .special: "a device, pipe or socket"
        case .sparse: "a sparse file"
        case .unknown(let type): "a tar entry of unknown type \(type)"
        }
    }
}

/// One 512-byte tar header.
///
/// Fields, by offset: name 0 (100 bytes), size 124 (12), mtime 136 (12), checksum 148 (8), type 156, magic 257 (8),
/// prefix 345 (155, POSIX only). Numbers are octal text, or big-endian two's complement when the top bit is set.
struct TarHeader {
    static let byteCount = 512
    var name: [UInt8]
    var type: UInt8
    var size: Int
    var modified: Int?
    /// Old GNU sparse files: another block of the map follows.
    var hasMoreSparseMap: Bool

    /// Parses a block that is not all zeros.
    ///
    /// - Throws: `corrupt` for a wrong checksum or number.
    init(_ block: UnsafeRawBufferPointer) throws {
        guard Self.isChecksumRight(block) else { throw ZooError(.corrupt, "its checksum is wrong") }
        type = block[156]
        size = try Self.number(block[124..<136], "size")
        modified = try? Self.number(block[136..<148], "time")
        hasMoreSparseMap = block[482] != 0
        name = Self.text(block[0..<100])
        let isPOSIX = block[257..<263].elementsEqual("ustar\0".utf8)
        let prefix = isPOSIX ? Self.text(block[345..<500]) : []
        if !prefix.isEmpty { name = prefix + [UInt8(ascii: "/")] + name }
    }

    /// Whether bytes begin with a tar header.
    static func accepts(_ bytes: Bytes) -> Bool {
        guard bytes.count >= byteCount, bytes[0] != 0 else { return false }
        return bytes.withUnsafeBytes { isChecksumRight(UnsafeRawBufferPointer(rebasing: $0[..<byteCount])) }
    }

    /// What the type flag says.
    var kind: TarKind {
        switch type {
        case 0 where name.last == UInt8(ascii: "/"): .folder
        case 0, UInt8(ascii: "0"), UInt8(ascii: "7"): .regular
        case UInt8(ascii: "1"): .hardLink
        case UInt8(ascii: "2"): .symbolicLink
        case UInt8(ascii: "3"), UInt8(ascii: "4"), UInt8(ascii: "6"): .special
        case UInt8(ascii: "5"): .folder
        case UInt8(ascii: "S"): .sparse
        default: .unknown(type)
        }
    }

    /// Whether data blocks follow: links, folders and devices have none, whatever their size field says.
    var dataByteCount: Int {
        switch kind {
        case .hardLink, .symbolicLink, .special, .folder: 0
        default: size
        }
    }

    /// The sum of all bytes, the checksum's own taken as blanks; some old writers summed signed bytes.
    private static func isChecksumRight(_ block: UnsafeRawBufferPointer) -> Bool {
        guard let expected = try? number(block[148..<156], "checksum") else { return false }
        var (unsigned, signed) = (0, 0)
        for index in 0..<byteCount {
            let byte = (148..<156).contains(index) ? 0x20 : block[index]
            unsigned += Int(byte)
            signed += Int(Int8(bitPattern: byte))
        }
        return expected == unsigned || expected == signed
    }

    private static func text(_ field: Slice<UnsafeRawBufferPointer>) -> [UInt8] { Array(field.prefix { $0 != 0 }) }

    /// A number field, never negative.
    private static func number(_ field: Slice<UnsafeRawBufferPointer>, _ what: String) throws -> Int {
        guard let first = field.first else { throw ZooError(.corrupt, "no \(what)") }
        if first & 0x80 != 0 { return try wideNumber(field, what) }
        let digits = field.drop { $0 == 0x20 || $0 == 0 }.prefix { $0 != 0x20 && $0 != 0 }
        var value = 0
        for digit in digits {
            guard (0x30...0x37).contains(digit) else {
                throw ZooError(.corrupt, "its \(what) is not an octal number")
            }
            value = value << 3 | Int(digit - 0x30)
        }
        return value
    }

    private static func wideNumber(_ field: Slice<UnsafeRawBufferPointer>, _ what: String) throws -> Int {
        guard field.first == 0x80 else { throw ZooError(.corrupt, "its \(what) is negative") }
        var value = 0
        for byte in field.dropFirst() {
            guard value >> 54 == 0 else { throw ZooError(.corrupt, "its \(what) is more than 18 digits long") }
            value = value << 8 | Int(byte)
        }
        return value
    }
}

/// The records of an extended (pax) header: `LENGTH KEY=VALUE\n`, the length in bytes and of the whole record.
struct PaxRecords {
    var path: [UInt8]?
    var size: Int?
    var modified: Int?
    var isSparse = false

    /// Adds records over those that are there.
    ///
    /// - Throws: `corrupt` for a record that does not keep to the form.
    mutating func read(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        while let first = rest.first, first != 0 {
            guard let blank = rest.prefix(20).firstIndex(of: 0x20),
                let length = Int(String(decoding: rest[..<blank], as: UTF8.self)),
                length > blank - rest.startIndex + 1, length <= rest.count, rest[rest.startIndex + length - 1] == 0x0A
            else { throw ZooError(.corrupt, "damaged extended header") }
            let record = rest[(blank + 1)..<(rest.startIndex + length - 1)]
            guard let equals = record.firstIndex(of: UInt8(ascii: "=")) else {
                throw ZooError(.corrupt, "damaged extended header: a record without =")
            }
            try take(key: String(decoding: record[..<equals], as: UTF8.self), value: record[(equals + 1)...])
            rest = rest.dropFirst(length)
        }
    }

    private mutating func take(key: String, value: ArraySlice<UInt8>) throws {
        let text = String(decoding: value.prefix(40), as: UTF8.self)
        switch key {
        case "path": path = Array(value)
        case "size":
            guard let number = Int(text), number >= 0 else {
                throw ZooError(.corrupt, "damaged extended header: size \(MemberPath.shown(text))")
            }
            size = number
        case "mtime": modified = Double(text).flatMap { Int(exactly: $0.rounded(.down)) }
        default: if key.hasPrefix("GNU.sparse.") { isSparse = true }
        }
    }
}
