import CCrypto
import ZooBase

/// The digest by which equal files are found: the first 16 bytes of SHA-256, in hexadecimal.
///
/// 128 bits make an accidental collision among 10⁷ files less likely than 10⁻²⁴ and cost half the room.
public enum ContentDigest {
    /// The digest of bytes.
    public static func of(_ bytes: Bytes) -> String { of([bytes]) }

    /// The digest of several runs of bytes, one after the other.
    public static func of(_ parts: [Bytes]) -> String { hexadecimal(sha256(parts).prefix(16)) }

    /// All 32 bytes of SHA-256 in hexadecimal, as `sha256sum` prints them.
    public static func full(_ bytes: Bytes) -> String { hexadecimal(sha256([bytes])) }

    /// SHA-256 in hexadecimal of several runs of bytes, one after the other.
    public static func full(_ parts: [Bytes]) -> String { hexadecimal(sha256(parts)) }

    private static func sha256(_ parts: [Bytes]) -> [UInt8] {
        var digest = [UInt8](repeating: 0, count: 32)
        let context = EVP_MD_CTX_new()
        defer { EVP_MD_CTX_free(context) }
        // These calls fail only when memory runs out or the algorithm is missing from the library.
        precondition(EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1, "SHA-256 is not available")
        for part in parts {
            part.withUnsafeBytes { _ = EVP_DigestUpdate(context, $0.baseAddress, $0.count) }
        }
        precondition(EVP_DigestFinal_ex(context, &digest, nil) == 1, "SHA-256 failed")
        return digest
    }
}
