import CZooKernels
import ZooBase
import ZooTensor

/// The task-vector family with its thresholds and factors found.
struct PreparedTaskVectors: BlockMerge {
    let merge: TaskVectorMerge
    /// Bounds of the models that are trimmed by magnitude.
    let trims: [Trim?]
    /// What the thinned task vectors are multiplied with.
    var factors: [Double]
    let divisor: Double

    /// Ranks are taken along the second axis, so blocks hold whole rows there; blocks of n:m stay whole too.
    var unit: Int {
        for sparsifier in merge.sparsifiers {
            if case .blocks(_, let block) = sparsifier { return block }
            if sparsifier.isRanked { return max(1, rank.length * rank.inner) }
        }
        return 1
    }

    /// The ranked axis: its extent and the distance between neighbours along it. Vectors and numbers are one row.
    private var rank: (length: Int, inner: Int) {
        let dimensions = merge.shape.dimensions
        if dimensions.count < 2 { return (merge.shape.elementCount, 1) }
        return (dimensions[1], dimensions.dropFirst(2).reduce(1, *))
    }

    func blocks(from first: Int, _ stack: TensorStack) throws -> (Block, UnsafeMutableRawPointer) throws -> Void {
        let thin = try thinning(from: first, stack)
        return { block, output in
            block.subtract(base: merge.base, from: merge.models)
            thin(block)
            for (position, model) in merge.models.enumerated() where factors[position] != 1 {
                zoo_merge_scale(block.isWide, block.count, factors[position], block.values[model])
            }
            let deltas = block.pointers(merge.models), base = block.values[merge.base]
            switch merge.consensus {
            case .none:
                zoo_merge_sum(
                    block.isWide, block.count, deltas, merge.weights, deltas.count, divisor, merge.lambda, base, output)
            case .sum, .count:
                zoo_merge_consensus(
                    block.isWide, block.count, deltas, merge.weights, deltas.count, merge.consensus == .count,
                    merge.normalises, merge.lambda, base, output)
            }
        }
    }

    /// Thins the task vectors of the blocks of a range, which must come in order.
    ///
    /// - Parameter first: where the range begins.
    func thinning(from first: Int, _ stack: TensorStack) throws -> (Block) -> Void {
        var ranks = try merge.models.indices.map { try equalsBefore(first, $0, stack) }
        let inverse = merge.rescale == .inverse
        return { block in
            for (position, model) in merge.models.enumerated() {
                let values = block.values[model]
                if let trim = trims[position] {
                    var (low, high) = ranks[position]
                    withUnsafePointer(to: trim.range) {
                        zoo_merge_trim(block.isWide, block.count, $0, &low, &high, values)
                    }
                    ranks[position] = (low, high)
                    if inverse { zoo_merge_scale(block.isWide, block.count, 1 / density(position), values) }
                    continue
                }
                thin(block, values, position, inverse)
            }
        }
    }

    private func density(_ position: Int) -> Double { merge.sparsifiers[position].density }

    private func thin(_ block: Block, _ values: UnsafeMutableRawPointer, _ position: Int, _ inverse: Bool) {
        switch merge.sparsifiers[position] {
        case .none, .magnitude, .outliers: break
        case .random(let density):
            guard density < 1 else { return }
            zoo_merge_drop(
                block.isWide, block.count, merge.keys[position], UInt64(block.first), density, inverse, values)
        case .ranked(let density, let epsilon):
            guard density < 1 else { return }
            let keep = probabilities(block, values, density, epsilon)
            zoo_merge_drop_each(
                block.isWide, block.count, merge.keys[position], UInt64(block.first), keep, inverse, values)
        case .blocks(let keep, let length): keepLargest(block, values, keep, length)
        case .given(let density, let rule):
            for index in 0..<block.count where !rule(block.first + index) {
                (values + index * block.realSize).initializeMemory(as: UInt8.self, repeating: 0, count: block.realSize)
            }
            if inverse { zoo_merge_scale(block.isWide, block.count, 1 / density, values) }
        }
    }

    /// How many equals of a model's bounds come before an element.
    private func equalsBefore(_ first: Int, _ position: Int, _ stack: TensorStack) throws -> (low: UInt64, high: UInt64)
    {
        guard let trim = trims[position], trim.needsStarts, first < stack.elementCount else { return (0, 0) }
        let step = TensorStack.chunkLength
        var result = trim.starts[first / step]
        try stack.forEachBlock(first / step * step..<first) { block in
            let model = merge.models[position]
            block.subtract(base: merge.base, from: [model])
            let values = block.values[model]
            result.low += zoo_merge_count_bits(block.isWide, block.count, values, trim.range.low)
            result.high += zoo_merge_count_bits(block.isWide, block.count, values, trim.range.high)
        }
        return result
    }

    /// DELLA's keep probabilities: density − ε + 2ε·rank/(length − 1), ranks along the second axis.
    private func probabilities(
        _ block: Block, _ values: UnsafeMutableRawPointer, _ density: Double, _ epsilon: Double
    ) -> [Double] {
        let (length, inner) = rank
        var keep = [Double](repeating: max(0, density - epsilon), count: block.count)
        guard length > 1 else { return keep }
        var ranks = [UInt32](repeating: 0, count: length)
        var scratch = [UInt64](repeating: 0, count: 4 * length)
        var line = [UInt64](repeating: 0, count: length)
        let size = block.realSize
        for start in stride(from: 0, to: block.count, by: length * inner) {
            for offset in 0..<inner {
                line.withUnsafeMutableBytes { line in
                    for index in 0..<length {
                        let from = values + (start + index * inner + offset) * size
                        UnsafeMutableRawBufferPointer(rebasing: line[index * size..<(index + 1) * size])
                            .copyMemory(from: UnsafeRawBufferPointer(start: from, count: size))
                    }
                }
                line.withUnsafeBytes { zoo_merge_ranks(block.isWide, length, $0.baseAddress, &ranks, &scratch) }
                for index in 0..<length {
                    keep[start + index * inner + offset] += 2 * epsilon * Double(ranks[index]) / Double(length - 1)
                }
            }
        }
        return keep
    }

    private func keepLargest(_ block: Block, _ values: UnsafeMutableRawPointer, _ keep: Int, _ length: Int) {
        for start in stride(from: 0, to: block.count, by: length) {
            let count = min(length, block.count - start)
            let sizes = (0..<count).map { block.element(values, start + $0).magnitude }
            for index in 0..<count {
                let ahead = (0..<count).count { sizes[$0] > sizes[index] || (sizes[$0] == sizes[index] && $0 < index) }
                // The last, incomplete block is zeroed as a whole.
                guard count < length || ahead >= keep else { continue }
                (values + (start + index) * block.realSize).initializeMemory(
                    as: UInt8.self, repeating: 0, count: block.realSize)
            }
        }
    }
}
