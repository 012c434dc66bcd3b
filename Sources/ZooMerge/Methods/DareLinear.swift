import ZooBase

/// DARE: drop elements of each task vector at random, rescale what stays, sum (Yu et al. 2023). By default the sum of
/// magnitudes is restored exactly, as in mergekit; `rescale_norm: inverse` divides by the density, as in the paper.
enum DareLinear: MergeMethod {
    static let name = "dare_linear"
    static let summary = "task vectors with random elements dropped and the rest rescaled, summed"
    static let source = "arXiv 2311.03099"
    static let parameters = TaskVectorParameters.family(normalise: false, rescale: true)
    static let base = BaseUse.required
    static let models = 1...Int.max

    static func kernel(_ call: MergeCall) throws -> any MergeKernel {
        try TaskVectorParameters.kernel(call, consensus: false) { .random(density: $0.number("density")) }
    }
}
