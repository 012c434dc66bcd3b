import CZooHDF5
import ZooBase

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The HDF5 library, always in a child process of its own.
enum HDF5Library {
    /// Groups and datasets listed at most.
    static let maximumObjects = 1 << 20
    /// Groups inside groups at most.
    static let maximumDepth = 64
    /// The longest listing.
    static let maximumListingBytes = 64 << 20
    /// The longest attribute: a model description may take megabytes.
    static let maximumAttributeBytes = 32 << 20
    /// Memory of a child beyond what it inherits and what it hands over.
    static let memoryBytes = 512 << 20

    /// The first bytes of an HDF5 file, perhaps after a user block of 512 bytes or a power of two times that.
    static let signature: [UInt8] = [0x89, 0x48, 0x44, 0x46, 0x0D, 0x0A, 0x1A, 0x0A]

    /// Walks the file.
    ///
    /// - Throws: `corrupt` when the library refuses the file, fails on it or exceeds its bounds.
    static func list(_ bytes: Bytes) throws -> HDF5Listing {
        var outcome = zoo_h5_outcome()
        var report: UnsafeMutablePointer<UInt8>?
        var count = 0
        let isAnswered = bytes.withUnsafeBytes {
            zoo_h5_list($0.baseAddress, $0.count, limits(work: $0.count, memory: 0), &report, &count, &outcome)
        }
        defer { free(report) }
        guard isAnswered else { throw error(outcome, doing: "listing") }
        let listing = try HDF5Listing(Bytes(copying: UnsafeRawBufferPointer(start: report, count: count)))
        if let failure = listing.failure { throw ZooError(.corrupt, failure) }
        guard outcome.status == 0, listing.isComplete else { throw error(outcome, doing: "listing") }
        return listing
    }

    /// Reads a dataset's elements, in the byte order of the file.
    ///
    /// - Parameter byteCount: how many bytes they take; the caller has bounded it.
    /// - Throws: `corrupt` when the library refuses, fails or sends another number of bytes.
    static func read(_ path: String, of bytes: Bytes, byteCount: Int) throws -> Bytes {
        try Bytes(byteCount: byteCount) { output in
            var outcome = zoo_h5_outcome()
            let isRead = bytes.withUnsafeBytes {
                zoo_h5_read(
                    $0.baseAddress, $0.count, limits(work: $0.count + byteCount, memory: byteCount), path,
                    output.baseAddress, byteCount, &outcome)
            }
            guard isRead else { throw error(outcome, doing: "reading") }
            return byteCount
        }
    }

    private static func limits(work: Int, memory: Int) -> zoo_h5_limits {
        // Unpacking runs at some 100 MB a second; ten times slower is still given time.
        zoo_h5_limits(
            processor_seconds: UInt32(clamping: 20 + work / 10_000_000), memory_bytes: memoryBytes + 2 * memory,
            objects: UInt32(maximumObjects), depth: UInt32(maximumDepth), listing_bytes: maximumListingBytes,
            attribute_bytes: maximumAttributeBytes)
    }

    private static func error(_ outcome: zoo_h5_outcome, doing what: String) -> ZooError {
        if outcome.system_error != 0 {
            return ZooError.system("start the process that reads HDF5", errno: outcome.system_error)
        }
        if outcome.timed_out || outcome.signal == SIGXCPU || outcome.signal == SIGKILL && !outcome.overflowed {
            return ZooError(.limit, "the HDF5 library took too long \(what) this file, or the system ended it")
        }
        if outcome.overflowed {
            return ZooError(.limit, "the HDF5 library found more in this file than is read")
        }
        if outcome.signal != 0 {
            return ZooError(.corrupt, "the HDF5 library failed on this file (signal \(outcome.signal))")
        }
        return ZooError(.corrupt, "the HDF5 library gave up \(what) this file")
    }
}
