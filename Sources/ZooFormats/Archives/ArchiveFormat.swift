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
        let name = path.split(separator: "/").last.map { $0.lowercased() } ?? ""
        return suffixes.contains { name.hasSuffix($0) }
    }

    private static let suffixes = [
        ".zip", ".tar", ".7z", ".tgz", ".txz", ".tbz", ".tbz2", ".tzst", ".tar.gz", ".tar.xz", ".tar.bz2", ".tar.zst",
    ]
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
        let names = directory.entries.lazy.filter { !$0.isFolder }.map(\.name)
        if directory.entries.count < 10,
            Set(names).isSuperset(of: ["config.json", "metadata.json", "model.weights.h5"])
        {
            self = .keras
        } else if Self.isPyTorch(directory) {
            self = .pytorch
        } else if !names.isEmpty, names.allSatisfy({ $0.hasSuffix(".npy") }) {
            self = .npz
        } else {
            self = .files
        }
    }

    /// One top folder, a `data.pkl` directly in it, and beside that what `torch.save` writes.
    private static func isPyTorch(_ directory: ZipDirectory) -> Bool {
        let pickles = directory.entries.filter { $0.name.hasSuffix("/data.pkl") }
        guard pickles.count == 1, let prefix = pickles.first?.name.dropLast("data.pkl".count) else { return false }
        return prefix.dropLast().allSatisfy { $0 != "/" } && directory.entries.allSatisfy { $0.name.hasPrefix(prefix) }
    }
}
