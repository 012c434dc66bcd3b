import CZooImage
import ZooBase

/// A decoded picture: rows of 8-bit colours.
public struct Picture: Sendable {
    /// Pixels of a row.
    public let width: Int
    /// Rows.
    public let height: Int
    /// 1 grey; 3 red, green, blue.
    public let channels: Int
    /// `height * width * channels` bytes.
    public let pixels: Bytes

    /// Pixels of one picture at most: those of a large camera.
    static let pixelLimit = 1 << 28
    /// The most bytes one byte of a PNG can stand for: what deflate can do.
    static let growthLimit = 1_032

    /// Size and colours from the header, nothing unpacked.
    public struct Header: Sendable, Hashable {
        /// `png` or `jpeg`.
        public var format: String
        /// Pixels of a row.
        public var width: Int
        /// Rows.
        public var height: Int
        /// 1 or 3.
        public var channels: Int
    }

    /// Whether the bytes begin like PNG or JPEG.
    public static func accepts(_ bytes: Bytes) -> Bool {
        bytes.starts(with: [0x89, 0x50, 0x4E, 0x47]) || bytes.starts(with: [0xFF, 0xD8, 0xFF])
    }

    /// Reads the header.
    ///
    /// - Throws: `unsupported` for what is neither PNG nor JPEG, `corrupt` for a damaged one, `limit` for one larger
    ///   than any picture.
    public static func header(_ bytes: Bytes) throws -> Header {
        let info = try probe(bytes)
        return Header(
            format: info.kind == CInt(zoo_image_png) ? "png" : "jpeg", width: Int(info.width),
            height: Int(info.height), channels: Int(info.channels))
    }

    private static func probe(_ bytes: Bytes) throws -> zoo_image_info {
        var info = zoo_image_info()
        let isRead = bytes.withUnsafeBytes { buffer in
            buffer.bindMemory(to: UInt8.self).baseAddress.map { zoo_image_probe($0, buffer.count, &info) } ?? false
        }
        guard isRead else { throw refusal(info) }
        let pixels = Int(info.width) * Int(info.height)
        guard pixels > 0, pixels <= pixelLimit else {
            throw ZooError(
                .limit, "a picture of \(info.width)×\(info.height) pixels; from 1 to \(pixelLimit) are read")
        }
        // A row of one-bit pixels takes an eighth of the bytes it becomes, and a palette a third of that.
        guard pixels / (growthLimit * 8) <= bytes.count || info.kind != CInt(zoo_image_png) else {
            throw ZooError(.corrupt, "\(bytes.count) bytes cannot hold \(info.width)×\(info.height) pixels")
        }
        return info
    }

    private static func refusal(_ info: zoo_image_info) -> ZooError {
        guard info.kind != CInt(zoo_image_none) else { return ZooError(.unsupported, "neither PNG nor JPEG") }
        let message = withUnsafeBytes(of: info.message) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        return ZooError(.corrupt, "\(info.kind == CInt(zoo_image_png) ? "PNG" : "JPEG"): \(message)")
    }

    /// Decodes a picture. Transparency is left out, 16 bits become 8, palettes become colours; no colour profile or
    /// gamma is applied, and pictures are not turned.
    ///
    /// - Throws: as `header`.
    public init(_ bytes: Bytes) throws {
        var info = try Self.probe(bytes)
        let count = Int(info.width) * Int(info.height) * Int(info.channels)
        var isRead = false
        pixels = Bytes(byteCount: count) { output in
            bytes.withUnsafeBytes { buffer in
                guard let source = buffer.bindMemory(to: UInt8.self).baseAddress,
                    let target = output.bindMemory(to: UInt8.self).baseAddress
                else { return }
                isRead = zoo_image_decode(source, buffer.count, &info, target, count)
            }
            return count
        }
        guard isRead else { throw Self.refusal(info) }
        width = Int(info.width)
        height = Int(info.height)
        channels = Int(info.channels)
    }

    /// The colours as planes `[C, H, W]` of bytes, written to `target`; converted to `wanted` channels.
    ///
    /// Grey from colours is ITU-R 601's, in the fixed-point arithmetic that Pillow uses: (19595 R + 38470 G + 7471 B +
    /// 32768) / 65536.
    ///
    /// - Precondition: `target` has room for `wanted * height * width` bytes.
    func planes(into target: UnsafeMutableRawBufferPointer, channels wanted: Int) {
        let size = width * height
        pixels.withUnsafeBytes { source in
            switch (channels, wanted) {
            case (1, _):
                for plane in 0..<wanted {
                    UnsafeMutableRawBufferPointer(rebasing: target[plane * size..<(plane + 1) * size])
                        .copyMemory(from: source)
                }
            case (_, 1):
                for index in 0..<size {
                    let red = UInt32(source[3 * index]) &* 19595
                    let green = UInt32(source[3 * index + 1]) &* 38470
                    let blue = UInt32(source[3 * index + 2]) &* 7471
                    target[index] = UInt8(truncatingIfNeeded: (red &+ green &+ blue &+ 0x8000) >> 16)
                }
            default:
                for index in 0..<size {
                    for plane in 0..<3 { target[plane * size + index] = source[3 * index + plane] }
                }
            }
        }
    }
}

/// What `zoo doctor` asks about the libraries that read pictures.
public enum PictureChecks {
    /// The checks.
    public static let all: [SystemCheck] = [
        SystemCheck("libraries") { _ in
            [
                .init("libpng", .ok, value: .string(String(cString: zoo_image_png_version()))),
                .init(
                    "libjpeg", .ok, value: .int(Int64(zoo_image_jpeg_version())),
                    text: "interface \(zoo_image_jpeg_version())"),
            ]
        }
    ]
}
