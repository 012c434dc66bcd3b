import Crypto
import ZooBase

/// The digest by which equal files are found: the first 16 bytes of SHA-256, in hexadecimal.
///
/// 128 bits make an accidental collision among 10⁷ files less likely than 10⁻²⁴ and cost half the room.
public enum ContentDigest {
    /// Bytes given to the hash at a time.
    private static let pieceByteCount = 1 << 20

    /// The digest of bytes.
    public static func of(_ bytes: Bytes) -> String { truncated(sha256([bytes])) }

    /// The digest of several runs of bytes, one after the other.
    public static func of(_ parts: [Bytes]) -> String { truncated(sha256(parts)) }

    /// All 32 bytes of SHA-256 in hexadecimal, as `sha256sum` prints them.
    public static func full(_ bytes: Bytes) -> String { hexadecimal(sha256([bytes])) }

    private static func sha256(_ parts: [Bytes]) -> SHA256Digest {
        var hash = Crypto.SHA256()
        for part in parts {
            part.withUnsafeBytes { buffer in
                var start = 0
                while start < buffer.count {
                    let end = min(start + pieceByteCount, buffer.count)
                    hash.update(bufferPointer: UnsafeRawBufferPointer(rebasing: buffer[start..<end]))
                    start = end
                }
            }
        }
        return hash.finalize()
    }

    private static func truncated(_ digest: SHA256Digest) -> String { hexadecimal(digest.prefix(16)) }
}
