import CZooKernels
import ZooBase
import ZooTensor

/// The input tensors of one output tensor, equal in shape, decoded block by block.
public struct TensorStack: Sendable {
    /// The inputs.
    public let tensors: [Tensor]
    /// Elements of each.
    public let elementCount: Int
    /// Whether blocks are float64: some input is.
    public let isWide: Bool
    private let codes: [Int32]
    /// The type that inputs are rounded to before anything else, where it is narrower than theirs.
    private let rounding: KernelType?
    /// Brings rows into the order of the result's vocabulary.
    private let gather: RowGather?

    /// Elements of a block: a dozen of them stay in the second-level cache.
    static let blockLength = 4096
    /// Elements of the pieces that reductions are cut into: fixed, so that sums do not depend on threads.
    static let chunkLength = 1 << 16
    /// Tensors from this size on let go of mapped pages between passes, to keep the resident set small.
    private static let releaseLimit = 1 << 25

    /// Stacks tensors. Precondition: equal shapes, floating-point types.
    ///
    /// - Parameter workingType: the recipe's `dtype`.
    public init(_ tensors: [Tensor], workingType: DType? = nil) {
        self.init(tensors, workingType: workingType, rows: nil)
    }

    /// Stacks tensors whose rows are put into the order of a vocabulary. Precondition: shapes are equal but for rows.
    init(_ tensors: [Tensor], workingType: DType?, rows: RowPlan?) {
        // Types without a kernel (8-bit floats) are widened first; they are small.
        let stored = tensors.map { KernelType($0.dtype) == nil ? $0.converted(to: .float32) : $0 }
        let wanted = workingType.flatMap { KernelType($0) }
        self.tensors = stored
        gather = rows.map { rows in
            RowGather(rows, stored, width: stored.first.map { $0.shape.dimensions.dropFirst().reduce(1, *) } ?? 1)
        }
        elementCount = gather?.elementCount ?? stored.first?.elementCount ?? 0
        codes = stored.compactMap { KernelType($0.dtype)?.rawValue }
        let isRounded = wanted != nil && wanted != .float64 && stored.contains { KernelType($0.dtype) != wanted }
        rounding = isRounded ? wanted : nil
        isWide = wanted == .float64 || (wanted == nil && stored.contains { $0.dtype == .float64 })
    }

    var realCode: Int32 { isWide ? KernelType.float64.rawValue : KernelType.float32.rawValue }
    var realSize: Int { isWide ? 8 : 4 }

    /// Lends the inputs' elements `range` as they are stored (rounded to the working type), with their type codes.
    func withStored(
        _ range: Range<Int>, _ body: (_ pointers: [UnsafeRawPointer?], _ codes: [Int32]) throws -> Void
    ) throws {
        if let gather { return try withGathered(gather, range, body) }
        let slices = try tensors.map { tensor in
            try tensor.bytes.slice(range.lowerBound * tensor.dtype.byteCount, range.count * tensor.dtype.byteCount)
        }
        // `slices` keep the memory alive until the end of the call.
        try withExtendedLifetime(slices) {
            let pointers = slices.map { $0.withUnsafeBytes(\.baseAddress) }
            guard let rounding else { return try body(pointers, codes) }
            let size = zoo_dtype_size(rounding.rawValue)
            let memory = UnsafeMutableRawPointer.allocate(
                byteCount: max(1, size * range.count * pointers.count), alignment: 64)
            defer { memory.deallocate() }
            var rounded: [UnsafeRawPointer?] = []
            for (index, pointer) in pointers.enumerated() {
                let place = memory + index * size * range.count
                if let pointer { zoo_convert(pointer, codes[index], range.count, place, rounding.rawValue) }
                rounded.append(UnsafeRawPointer(place))
            }
            try body(rounded, Array(repeating: rounding.rawValue, count: pointers.count))
        }
    }

    private func withGathered(
        _ gather: RowGather, _ range: Range<Int>,
        _ body: (_ pointers: [UnsafeRawPointer?], _ codes: [Int32]) throws -> Void
    ) throws {
        let type: KernelType = isWide ? .float64 : .float32
        let size = realSize * range.count, count = tensors.count
        let memory = UnsafeMutableRawPointer.allocate(byteCount: max(1, size * count), alignment: 64)
        defer { memory.deallocate() }
        for index in 0..<count { try gather.fetch(index, range, into: memory + index * size, type: type) }
        let places = (0..<count).map { memory + $0 * size }
        guard let rounding else {
            return try body(places.map { UnsafeRawPointer($0) }, Array(repeating: type.rawValue, count: count))
        }
        let narrow = zoo_dtype_size(rounding.rawValue) * range.count
        let rounded = UnsafeMutableRawPointer.allocate(byteCount: max(1, narrow * count), alignment: 64)
        defer { rounded.deallocate() }
        for index in 0..<count {
            zoo_convert(places[index], type.rawValue, range.count, rounded + index * narrow, rounding.rawValue)
        }
        try body(
            (0..<count).map { UnsafeRawPointer(rounded + $0 * narrow) },
            Array(repeating: rounding.rawValue, count: count))
    }

    /// Makes the passes over all rows that must come first.
    func prepare(jobs: Int) throws { try gather?.prepare(jobs: jobs) }

    /// Calls `body` with each block of a range, decoded.
    ///
    /// - Parameters:
    ///   - unit: blocks begin at multiples of it and hold whole ones; the range must too, up to the tensor's end.
    ///   - scratchRows: rows of a block's length that `body` may use.
    func forEachBlock(
        _ range: Range<Int>, unit: Int = 1, scratchRows: Int = 0, _ body: (Block) throws -> Void
    ) throws {
        guard !range.isEmpty else { return }
        let step = max(1, Self.blockLength / unit) * unit
        let rowBytes = (min(step, range.count) * realSize + 63) / 64 * 64
        let rows = tensors.count + scratchRows
        let memory = UnsafeMutableRawPointer.allocate(byteCount: max(64, rows * rowBytes), alignment: 64)
        defer { memory.deallocate() }
        let places = (0..<rows).map { memory + $0 * rowBytes }
        for first in stride(from: range.lowerBound, to: range.upperBound, by: step) {
            let count = min(step, range.upperBound - first)
            try withStored(first..<first + count) { pointers, codes in
                for (index, pointer) in pointers.enumerated() {
                    if let pointer { zoo_convert(pointer, codes[index], count, places[index], realCode) }
                }
            }
            try body(
                Block(
                    first: first, count: count, isWide: isWide, values: Array(places.prefix(tensors.count)),
                    scratch: Array(places.dropFirst(tensors.count))))
        }
    }

    /// One partial result per fixed piece of the tensor, in order, computed by several threads.
    func reduce<Partial: Sendable>(
        jobs: Int, unit: Int = 1, scratchRows: Int = 0, _ initial: Partial,
        _ body: @Sendable (Block, inout Partial) throws -> Void
    ) throws -> [Partial] {
        let step = Self.chunkLength(unit: unit)
        return try Parallel.map(count: (elementCount + step - 1) / step, jobs: jobs) { chunk in
            let range = chunk * step..<min(elementCount, (chunk + 1) * step)
            var partial = initial
            try forEachBlock(range, unit: unit, scratchRows: scratchRows) { try body($0, &partial) }
            releaseIfLarge(range)
            return partial
        }
    }

    /// One partial result per thread, for results whose order does not matter (counts).
    func accumulate<Partial: Sendable>(
        jobs: Int, scratchRows: Int = 0, _ initial: Partial, _ body: @Sendable (Block, inout Partial) throws -> Void
    ) throws -> [Partial] {
        let step = Self.chunkLength
        let chunks = (elementCount + step - 1) / step
        let spans = max(1, min(jobs, chunks))
        return try Parallel.map(count: spans, jobs: jobs) { span in
            var partial = initial
            for chunk in chunks * span / spans..<chunks * (span + 1) / spans {
                try Cancellation.check()
                let range = chunk * step..<min(elementCount, (chunk + 1) * step)
                try forEachBlock(range, scratchRows: scratchRows) { try body($0, &partial) }
                releaseIfLarge(range)
            }
            return partial
        }
    }

    static func chunkLength(unit: Int) -> Int { max(1, chunkLength / unit) * unit }

    /// Lets mapped pages of a range leave memory.
    func release(_ range: Range<Int>) {
        if let gather { return gather.release(range) }
        for tensor in tensors {
            let size = tensor.dtype.byteCount
            (try? tensor.bytes.slice(range.lowerBound * size, range.count * size))?.releasePages()
        }
    }

    private func releaseIfLarge(_ range: Range<Int>) {
        if elementCount >= Self.releaseLimit / 4 { release(range) }
    }

    /// How many elements of each input are NaN or infinite in a range.
    func nonFiniteCounts(_ range: Range<Int>) throws -> [Int] {
        var counts = [Int](repeating: 0, count: tensors.count)
        try withStored(range) { pointers, codes in
            for (index, pointer) in pointers.enumerated() {
                if let pointer { counts[index] = Int(zoo_count_nonfinite(pointer, codes[index], range.count)) }
            }
        }
        return counts
    }
}

/// A run of elements of all inputs, decoded to float32, or to float64 where `isWide`. The memory is the reader's and
/// may be overwritten; it lives as long as the call.
struct Block {
    /// The flat index of the first element.
    let first: Int
    let count: Int
    let isWide: Bool
    /// The inputs.
    let values: [UnsafeMutableRawPointer]
    /// Room for results.
    let scratch: [UnsafeMutableRawPointer]

    var realSize: Int { isWide ? 8 : 4 }

    /// values[i] -= values[base] for all of `indices`.
    func subtract(base: Int, from indices: [Int]) {
        for index in indices { zoo_merge_subtract(isWide, count, values[index], values[base], values[index]) }
    }

    /// Pointers in the form that kernels take them.
    func pointers(_ indices: [Int]) -> [UnsafeRawPointer?] { indices.map { UnsafeRawPointer(values[$0]) } }

    /// One element as a double.
    func element(_ row: UnsafeMutableRawPointer, _ index: Int) -> Double {
        isWide
            ? row.load(fromByteOffset: index * 8, as: Double.self)
            : Double(row.load(fromByteOffset: index * 4, as: Float.self))
    }
}
