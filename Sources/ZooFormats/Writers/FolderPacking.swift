import CZlib
import ZooBase

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Packs a folder into an archive, as zoos are published. Members are in the order of their paths and carry no dates,
/// so equal folders give equal bytes.
public enum FolderPacking {
    /// The kinds of archives.
    public enum Kind: String, Sendable, CaseIterable {
        /// Members are stored, so that weights are read in place.
        case zip
        /// POSIX ustar in gzip.
        case tarGzip = "tar.gz"
    }

    /// Packs `folder`; paths inside begin with `name`.
    ///
    /// - Throws: `io`; `unsupported` for names that the format cannot hold.
    public static func pack(_ folder: String, name: String, to path: String, as kind: Kind) throws {
        let members = try files(folder, "").sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        switch kind {
        case .zip:
            let zip = try StoredZipWriter(path)
            for member in members {
                try Cancellation.check()
                try zip.add("\(name)/\(member)", header: [], body: try Bytes(mapping: "\(folder)/\(member)"))
            }
            try zip.commit()
        case .tarGzip:
            let file = try AtomicFile(path)
            let stream = try GzipStream(file)
            for member in members {
                try Cancellation.check()
                let bytes = try Bytes(mapping: "\(folder)/\(member)")
                try stream.write(tarHeader("\(name)/\(member)", bytes.count))
                try bytes.withUnsafeBytes { try stream.write($0) }
                try stream.write([UInt8](repeating: 0, count: (512 - bytes.count % 512) % 512))
            }
            try stream.write([UInt8](repeating: 0, count: 1024))
            try stream.finish()
            try file.commit()
        }
    }

    /// Paths of all files below a folder, from it on; links are not followed.
    static func files(_ folder: String, _ prefix: String) throws -> [String] {
        guard let stream = opendir(folder) else { throw ZooError.system("list \(folder)", errno: errno) }
        defer { closedir(stream) }
        var found: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { raw in
                String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard name != ".", name != ".." else { continue }
            var status = stat()
            guard lstat("\(folder)/\(name)", &status) == 0 else { continue }
            if status.st_mode & S_IFMT == S_IFDIR {
                found += try files("\(folder)/\(name)", prefix + name + "/")
            } else if status.st_mode & S_IFMT == S_IFREG {
                found.append(prefix + name)
            }
        }
        return found
    }

    private static func tarHeader(_ path: String, _ size: Int) throws -> [UInt8] {
        var name = Array(path.utf8), prefix: [UInt8] = []
        if name.count > 100 {
            // The longest tail that fits after a slash; what is before it has a field of its own.
            let cut = name.indices.first { name[$0] == 0x2F && name.count - $0 - 1 <= 100 }
            guard let cut, cut <= 155, cut > 0 else {
                throw ZooError(.unsupported, "\(path): too long a path for tar", hint: "pack as zip")
            }
            prefix = Array(name[..<cut])
            name = Array(name[(cut + 1)...])
        }
        guard size < 1 << 33 else { throw ZooError(.unsupported, "\(path): too large for tar", hint: "pack as zip") }
        var header = [UInt8](repeating: 0, count: 512)
        func put(_ bytes: [UInt8], at offset: Int) {
            header.replaceSubrange(offset..<offset + bytes.count, with: bytes)
        }
        func octal(_ value: Int, _ digits: Int) -> [UInt8] {
            let text = String(value, radix: 8)
            return Array((String(repeating: "0", count: digits - text.count) + text).utf8)
        }
        put(name, at: 0)
        put(octal(0o644, 7), at: 100)
        put(octal(0, 7), at: 108)
        put(octal(0, 7), at: 116)
        put(octal(size, 11), at: 124)
        put(octal(0, 11), at: 136)
        put([UInt8](repeating: 0x20, count: 8), at: 148)
        put(Array("0".utf8), at: 156)
        put(Array("ustar\0".utf8) + Array("00".utf8), at: 257)
        put(prefix, at: 345)
        put(octal(header.reduce(0) { $0 + Int($1) }, 6) + [0, 0x20], at: 148)
        return header
    }
}

/// Compresses what is written to it.
private final class GzipStream {
    private var stream = z_stream()
    private let file: AtomicFile
    private var output = [UInt8](repeating: 0, count: 1 << 16)

    init(_ file: AtomicFile) throws {
        self.file = file
        let version = "\(ZLIB_VERSION)"
        // 16 beyond the window's 15 bits asks for gzip's header.
        let status = deflateInit2_(
            &stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY, version, Int32(MemoryLayout<z_stream>.size))
        guard status == Z_OK else { throw ZooError(.internal, "zlib refused to begin (status \(status))") }
    }

    deinit { deflateEnd(&stream) }

    func write(_ bytes: [UInt8]) throws { try bytes.withUnsafeBytes { try write($0) } }

    func write(_ bytes: UnsafeRawBufferPointer) throws {
        var rest = bytes
        while !rest.isEmpty {
            let part = UnsafeRawBufferPointer(rebasing: rest.prefix(1 << 28))
            rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(part.count))
            stream.next_in = UnsafeMutablePointer(mutating: part.bindMemory(to: UInt8.self).baseAddress)
            stream.avail_in = UInt32(part.count)
            try run(Z_NO_FLUSH)
        }
    }

    func finish() throws {
        stream.next_in = nil
        stream.avail_in = 0
        try run(Z_FINISH)
    }

    private func run(_ flush: Int32) throws {
        var room = 0
        repeat {
            let written = try output.withUnsafeMutableBufferPointer { buffer in
                stream.next_out = buffer.baseAddress
                stream.avail_out = UInt32(buffer.count)
                guard deflate(&stream, flush) != Z_STREAM_ERROR else { throw ZooError(.internal, "zlib failed") }
                return buffer.count - Int(stream.avail_out)
            }
            room = Int(stream.avail_out)
            try file.write(Array(output.prefix(written)))
        } while room == 0
    }
}
