import ZooBase

/// DARE with the sign election of TIES.
enum DareTies: MergeMethod {
    static let name = "dare_ties"
    static let summary = "dare_linear with the sign election of ties"
    static let source = "arXiv 2311.03099"
    static let parameters = TaskVectorParameters.family(normalise: false, rescale: true, consensus: true)
    static let base = BaseUse.required
    static let models = 1...Int.max

    static func kernel(_ call: MergeCall) throws -> any MergeKernel {
        try TaskVectorParameters.kernel(call, consensus: true) { .random(density: $0.number("density")) }
    }
}
