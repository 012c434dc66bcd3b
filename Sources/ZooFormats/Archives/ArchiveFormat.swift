import ZooBase

/// The kinds of archive that are opened, told apart by content.
public enum ArchiveFormat: Sendable, Hashable {
    /// Zip, zip64.
    case zip
    /// Uncompressed tar.
    case tar
    /// A compressed file; worth opening when a tar is inside.
    case compressed(Compression)
    /// 7z.
    case sevenZip

    /// What a tar may be compressed with.
    public enum Compression: String, Sendable, Hashable, CaseIterable {
        /// gzip.
        case gzip = "gz"
        /// xz.
        case xz
        /// bzip2.
        case bzip2 = "bz2"
        /// Zstandard.
        case zstd = "zst"
    }

    /// The kind of archive the bytes begin like; nil for anything else.
    public init?(_ bytes: Bytes) {
        if ZipDirectory.accepts(bytes) {
            self = .zip
        } else if bytes.starts(with: [0x37, 0x7A, 0xBC, 0xAF, 0x27, 0x1C]) {
            self = .sevenZip
        } else if bytes.starts(with: [0x1F, 0x8B, 8]) {
            self = .compressed(.gzip)
        } else if bytes.starts(with: [0xFD, 0x37, 0x7A, 0x58, 0x5A, 0]) {
            self = .compressed(.xz)
        } else if bytes.starts(with: [0x42, 0x5A, 0x68]), bytes.count > 3, (0x31...0x39).contains(bytes[3]) {
            self = .compressed(.bzip2)
        } else if bytes.starts(with: [0x28, 0xB5, 0x2F, 0xFD]) {
            self = .compressed(.zstd)
        } else if TarHeader.accepts(bytes) {
            self = .tar
        } else {
            return nil
        }
    }

    /// Whether opening unpacks into a temporary file.
    var isStream: Bool {
        switch self {
        case .zip, .tar: false
        case .compressed, .sevenZip: true
        }
    }

    /// Whether a member's name is one that archives have. PyTorch and Keras files, zips inside, have other names.
    public static func isArchiveName(_ path: String) -> Bool {
        var path = path
        return path.withUTF8 { bytes in suffixes.contains { ends(bytes, with: $0) } }
    }

    /// Compares without regard to case, from the end, since most names differ there.
    private static func ends(_ bytes: UnsafeBufferPointer<UInt8>, with suffix: [UInt8]) -> Bool {
        guard bytes.count >= suffix.count else { return false }
        var (left, right) = (bytes.count - 1, suffix.count - 1)
        while right >= 0 {
            guard bytes[left] | 0x20 == suffix[right] else { return false }
            (left, right) = (left - 1, right - 1)
        }
        return true
    }

    private static let suffixes = [
        ".zip", ".tar", ".7z", ".tgz", ".txz", ".tbz", ".tbz2", ".tzst", ".tar.gz", ".tar.xz", ".tar.bz2", ".tar.zst",
    ].map { Array($0.utf8) }
}

/// What a zip holds: files, or one checkpoint in a format that is itself a zip.
public enum ZipContent: String, Sendable {
    /// Files.
    case files
    /// `torch.save`: everything in one folder, with a `data.pkl`.
    case pytorch
    /// NumPy: only `.npy` entries.
    case npz
    /// Keras 3: `config.json`, `metadata.json`, `model.weights.h5`.
    case keras

    /// Looks at the names only.
    public init(_ directory: ZipDirectory) {
        let entries = directory.entries
        if entries.count < 10, Set(entries.map(\.name)).isSuperset(of: Self.kerasNames) {
            self = .keras
        } else if Self.isPyTorch(entries) {
            self = .pytorch
        } else if entries.contains(where: { !$0.isFolder }),
            entries.allSatisfy({ $0.isFolder || $0.name.hasSuffix(".npy") })
        {
            self = .npz
        } else {
            self = .files
        }
    }

    private static let kerasNames = ["config.json", "metadata.json", "model.weights.h5"]

    /// One top folder, that of the first entry, which all others share, and one `data.pkl` directly in it.
    private static func isPyTorch(_ entries: [ZipEntry]) -> Bool {
        guard let first = entries.first?.name, let slash = first.firstIndex(of: "/") else { return false }
        let prefix = String(first[...slash])
        guard entries.allSatisfy({ $0.name.hasPrefix(prefix) }) else { return false }
        let pickle = prefix + "data.pkl"
        return entries.contains { $0.name == pickle } && entries.count { $0.name.hasSuffix("/data.pkl") } == 1
    }
}
