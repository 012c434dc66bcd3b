import CZooKernels
import ZooBase
import ZooTensor

/// A weighted sum of the inputs: what linear methods and all that reduce to coefficients end in. One fused pass, sums
/// in float64, rounded once.
struct Combination: MergeKernel, PreparedMerge {
    /// One per tensor of the stack.
    let weights: [Double]

    var passCount: Int { 0 }

    func prepare(_ stack: TensorStack, jobs: Int) -> any PreparedMerge { self }

    func apply(
        _ range: Range<Int>, _ stack: TensorStack, into output: UnsafeMutableRawPointer, type: KernelType
    ) throws {
        let size = zoo_dtype_size(type.rawValue)
        // Tensors of weight zero are not read: a NaN there must not spread, and reading costs time.
        for first in stride(from: range.lowerBound, to: range.upperBound, by: TensorStack.chunkLength) {
            let part = first..<min(range.upperBound, first + TensorStack.chunkLength)
            let target = output + (first - range.lowerBound) * size
            try stack.withStored(part) { pointers, codes in
                let used = weights.indices.filter { weights[$0] != 0 }
                zoo_weighted_sum(
                    used.map { pointers[$0] }, used.map { codes[$0] }, used.map { weights[$0] }, used.count,
                    part.count, target, type.rawValue, true)
            }
        }
    }
}

/// A merge that is computed block by block in the working precision.
protocol BlockMerge: PreparedMerge {
    /// Rows of scratch a block needs.
    var scratchRows: Int { get }
    /// Blocks hold whole multiples of this many elements.
    var unit: Int { get }
    /// What to do with each block of a range, in order: writes the result of the block, in the block's precision.
    func blocks(from first: Int, _ stack: TensorStack) throws -> (Block, UnsafeMutableRawPointer) throws -> Void
}

extension BlockMerge {
    var scratchRows: Int { 0 }
    var unit: Int { 1 }

    func apply(
        _ range: Range<Int>, _ stack: TensorStack, into output: UnsafeMutableRawPointer, type: KernelType
    ) throws {
        guard !range.isEmpty else { return }
        let start = range.lowerBound / unit * unit
        let end = min(stack.elementCount, (range.upperBound + unit - 1) / unit * unit)
        let size = zoo_dtype_size(type.rawValue)
        let body = try blocks(from: start, stack)
        // One row more than the method asks for: its result, before it is rounded into place.
        try stack.forEachBlock(start..<end, unit: unit, scratchRows: scratchRows + 1) { block in
            let row = block.scratch[scratchRows]
            try body(block, row)
            let from = max(block.first, range.lowerBound)
            let to = min(block.first + block.count, range.upperBound)
            guard to > from else { return }
            zoo_convert(
                row + (from - block.first) * block.realSize, stack.realCode, to - from,
                output + (from - range.lowerBound) * size, type.rawValue)
        }
    }
}

/// A result that had to be computed whole, kept until it is written.
struct DenseResult: PreparedMerge {
    let values: [Double]

    func apply(
        _ range: Range<Int>, _ stack: TensorStack, into output: UnsafeMutableRawPointer, type: KernelType
    ) throws {
        values.withUnsafeBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return }
            zoo_convert(base + range.lowerBound, KernelType.float64.rawValue, range.count, output, type.rawValue)
        }
    }
}
