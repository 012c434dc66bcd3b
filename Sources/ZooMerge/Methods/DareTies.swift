import ZooBase

/// DARE with the sign election of TIES.
public enum DareTies: MergeMethod {
    public static let name = "dare_ties"
    public static let summary = "dare_linear with the sign election of ties"
    public static let source = "arXiv 2311.03099"
    public static let parameters = TaskVectorParameters.family(normalise: false, rescale: true, consensus: true)
    public static let base = BaseUse.required
    public static let models = 1...Int.max

    public static func kernel(_ call: MergeCall) throws -> any MergeKernel {
        try TaskVectorParameters.kernel(call, consensus: true) { .random(density: $0.number("density")) }
    }
}
