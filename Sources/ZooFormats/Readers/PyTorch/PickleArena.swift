/// A growable block of plain values, addressed by index. Growing is the only allocation; nothing in it has a
/// destructor, so freeing a graph of a million nodes is one call.
struct PickleArena<Element: BitwiseCopyable>: ~Copyable {
    private(set) var base: UnsafeMutablePointer<Element>
    private(set) var count = 0
    private var capacity: Int

    init(capacity: Int) {
        self.capacity = max(capacity, 8)
        base = .allocate(capacity: self.capacity)
    }

    deinit { base.deallocate() }

    /// Hands the memory over; whoever takes it frees it.
    consuming func take() -> UnsafeMutablePointer<Element> {
        let taken = base
        discard self
        return taken
    }

    /// An element. Precondition: `0 <= index < count`.
    subscript(index: Int) -> Element {
        @inline(__always) get {
            precondition(index >= 0 && index < count)
            return base[index]
        }
        @inline(__always) set {
            precondition(index >= 0 && index < count)
            base[index] = newValue
        }
    }

    @inline(__always) mutating func append(_ element: Element) {
        if count == capacity { reserve(1) }
        base[count] = element
        count += 1
    }

    /// Appends `length` elements from memory that is not this arena's.
    @inline(__always) mutating func append(from source: UnsafePointer<Element>, count length: Int) {
        if count + length > capacity { reserve(length) }
        for index in 0..<length { base[count + index] = source[index] }
        count += length
    }

    /// Drops elements from the end. Precondition: there are so many.
    @inline(__always) mutating func removeLast(_ length: Int = 1) {
        precondition(length >= 0 && length <= count)
        count -= length
    }

    @inline(never) private mutating func reserve(_ length: Int) {
        let larger = max(capacity * 2, count + length)
        let moved = UnsafeMutablePointer<Element>.allocate(capacity: larger)
        moved.update(from: base, count: count)
        base.deallocate()
        base = moved
        capacity = larger
    }
}
