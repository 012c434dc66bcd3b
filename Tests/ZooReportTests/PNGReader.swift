import CZlib

/// Decodes the PNG files that the encoder writes: true colour, 8 bits, filters "none" and "up". Every checksum counts.
struct PNGReader {
    struct Malformed: Error { let what: String }

    private(set) var width = 0
    private(set) var height = 0
    private(set) var pixels: [UInt8] = []

    init(_ bytes: [UInt8]) throws {
        guard bytes.prefix(8) == [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A] else {
            throw Malformed(what: "signature")
        }
        var offset = 8
        var names: [String] = []
        var packed: [UInt8] = []
        while offset < bytes.count {
            let length = Self.number(bytes, offset)
            let body = Array(bytes[offset + 4..<offset + 8 + length])
            guard
                UInt32(truncatingIfNeeded: crc32(0, body, UInt32(body.count)))
                    == Self.number(bytes, offset + 8 + length)
            else { throw Malformed(what: "checksum") }
            let name = String(decoding: body.prefix(4), as: UTF8.self)
            names.append(name)
            if name == "IHDR" {
                width = Self.number(body, 4)
                height = Self.number(body, 8)
                guard body[12...] == [8, 2, 0, 0, 0] else { throw Malformed(what: "kind of picture") }
            }
            if name == "IDAT" { packed += body.dropFirst(4) }
            offset += 12 + length
        }
        guard names == ["IHDR", "pHYs", "IDAT", "IEND"] else { throw Malformed(what: "chunks \(names)") }
        try unfilter(inflated(packed))
    }

    private func inflated(_ packed: [UInt8]) throws -> [UInt8] {
        var rows = [UInt8](repeating: 0, count: (width * 3 + 1) * height)
        var length = UInt(rows.count)
        guard uncompress(&rows, &length, packed, UInt(packed.count)) == Z_OK, length == rows.count else {
            throw Malformed(what: "data")
        }
        return rows
    }

    private mutating func unfilter(_ rows: [UInt8]) throws {
        let stride = width * 3
        pixels = [UInt8](repeating: 0, count: stride * height)
        for row in 0..<height {
            let filter = rows[row * (stride + 1)]
            guard filter == 0 || filter == 2 && row > 0 else { throw Malformed(what: "filter") }
            for index in 0..<stride {
                let above = filter == 2 ? pixels[(row - 1) * stride + index] : 0
                pixels[row * stride + index] = rows[row * (stride + 1) + 1 + index] &+ above
            }
        }
    }

    /// Red, green and blue of a pixel.
    subscript(x: Int, y: Int) -> [UInt8] { Array(pixels[(y * width + x) * 3..<(y * width + x) * 3 + 3]) }

    private static func number(_ bytes: [UInt8], _ offset: Int) -> Int {
        (0..<4).reduce(0) { $0 << 8 | Int(bytes[offset + $1]) }
    }
}
