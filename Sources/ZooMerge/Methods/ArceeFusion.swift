import CZooKernels
import ZooBase

/// Arcee Fusion: takes the other model's values where change times divergence is an outlier.
///
/// Importance is |b − a| times the Kullback-Leibler divergence of the row's softmaxes; the threshold is the median plus
/// 1.5 interquartile ranges, by exact selection (the reference samples large tensors).
enum ArceeFusion: MergeMethod {
    static let name = "arcee_fusion"
    static let summary = "takes the other model's values where they matter most"
    static let source = "mergekit"
    static let parameters: [MergeParameter] = []
    static let base = BaseUse.oneOfTwo
    static let models = 1...1

    static func kernel(_ call: MergeCall) throws -> any MergeKernel {
        guard let base = call.base, let other = call.others.first else { return Combination(weights: [1]) }
        return Kernel(base: base, other: other, length: max(1, call.rowLength))
    }

    struct Kernel: MergeKernel {
        let base: Int
        let other: Int
        let length: Int

        var passCount: Int { 3 }

        func prepare(_ stack: TensorStack, jobs: Int) throws -> any PreparedMerge {
            guard stack.elementCount > 0 else { return Combination(weights: stack.tensors.map { _ in 0 }) }
            let divergences = try stack.reduce(jobs: jobs, unit: length, [Double]()) { block, rows in
                for row in 0..<block.count / length {
                    let offset = row * length * block.realSize
                    rows.append(
                        zoo_merge_divergence(
                            block.isWide, length, block.values[base] + offset, block.values[other] + offset))
                }
            }
            var prepared = Prepared(kernel: self, divergences: Array(divergences.joined()), threshold: 0)
            let last = Double(stack.elementCount - 1)
            let measured = prepared
            let found = try Selection.find(
                [[0.25, 0.5, 0.75].map { Int($0 * last) }], in: stack, jobs: jobs, scratchRows: 1
            ) { block in
                measured.importance(block, block.scratch[0])
                return [block.scratch[0]]
            }
            let quartiles = found[0].map { $0.value(isWide: stack.isWide) }
            prepared.threshold = quartiles[1] + 1.5 * (quartiles[2] - quartiles[0])
            return prepared
        }
    }

    struct Prepared: BlockMerge {
        let kernel: Kernel
        /// One per row.
        let divergences: [Double]
        var threshold: Double

        var scratchRows: Int { 1 }

        func importance(_ block: Block, _ output: UnsafeMutableRawPointer) {
            var done = 0
            while done < block.count {
                let row = (block.first + done) / kernel.length
                let count = min((row + 1) * kernel.length - block.first, block.count) - done
                let offset = done * block.realSize
                zoo_merge_importance(
                    block.isWide, count, block.values[kernel.base] + offset, block.values[kernel.other] + offset,
                    divergences[row], output + offset)
                done += count
            }
        }

        func blocks(from first: Int, _ stack: TensorStack) -> (Block, UnsafeMutableRawPointer) throws -> Void {
            { block, output in
                importance(block, block.scratch[0])
                zoo_merge_choose(
                    block.isWide, block.count, block.values[kernel.base], block.values[kernel.other],
                    block.scratch[0], threshold, output)
            }
        }
    }
}
