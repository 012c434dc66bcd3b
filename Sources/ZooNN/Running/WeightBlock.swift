import ZooBase
import ZooTensor

/// The weights of one model in one block of memory, each tensor at the start of a cache line, as executors bind them.
///
/// `@unchecked Sendable`: written by its initialiser alone and only read afterwards.
final class WeightBlock: @unchecked Sendable {
    /// The tensors in the order in which they were given.
    let pointers: [UnsafePointer<Float>]
    private let block: UnsafeMutablePointer<Float>

    /// Numbers per cache line.
    private static let line = 16

    /// Space for tensors of the given sizes, filled by `fill` (place in the list, memory).
    init(sizes: [Int], fill: (Int, UnsafeMutableBufferPointer<Float>) throws -> Void) rethrows {
        (block, pointers) = Self.space(sizes)
        for (place, size) in sizes.enumerated() {
            try fill(
                place, UnsafeMutableBufferPointer(mutating: UnsafeBufferPointer(start: pointers[place], count: size)))
        }
    }

    /// The same with tensors filled on several threads.
    ///
    /// - Throws: what filling throws; `interrupted`.
    init(
        sizes: [Int], jobs: Int, fill: @Sendable (Int, UnsafeMutableBufferPointer<Float>) throws -> Void
    ) throws {
        (block, pointers) = Self.space(sizes)
        nonisolated(unsafe) let starts = pointers
        try Parallel.forEach(count: sizes.count, jobs: jobs) { place in
            let target = UnsafeBufferPointer(start: starts[place], count: sizes[place])
            try fill(place, UnsafeMutableBufferPointer(mutating: target))
        }
    }

    /// Memory for all tensors, and where each starts.
    private static func space(_ sizes: [Int]) -> (UnsafeMutablePointer<Float>, [UnsafePointer<Float>]) {
        var starts: [Int] = []
        var total = 0
        for size in sizes {
            starts.append(total)
            total += (size + Self.line - 1) / Self.line * Self.line
        }
        let block = UnsafeMutableRawPointer.allocate(
            byteCount: max(total, Self.line) * MemoryLayout<Float>.stride, alignment: 64
        ).bindMemory(to: Float.self, capacity: max(total, Self.line))
        return (block, starts.map { UnsafePointer(block + $0) })
    }

    deinit { block.deallocate() }

    /// The tensors of a model.
    ///
    /// - Throws: `mismatch` when a tensor has another shape; what reading throws.
    convenience init(_ source: any TensorSource, names: [String], shapes: [Shape]) throws {
        try self.init(sizes: shapes.map(\.elementCount)) { place, target in
            try ParameterLayout.read(names[place], shapes[place], from: source).withFloats { values in
                _ = target.update(fromContentsOf: values)
            }
        }
    }
}
