import ZooBase

/// DARE: drop elements of each task vector at random, rescale what stays, sum (Yu et al. 2023). By default the sum of
/// magnitudes is restored exactly, as in mergekit; `rescale_norm: inverse` divides by the density, as in the paper.
public enum DareLinear: MergeMethod {
    public static let name = "dare_linear"
    public static let summary = "task vectors with random elements dropped and the rest rescaled, summed"
    public static let source = "arXiv 2311.03099"
    public static let parameters = TaskVectorParameters.family(normalise: false, rescale: true)
    public static let base = BaseUse.required
    public static let models = 1...Int.max

    public static func kernel(_ call: MergeCall) throws -> any MergeKernel {
        try TaskVectorParameters.kernel(call, consensus: false) { .random(density: $0.number("density")) }
    }
}
