/// What archives are allowed to ask for. Every limit has a name and a reason; reaching one is a `limit` error or a
/// skipped member that names it, never a crash or an exhausted machine.
public enum ArchiveLimits {
    /// Members of one archive, nested ones included. The largest published zoo file holds under a million; five
    /// million listed members take about 2 GB of memory.
    public static let memberCount = 5_000_000

    /// Bytes of a member's path: the longest path Linux takes.
    public static let pathByteCount = 4_096

    /// Archives around one file: a `.pt` in a zip in a tar in a zip in a tar.
    public static let nestingDepth = 4

    /// Archives inside one outer archive. Zoos packed one archive a trial have some ten thousand.
    public static let nestedArchiveCount = 100_000

    /// Bytes that one archive may unpack to a temporary file. Larger ones belong unpacked on a disk by their owner.
    public static let unpackedByteCount = 1 << 40

    /// How many times larger than its packed form something may become, once it is larger than `ratioFloor`. Weights
    /// shrink by less than a half and JSON histories by less than thirty times; bombs reach a thousand and more.
    public static let ratio = 250

    /// Unpacked bytes below which `ratio` is not asked: an all-zero tensor in a small file is no attack.
    public static let ratioFloor = 256 << 20

    /// The most bytes one byte of a deflate stream can stand for (258 bytes from 2 bits); more is a false size.
    public static let deflateRatio = 1_032

    /// Members larger than this inflate into a nameless temporary file instead of memory.
    public static let memoryByteCount = 64 << 20

    /// Memory taken on a header's word alone; a larger claim must be in proportion to the packed bytes, or the member
    /// inflates into a temporary file that grows with what is really there.
    public static let trustedByteCount = 16 << 20

    /// Bytes of one extended tar header or GNU long name.
    public static let tarHeaderByteCount = 1 << 20

    /// Unpacked archives inside archives that are kept open at a time (each at most `memoryByteCount` of memory).
    public static let openNestedCount = 4
}
