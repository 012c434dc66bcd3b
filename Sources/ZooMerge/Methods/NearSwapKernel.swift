import CZooKernels
import ZooBase

struct NearSwapKernel: MergeKernel, BlockMerge {
    let base: Int
    let other: Int
    let t: Double

    var passCount: Int { 0 }

    func prepare(_ stack: TensorStack, jobs: Int) -> any PreparedMerge { self }

    func blocks(from first: Int, _ stack: TensorStack) -> (Block, UnsafeMutableRawPointer) throws -> Void {
        { block, output in
            zoo_merge_nearswap(block.isWide, block.count, block.values[base], block.values[other], t, output)
        }
    }
}
