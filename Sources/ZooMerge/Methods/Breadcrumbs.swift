import ZooBase

/// Model breadcrumbs: drop the largest values of each task vector as outliers and the smallest as noise (Davari and
/// Belilovsky 2023). A tensor too small for one outlier keeps its largest values; mergekit loses it.
public enum Breadcrumbs: MergeMethod {
    public static let name = "breadcrumbs"
    public static let summary = "task vectors without their largest and smallest values, summed"
    public static let source = "arXiv 2312.06795"
    public static let parameters = TaskVectorParameters.family(normalise: false, rescale: false, more: [.perModel("gamma", 0.01, "the share of largest values that go")])
    public static let base = BaseUse.required
    public static let models = 1...Int.max

    public static func kernel(_ call: MergeCall) throws -> any MergeKernel {
        try TaskVectorParameters.kernel(call, consensus: false) { .outliers(density: $0.number("density"), gamma: $0.number("gamma")) }
    }
}
