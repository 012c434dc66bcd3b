import CZooKernels
import ZooBase

/// Dot products of a few vectors: all that methods need which stay in the span of their inputs.
public struct Gram: Sendable {
    /// How many vectors.
    public let count: Int
    /// Upper triangle, row-major.
    let values: [Double]

    /// ⟨i, j⟩.
    public subscript(i: Int, j: Int) -> Double { values[min(i, j) * count + max(i, j)] }

    /// ‖i‖.
    public func norm(_ i: Int) -> Double { self[i, i].squareRoot() }

    /// ⟨Σ aᵢvᵢ, Σ bᵢvᵢ⟩.
    public func dot(_ a: [Double], _ b: [Double]) -> Double {
        var sum = 0.0
        for i in 0..<count { for j in 0..<count { sum += a[i] * b[j] * self[i, j] } }
        return sum
    }
}

/// Methods whose result is a combination of the inputs with coefficients that follow from their dot products: one pass
/// for the products, one for the sum.
struct GramMerge: MergeKernel {
    /// What the vectors are.
    enum Layout: Sendable, Hashable {
        /// The whole tensor is one vector.
        case flat
        /// Rows of the last axis, each with coefficients of its own.
        case rows(length: Int)
        /// Vectors along the first axis; so many of them.
        case columns(count: Int)
    }

    /// The tensors that take part, as positions in the stack.
    let vectors: [Int]
    /// The tensor that is subtracted first and added again at the end.
    let origin: Int?
    let layout: Layout
    /// The coefficients of the vectors.
    let coefficients: @Sendable (Gram) throws -> [Double]

    var passCount: Int { 1 }

    func prepare(_ stack: TensorStack, jobs: Int) throws -> any PreparedMerge {
        switch layout {
        case .flat:
            let parts = try stack.reduce(jobs: jobs, zeros) { block, sums in add(block, to: &sums) }
            let sums = parts.reduce(into: zeros) { total, part in
                for index in total.indices { total[index] += part[index] }
            }
            return Combination(weights: try weights(sums, stack.tensors.count))
        case .rows(let length): return try rows(stack, max(1, length), jobs)
        case .columns(let count): return try columns(stack, max(1, count))
        }
    }

    private var zeros: [Double] { [Double](repeating: 0, count: vectors.count * vectors.count) }

    private func add(_ block: Block, to sums: inout [Double]) {
        if let origin { block.subtract(base: origin, from: vectors) }
        zoo_merge_gram(block.isWide, block.count, block.pointers(vectors), vectors.count, &sums)
    }

    /// One weight per tensor of the stack.
    private func weights(_ sums: [Double], _ count: Int) throws -> [Double] {
        let found = try coefficients(Gram(count: vectors.count, values: sums))
        var weights = [Double](repeating: 0, count: count)
        for (position, vector) in vectors.enumerated() { weights[vector] += found[position] }
        if let origin { weights[origin] += 1 - found.reduce(0, +) }
        return weights
    }

    private func rows(_ stack: TensorStack, _ length: Int, _ jobs: Int) throws -> any PreparedMerge {
        let parts = try stack.reduce(jobs: jobs, unit: length, [Double]()) { block, table in
            if let origin { block.subtract(base: origin, from: vectors) }
            for row in 0..<block.count / length {
                var sums = zeros
                let pointers = vectors.map { UnsafeRawPointer?(block.values[$0] + row * length * block.realSize) }
                zoo_merge_gram(block.isWide, length, pointers, vectors.count, &sums)
                table += try weights(sums, stack.tensors.count)
            }
        }
        return RowCombination(length: length, table: Array(parts.joined()), count: stack.tensors.count)
    }

    private func columns(_ stack: TensorStack, _ columns: Int) throws -> any PreparedMerge {
        let pairs = vectors.count * vectors.count
        var dots = [Double](repeating: 0, count: pairs * columns)
        // One thread, in order: the sums are long and few, and must not depend on the number of threads.
        for row in 0..<stack.elementCount / columns {
            let range = row * columns..<(row + 1) * columns
            try stack.forEachBlock(range) { block in
                if let origin { block.subtract(base: origin, from: vectors) }
                let at = block.first - range.lowerBound
                dots.withUnsafeMutableBufferPointer { dots in
                    guard let base = dots.baseAddress else { return }
                    for i in vectors.indices {
                        for j in i..<vectors.count {
                            zoo_merge_column_dots(
                                block.isWide, block.count, block.values[vectors[i]], block.values[vectors[j]],
                                base + (i * vectors.count + j) * columns + at)
                        }
                    }
                }
            }
        }
        var table = [Double](repeating: 0, count: stack.tensors.count * columns)
        for column in 0..<columns {
            let found = try weights((0..<pairs).map { dots[$0 * columns + column] }, stack.tensors.count)
            for (tensor, weight) in found.enumerated() { table[tensor * columns + column] = weight }
        }
        return ColumnCombination(columns: columns, table: table)
    }
}

/// A weighted sum with weights for each row.
struct RowCombination: PreparedMerge {
    let length: Int
    /// Row by row, one weight per tensor.
    let table: [Double]
    let count: Int

    func apply(
        _ range: Range<Int>, _ stack: TensorStack, into output: UnsafeMutableRawPointer, type: KernelType
    ) throws {
        let size = zoo_dtype_size(type.rawValue)
        var first = range.lowerBound
        while first < range.upperBound {
            let row = first / length
            let part = first..<min(range.upperBound, (row + 1) * length)
            let weights = Array(table[row * count..<(row + 1) * count])
            try Combination(weights: weights).apply(
                part, stack, into: output + (first - range.lowerBound) * size, type: type)
            first = part.upperBound
        }
    }
}

/// A weighted sum with weights for each position along the first axis' complement.
struct ColumnCombination: BlockMerge {
    let columns: Int
    /// One row of weights per tensor.
    let table: [Double]

    func blocks(from first: Int, _ stack: TensorStack) -> (Block, UnsafeMutableRawPointer) throws -> Void {
        { block, output in
            var done = 0
            while done < block.count {
                let column = (block.first + done) % columns
                let count = min(columns - column, block.count - done)
                let pointers = block.values.map { UnsafeRawPointer?($0 + done * block.realSize) }
                table.withUnsafeBufferPointer { table in
                    guard let base = table.baseAddress else { return }
                    zoo_merge_columns(
                        block.isWide, count, pointers, pointers.count, base + column, columns,
                        output + done * block.realSize)
                }
                done += count
            }
        }
    }
}
