#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// An immutable run of bytes: a mapped file, a part of one, or a block of memory.
///
/// Every reader takes `Bytes`. A slice costs nothing and keeps its owner alive, so a tensor that lies stored inside a
/// zip inside a tar is read in place from the outermost file. Reading outside a slice is impossible: `slice` checks
/// and throws.
public struct Bytes: @unchecked Sendable {
    // Sendable by rule: the memory behind `start` is never written after construction and `owner` keeps it alive.
    @usableFromInline let owner: BytesOwner
    @usableFromInline let start: UnsafeRawPointer
    /// How many bytes.
    public let count: Int

    @usableFromInline init(owner: BytesOwner, start: UnsafeRawPointer, count: Int) {
        self.owner = owner
        self.start = start
        self.count = count
    }

    /// Bytes copied from a buffer.
    public init(copying buffer: UnsafeRawBufferPointer) {
        let block = HeapBlock(byteCount: buffer.count)
        if let base = buffer.baseAddress { block.memory.copyMemory(from: base, byteCount: buffer.count) }
        self.init(owner: block, start: UnsafeRawPointer(block.memory), count: buffer.count)
    }

    /// Bytes copied from an array.
    public init(_ array: [UInt8]) {
        self = array.withUnsafeBytes { Bytes(copying: $0) }
    }

    /// No bytes.
    public static var empty: Bytes { Bytes([]) }

    /// Bytes of a fresh block of memory, filled by `body`, which returns how many it filled.
    ///
    /// - Parameter byteCount: the capacity. The caller has checked it against what the source can really hold.
    public init(
        byteCount: Int, filledBy body: (UnsafeMutableRawBufferPointer) throws -> Int
    ) rethrows {
        let block = HeapBlock(byteCount: byteCount)
        let filled = try body(UnsafeMutableRawBufferPointer(start: block.memory, count: byteCount))
        precondition(filled >= 0 && filled <= byteCount)
        self.init(owner: block, start: UnsafeRawPointer(block.memory), count: filled)
    }

    /// Maps a file read-only.
    ///
    /// - Throws: `notFound` or `io` naming the file; `unsupported` for anything but a regular file.
    public init(mapping path: String) throws {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw ZooError.system("open \(path)", errno: errno) }
        defer { close(descriptor) }
        try self.init(mappingDescriptor: descriptor, path: path)
    }

    /// Maps an open file read-only; the descriptor may be closed afterwards.
    public init(mappingDescriptor descriptor: Int32, path: String, isTemporary: Bool = false) throws {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw ZooError.system("stat \(path)", errno: errno) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw ZooError(.unsupported, "\(path): not a regular file")
        }
        let length = Int(status.st_size)
        guard length > 0 else {
            self = .empty
            return
        }
        guard let memory = mmap(nil, length, PROT_READ, MAP_PRIVATE, descriptor, 0), memory != MAP_FAILED else {
            throw ZooError.system("map \(path)", errno: errno)
        }
        let owner = MappedFile(memory: memory, byteCount: length, path: isTemporary ? nil : path)
        self.init(owner: owner, start: UnsafeRawPointer(memory), count: length)
    }

    /// A part of these bytes, in place.
    ///
    /// - Throws: `corrupt` when the range is not inside; the message gives range and size.
    @inlinable
    public func slice(_ offset: Int, _ length: Int) throws -> Bytes {
        guard offset >= 0, length >= 0, offset <= count, length <= count - offset else {
            throw ZooError(
                .corrupt, "needs \(length) bytes at offset \(offset), but there are only \(count)")
        }
        return Bytes(owner: owner, start: start + offset, count: length)
    }

    /// The first bytes, at most `length`.
    public func prefix(_ length: Int) -> Bytes { Bytes(owner: owner, start: start, count: min(max(0, length), count)) }

    /// Everything from `offset` on; empty when that lies past the end.
    public func suffix(from offset: Int) -> Bytes {
        let clamped = min(max(0, offset), count)
        return Bytes(owner: owner, start: start + clamped, count: count - clamped)
    }

    /// Lends the memory; the pointer must not outlive the call.
    @inlinable
    public func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        defer { withExtendedLifetime(owner) {} }
        return try body(UnsafeRawBufferPointer(start: start, count: count))
    }

    /// One byte. Precondition: inside.
    @inlinable
    public subscript(index: Int) -> UInt8 {
        precondition(index >= 0 && index < count)
        return start.load(fromByteOffset: index, as: UInt8.self)
    }

    /// A little-endian integer at any alignment.
    ///
    /// - Throws: `corrupt` when it is not wholly inside.
    @inlinable
    public func littleEndian<T: FixedWidthInteger>(_ type: T.Type = T.self, at offset: Int) throws -> T {
        let width = MemoryLayout<T>.size
        guard offset >= 0, width <= count, offset <= count - width else {
            throw ZooError(.corrupt, "needs \(width) bytes at offset \(offset), but there are only \(count)")
        }
        return T(littleEndian: start.loadUnaligned(fromByteOffset: offset, as: T.self))
    }

    /// Whether the bytes begin with `prefix`.
    public func starts(with prefix: [UInt8]) -> Bool {
        guard prefix.count <= count else { return false }
        for (index, byte) in prefix.enumerated() where self[index] != byte { return false }
        return true
    }

    /// A copy as an array.
    public var array: [UInt8] { withUnsafeBytes { Array($0) } }

    /// The file these bytes lie in and where in it; nil for memory and for temporary files.
    public var fileRange: (path: String, offset: Int)? {
        guard let file = owner as? MappedFile, let path = file.path else { return nil }
        return (path, start - UnsafeRawPointer(file.memory))
    }

    /// Where `inner` begins within these bytes; nil when it is not a part of them.
    public func offset(of inner: Bytes) -> Int? {
        let distance = inner.start - start
        return distance >= 0 && inner.count <= count && distance <= count - inner.count ? distance : nil
    }

    /// Tells the system that mapped pages wholly inside these bytes are not needed again soon, so that a pass over
    /// files larger than memory keeps a small resident set. Does nothing for memory blocks.
    public func releasePages() {
        guard owner is MappedFile, count > 0 else { return }
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        let first = (Int(bitPattern: start) + page - 1) / page * page
        let last = (Int(bitPattern: start) + count) / page * page
        guard last > first, let pointer = UnsafeMutableRawPointer(bitPattern: first) else { return }
        madvise(pointer, last - first, MADV_DONTNEED)
    }

    /// Asks the system to read ahead in order.
    public func adviseSequential() {
        guard let file = owner as? MappedFile else { return }
        madvise(file.memory, file.byteCount, MADV_SEQUENTIAL)
    }
}

/// Owns memory that `Bytes` look at; freed with the last of them.
public class BytesOwner {
    init() {}
}

/// A block from the allocator, 64-byte aligned so that vector code may load from it.
final class HeapBlock: BytesOwner {
    let memory: UnsafeMutableRawPointer

    init(byteCount: Int) {
        memory = .allocate(byteCount: max(byteCount, 1), alignment: 64)
        super.init()
    }

    deinit { memory.deallocate() }
}

/// A read-only private mapping.
final class MappedFile: BytesOwner {
    let memory: UnsafeMutableRawPointer
    let byteCount: Int
    let path: String?

    init(memory: UnsafeMutableRawPointer, byteCount: Int, path: String?) {
        self.memory = memory
        self.byteCount = byteCount
        self.path = path
        super.init()
    }

    deinit { munmap(memory, byteCount) }
}
