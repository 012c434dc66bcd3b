import ZooBase
import ZooTensor

/// All readers of checkpoint formats. To add a format, write its reader and add one line to `all`.
public enum CheckpointReaders {
    /// A reader and the file name endings (lower case, without the dot) that promise its format.
    public struct Registration: Sendable {
        /// The reader.
        public let reader: any CheckpointReader.Type
        /// Endings that promise the format.
        public let fileExtensions: [String]

        init(_ reader: any CheckpointReader.Type, _ fileExtensions: String...) {
            self.reader = reader
            self.fileExtensions = fileExtensions
        }
    }

    /// The readers in the order in which they are asked: containers by their members first, then magic numbers, then
    /// safetensors, which has none.
    public static let all: [Registration] = [
        Registration(PyTorchZipReader.self, "pt", "pth", "bin", "ckpt"),
        Registration(TorchScriptReader.self),
        Registration(PyTorchLegacyReader.self),
        Registration(KerasReader.self, "keras"),
        Registration(NpzReader.self, "npz"),
        Registration(GGUFReader.self, "gguf"),
        Registration(HDF5Reader.self, "h5", "hdf5", "hdf"),
        Registration(NpyReader.self, "npy"),
        Registration(CompactReader.self),
        Registration(SafetensorsReader.self, "safetensors"),
    ]

    /// The reader that accepts the bytes; nil when none does. Never throws, reads a few bytes (of zips the directory).
    public static func reader(for bytes: Bytes) -> (any CheckpointReader.Type)? {
        all.first { $0.reader.accepts(bytes) }?.reader
    }

    /// Opens a checkpoint of any known format.
    ///
    /// The format is found in the bytes; the name's ending counts only when no reader accepts them, so that a damaged
    /// `x.safetensors` is told what is wrong with it as safetensors.
    ///
    /// - Parameter name: the file or member, for messages.
    /// - Throws: what the reader throws; `corrupt` for an empty file; `unsupported` for bytes of no known format,
    ///   saying what they look like.
    public static func open(
        _ bytes: Bytes, name: String, options: ReaderOptions = ReaderOptions()
    ) throws -> any CheckpointReader {
        guard bytes.count > 0 else { throw ZooError(.corrupt, "\(name): the file is empty") }
        if let reader = reader(for: bytes) { return try reader.init(bytes, name: name, options: options) }
        if let known = try recognised(bytes, name: name) {
            throw ZooError(.unsupported, "\(name): not a recognised checkpoint: \(known.what)", hint: known.hint)
        }
        if let promised = registration(forName: name) {
            return try promised.reader.init(bytes, name: name, options: options)
        }
        var seen = Set<String>()
        let formats = all.map { $0.reader.format }.filter { seen.insert($0).inserted }.joined(separator: ", ")
        throw ZooError(
            .unsupported, "\(name): not a recognised checkpoint: \(bytes.count) bytes that begin with \(shown(bytes))",
            hint: "formats read are \(formats)")
    }

    /// The reader that a file name promises.
    public static func registration(forName name: String) -> Registration? {
        guard let dot = name.lastIndex(of: ".") else { return nil }
        let ending = name[name.index(after: dot)...].lowercased()
        return all.first { $0.fileExtensions.contains(ending) }
    }

    /// Bytes that are something, but no checkpoint: what, and what to do.
    private static func recognised(_ bytes: Bytes, name: String) throws -> (what: String, hint: String)? {
        if bytes.starts(with: [0x50, 0x4B]) {
            // A zip without its directory says so itself: a download that broke off.
            let zip = try ZipDirectory(bytes, name: name)
            let first = zip.entries.first.map { "'\($0.name)'" } ?? "nothing"
            return ("a zip archive of \(zip.entries.count) members, first \(first)", "index it as an archive")
        }
        if (try? bytes.slice(257, 5))?.starts(with: Array("ustar".utf8)) == true {
            return (
                "a tar archive (PyTorch before 0.1.10 wrote such checkpoints; they are not read)",
                "index it as an archive"
            )
        }
        let signatures: [([UInt8], String, String)] = [
            (Array("GGUF".utf8.reversed()), "a big-endian GGUF file", ""),
            (Array("ggjt".utf8.reversed()), "a GGML file older than GGUF", "convert it with llama.cpp"),
            ([0x1F, 0x8B], "gzip data", "index it as an archive, or unpack it"),
            ([0x37, 0x7A, 0xBC, 0xAF], "a 7z archive", "index it as an archive"),
            ([0x28, 0xB5, 0x2F, 0xFD], "Zstandard data", "index it as an archive, or unpack it"),
            ([0xFD, 0x37, 0x7A, 0x58, 0x5A], "xz data", "index it as an archive, or unpack it"),
            (Array("version https://git-lfs".utf8), "a Git LFS pointer, not the file itself", "run git lfs pull"),
            (Array("<!DOCTYPE".utf8), "a web page", "download the file itself"),
            (Array("<html".utf8), "a web page", "download the file itself"),
        ]
        return signatures.first { bytes.starts(with: $0.0) }.map { ($0.1, $0.2) }
    }

    private static func shown(_ bytes: Bytes) -> String {
        let start = bytes.prefix(8).array
        if start.allSatisfy({ 0x20..<0x7F ~= $0 }) { return "'\(String(decoding: start, as: UTF8.self))'" }
        return start.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ")
    }
}
