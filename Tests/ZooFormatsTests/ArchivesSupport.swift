import Foundation
import Testing
import ZooBase
import ZooFormats
import ZooTestSupport

/// What the archive tests share.
enum ArchiveFixture {
    struct Expected: Decodable {
        var path: String
        var bytes: Int
        var crc32: UInt32
    }

    static func path(_ name: String) -> String { Repository.path("Tests/ZooFormatsTests/Fixtures/\(name)") }

    static func bytes(_ name: String) throws -> Bytes { try Bytes(mapping: path(name)) }

    static func expected() throws -> [Expected] {
        try JSONDecoder().decode(
            [Expected].self, from: Data(contentsOf: URL(fileURLWithPath: path("archives/expected.json"))))
    }

    /// The message of what the closure throws.
    static func message(_ body: () throws -> Void) -> String {
        do {
            try body()
            return "no error"
        } catch { return String(describing: error) }
    }

    /// Opens and reads everything, as an indexer would; a member that cannot be read is no failure.
    static func readAll(_ bytes: Bytes) throws {
        let archive = try Archives.open(bytes, name: "fuzz")
        for member in archive.members where member.byteCount < 1 << 24 {
            do { _ = try archive.bytes(of: member).count } catch is ZooError {}
        }
    }

    /// Texts of members by path.
    static func contents(_ archive: any Archive) throws -> [String: [UInt8]] {
        var contents: [String: [UInt8]] = [:]
        for member in archive.members { contents[member.path] = try archive.bytes(of: member).array }
        return contents
    }
}

/// Writes tars block by block, right ones and wrong ones.
enum TarBuilder {
    /// One entry; `change` falsifies the header before its checksum is taken.
    static func entry(
        _ name: String, _ data: [UInt8] = [], type: Character = "0", change: (inout [UInt8]) -> Void = { _ in }
    ) -> [UInt8] {
        entry(Array(name.utf8), data, type: type, change: change)
    }

    static func entry(
        _ name: [UInt8], _ data: [UInt8] = [], type: Character = "0", change: (inout [UInt8]) -> Void = { _ in }
    ) -> [UInt8] {
        var header = [UInt8](repeating: 0, count: 512)
        set(&header, 0, Array(name.prefix(100)))
        set(&header, 124, octal(data.count, 11))
        set(&header, 136, octal(1_700_000_000, 11))
        header[156] = type.asciiValue ?? 0
        set(&header, 257, Array("ustar\u{0}00".utf8))
        change(&header)
        set(&header, 148, [UInt8](repeating: 0x20, count: 8))
        set(&header, 148, octal(header.reduce(0) { $0 + Int($1) }, 6) + [0])
        return header + data + [UInt8](repeating: 0, count: (512 - data.count % 512) % 512)
    }

    static func archive(_ entries: [UInt8]...) -> Bytes { Bytes(entries.flatMap { $0 } + end) }

    static let end = [UInt8](repeating: 0, count: 1024)

    static func set(_ header: inout [UInt8], _ offset: Int, _ bytes: [UInt8]) {
        header.replaceSubrange(offset..<offset + bytes.count, with: bytes)
    }

    static func octal(_ value: Int, _ digits: Int) -> [UInt8] {
        let text = String(value, radix: 8)
        return Array((String(repeating: "0", count: max(0, digits - text.count)) + text).utf8)
    }

    /// A pax record.
    static func pax(_ key: String, _ value: String) -> [UInt8] {
        let body = " \(key)=\(value)\n"
        var length = body.utf8.count + 1
        while "\(length)".utf8.count + body.utf8.count != length { length += 1 }
        return Array("\(length)\(body)".utf8)
    }
}
