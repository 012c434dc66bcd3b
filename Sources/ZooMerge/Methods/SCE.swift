import CZooKernels
import ZooBase

/// SCE: select the positions where task vectors vary most, calculate weights from their energy, erase the minority
/// sign (Wan et al. 2024, FuseChat).
enum SCE: MergeMethod {
    static let name = "sce"
    static let summary = "select by variance, weigh by energy, erase minority signs"
    static let source = "arXiv 2408.07990"
    static let parameters: [MergeParameter] = [
        .number("select_topk", 1, "the share of positions that stay"),
        .flag("int8_mask", false, "accepted; changes nothing"),
        .number("sce_floor", 1e-6, "sums of energies below it give equal weights (ours; the reference's value)"),
    ]
    static let base = BaseUse.required
    static let models = 1...Int.max

    static func kernel(_ call: MergeCall) throws -> any MergeKernel {
        guard let base = call.base else { throw call.fault(.usage, "the base model lacks it") }
        guard !call.others.isEmpty else { return Combination(weights: [1]) }
        return Kernel(
            base: base, models: call.others, share: call.parameters.number("select_topk"),
            floor: call.parameters.number("sce_floor"))
    }

    struct Kernel: MergeKernel {
        let base: Int
        let models: [Int]
        let share: Double
        let floor: Double

        var passCount: Int { share < 1 ? 4 : 1 }

        func prepare(_ stack: TensorStack, jobs: Int) throws -> any PreparedMerge {
            var prepared = Prepared(kernel: self, trim: nil, coefficients: [])
            if share < 1 {
                guard let trim = try selected(stack, jobs) else {
                    return Combination(weights: stack.tensors.indices.map { $0 == base ? 1 : 0 })
                }
                prepared.trim = trim
            }
            let energies = try prepared.energies(stack, jobs)
            let sum = energies.reduce(0, +)
            prepared.coefficients = energies.map { sum.magnitude < floor ? 1 / Double(models.count) : $0 / sum }
            return prepared
        }

        /// Bounds of the variances that stay; nil when none do.
        private func selected(_ stack: TensorStack, _ jobs: Int) throws -> Trim? {
            let varying = try stack.accumulate(jobs: jobs, scratchRows: 1, 0) { block, count in
                count += block.count - Int(zoo_merge_count_bits(block.isWide, block.count, variance(block), 0))
            }.reduce(0, +)
            let kept = Int(Double(varying) * share)
            guard kept > 0 else { return nil }
            let rank = stack.elementCount - kept
            let found = try Selection.find([[rank]], in: stack, jobs: jobs, scratchRows: 1) { [variance($0)] }
            var trim = Trim(lowest: found[0][0], first: nil, keepsEarly: true)
            if trim.needsStarts {
                let low = trim.range.low
                let parts = try stack.reduce(jobs: jobs, scratchRows: 1, UInt64(0)) { block, count in
                    count += zoo_merge_count_bits(block.isWide, block.count, variance(block), low)
                }
                var sum: UInt64 = 0
                for part in parts {
                    trim.starts.append((sum, 0))
                    sum += part
                }
            }
            return trim
        }

        /// The variances of a block, in its first scratch row. Turns the models' values into task vectors.
        func variance(_ block: Block) -> UnsafeMutableRawPointer {
            block.subtract(base: base, from: models)
            zoo_merge_variance(block.isWide, block.count, block.pointers(models), models.count, block.scratch[0])
            return block.scratch[0]
        }
    }

    struct Prepared: BlockMerge {
        let kernel: Kernel
        var trim: Trim?
        var coefficients: [Double]

        var scratchRows: Int { 1 }

        /// Mean squares of the selected task vectors.
        func energies(_ stack: TensorStack, _ jobs: Int) throws -> [Double] {
            let step = TensorStack.chunkLength
            let pieces = (stack.elementCount + step - 1) / step
            let parts = try Parallel.map(count: pieces, jobs: jobs) { piece in
                let range = piece * step..<min(stack.elementCount, (piece + 1) * step)
                var sums = [Double](repeating: 0, count: kernel.models.count)
                let select = try selecting(from: range.lowerBound, stack)
                try stack.forEachBlock(range, scratchRows: 1) { block in
                    select(block)
                    for (index, model) in kernel.models.enumerated() {
                        let vector: [UnsafeRawPointer?] = [UnsafeRawPointer(block.values[model])]
                        zoo_merge_gram(block.isWide, block.count, vector, 1, &sums[index])
                    }
                }
                if stack.elementCount > 1 << 23 { stack.release(range) }
                return sums
            }
            return kernel.models.indices.map { index in
                parts.reduce(0) { $0 + $1[index] } / Double(max(1, stack.elementCount))
            }
        }

        /// Turns the models' values of each block into task vectors, zero where they were not selected.
        private func selecting(from first: Int, _ stack: TensorStack) throws -> (Block) -> Void {
            guard let trim else { return { $0.subtract(base: kernel.base, from: kernel.models) } }
            var rank: UInt64 = 0
            if trim.needsStarts, first < stack.elementCount {
                let step = TensorStack.chunkLength
                rank = trim.starts[first / step].low
                try stack.forEachBlock(first / step * step..<first, scratchRows: 1) { block in
                    rank += zoo_merge_count_bits(
                        block.isWide, block.count, kernel.variance(block), trim.range.low)
                }
            }
            return { block in
                let variances = kernel.variance(block)
                var none: UInt64 = 0
                withUnsafePointer(to: trim.range) {
                    zoo_merge_trim(block.isWide, block.count, $0, &rank, &none, variances)
                }
                let size = block.realSize
                for index in 0..<block.count where block.element(variances, index) == 0 {
                    for model in kernel.models {
                        (block.values[model] + index * size).initializeMemory(as: UInt8.self, repeating: 0, count: size)
                    }
                }
            }
        }

        func blocks(from first: Int, _ stack: TensorStack) throws -> (Block, UnsafeMutableRawPointer) throws -> Void {
            let select = try selecting(from: first, stack)
            return { block, output in
                select(block)
                zoo_merge_erase(
                    block.isWide, block.count, block.pointers(kernel.models), coefficients, coefficients.count, 1e-6,
                    block.values[kernel.base], output)
            }
        }
    }
}
