import CZooKernels
import ZooBase

/// RAM: values that one model alone changed stay whole, values that several changed are averaged.
enum RAM: MergeMethod {
    static let name = "ram"
    static let summary = "unique changes whole, shared changes averaged"
    static let source = "mergekit"
    static let parameters: [MergeParameter] = [.number("epsilon", 1e-5, "smaller changes do not count")]
    static let base = BaseUse.required
    static let models = 1...Int.max

    static func kernel(_ call: MergeCall) throws -> any MergeKernel {
        guard let base = call.base else { throw call.fault(.usage, "the base model lacks it") }
        guard !call.others.isEmpty else { return Combination(weights: [1]) }
        return UniqueMerge(
            base: base, models: call.others, epsilon: call.parameters.number("epsilon"), boost: nil)
    }
}

/// RAM+ with tensor-level rescaling: unique changes are multiplied by 1 + r·clamp(shared / unique, 0, alpha).
enum RAMPlus: MergeMethod {
    static let name = "ramplus_tl"
    static let summary = "ram with unique changes enlarged by how much is shared"
    static let source = "mergekit"
    static let parameters: [MergeParameter] = [
        .number("r", 0.1, "how much unique changes are enlarged"),
        .number("alpha", 0.2, "the most that the ratio of shared to unique counts"),
        .number("epsilon", 1e-5, "smaller changes do not count"),
    ]
    static let base = BaseUse.required
    static let models = 1...Int.max

    static func kernel(_ call: MergeCall) throws -> any MergeKernel {
        guard let base = call.base else { throw call.fault(.usage, "the base model lacks it") }
        guard !call.others.isEmpty else { return Combination(weights: [1]) }
        return UniqueMerge(
            base: base, models: call.others, epsilon: call.parameters.number("epsilon"),
            boost: (call.parameters.number("r"), call.parameters.number("alpha")))
    }
}

/// Both forms of RAM.
struct UniqueMerge: MergeKernel {
    let base: Int
    let models: [Int]
    let epsilon: Double
    let boost: (r: Double, alpha: Double)?

    var passCount: Int { boost == nil ? 0 : 1 }

    func prepare(_ stack: TensorStack, jobs: Int) throws -> any PreparedMerge {
        guard let boost else { return Prepared(merge: self, unique: models.map { _ in 1 }) }
        let empty = [UInt64](repeating: 0, count: 2 * models.count)
        let parts = try stack.accumulate(jobs: jobs, empty) { block, counts in
            block.subtract(base: base, from: models)
            zoo_merge_activity(block.isWide, block.count, block.pointers(models), models.count, epsilon, &counts)
        }
        return Prepared(
            merge: self,
            unique: models.indices.map { index in
                let alone = Double(parts.reduce(0) { $0 + $1[2 * index] })
                let shared = Double(parts.reduce(0) { $0 + $1[2 * index + 1] })
                return 1 + boost.r * min(boost.alpha, max(0, shared / max(alone, epsilon)))
            })
    }

    struct Prepared: BlockMerge {
        let merge: UniqueMerge
        /// The factor of each model's unique changes.
        let unique: [Double]

        func blocks(from first: Int, _ stack: TensorStack) -> (Block, UnsafeMutableRawPointer) throws -> Void {
            { block, output in
                block.subtract(base: merge.base, from: merge.models)
                zoo_merge_unique(
                    block.isWide, block.count, block.pointers(merge.models), unique, unique.count, merge.epsilon,
                    block.values[merge.base], output)
            }
        }
    }
}
