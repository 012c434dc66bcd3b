import CZooKernels
import ZooBase

/// MagMax: at each position the change of largest magnitude (Marczak et al. 2024).
enum MagMax: MergeMethod {
    static let name = "magmax"
    static let summary = "at each position the largest change"
    static let source = "arXiv 2407.06322"
    static let parameters: [MergeParameter] = [.number("alpha", 0.5, "scales the merged task vector")]
    static let base = BaseUse.required
    static let models = 1...Int.max

    static func kernel(_ call: MergeCall) throws -> any MergeKernel {
        guard let base = call.base else { throw call.fault(.usage, "the base model lacks it") }
        let alpha = call.parameters.number("alpha")
        return DeltaBlocks(base: base, models: call.others) { block, deltas, base, output in
            zoo_merge_largest(block.isWide, block.count, deltas, deltas.count, alpha, base, output)
        }
    }
}

/// Consensus merging: the summed task vector where at least two models' own changes stand out (Wang et al. 2024).
enum Consensus: MergeMethod {
    static let name = "consensus"
    static let summary = "the summed change where enough models' masks agree"
    static let source = "arXiv 2405.07813"
    static let parameters: [MergeParameter] = [
        .number("lambda", 0.4, "a change counts when larger than lambda times the rest of the sum"),
        .number("least", 2, "how many models must count"),
        .number("alpha", 0.3, "scales the merged task vector"),
    ]
    static let base = BaseUse.required
    static let models = 1...Int.max

    static func kernel(_ call: MergeCall) throws -> any MergeKernel {
        guard let base = call.base else { throw call.fault(.usage, "the base model lacks it") }
        let lambda = call.parameters.number("lambda"), alpha = call.parameters.number("alpha")
        let least = max(0, Int(call.parameters.number("least")))
        return DeltaBlocks(base: base, models: call.others) { block, deltas, base, output in
            zoo_merge_consensus_mask(
                block.isWide, block.count, deltas, deltas.count, lambda, least, alpha, base, output)
        }
    }
}

/// Methods that work element by element on the task vectors.
struct DeltaBlocks: MergeKernel, BlockMerge {
    let base: Int
    let models: [Int]
    let body:
        @Sendable (
            _ block: Block, _ deltas: [UnsafeRawPointer?], _ base: UnsafeRawPointer, _ output: UnsafeMutableRawPointer
        ) -> Void

    var passCount: Int { 0 }

    func prepare(_ stack: TensorStack, jobs: Int) -> any PreparedMerge { self }

    func blocks(from first: Int, _ stack: TensorStack) -> (Block, UnsafeMutableRawPointer) throws -> Void {
        { block, output in
            block.subtract(base: base, from: models)
            body(block, block.pointers(models), block.values[base], output)
        }
    }
}
