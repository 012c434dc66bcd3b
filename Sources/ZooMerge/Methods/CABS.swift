import ZooBase

/// n:m sparsity: of every m consecutive elements of each task vector the n largest stay; an incomplete last block goes.
enum CABS: MergeMethod {
    static let name = "cabs"
    static let summary = "n of every m consecutive values of each task vector stay, summed"
    static let source = "arXiv 2503.01874"
    static let parameters = TaskVectorParameters.family(
        normalise: false, rescale: false,
        more: [
            .perModel("n", 1, "values that stay of each block"), .perModel("m", 4, "values of a block"),
        ])
    static let base = BaseUse.required
    static let models = 1...Int.max

    static func kernel(_ call: MergeCall) throws -> any MergeKernel {
        try TaskVectorParameters.kernel(call, consensus: false) {
            let kept = Int($0.number("n")), block = Int($0.number("m"))
            guard block >= 1, block <= 4096, (0...block).contains(kept) else {
                throw call.fault(.usage, "cabs needs 0 ≤ n ≤ m ≤ 4096, found n = \(kept), m = \(block)")
            }
            return .blocks(keep: kept, block: block)
        }
    }
}
