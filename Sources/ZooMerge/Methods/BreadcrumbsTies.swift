import ZooBase

/// Breadcrumbs with the sign election of TIES.
public enum BreadcrumbsTies: MergeMethod {
    public static let name = "breadcrumbs_ties"
    public static let summary = "breadcrumbs with the sign election of ties"
    public static let source = "arXiv 2312.06795"
    public static let parameters = TaskVectorParameters.family(normalise: false, rescale: false, consensus: true, more: [.perModel("gamma", 0.01, "the share of largest values that go")])
    public static let base = BaseUse.required
    public static let models = 1...Int.max

    public static func kernel(_ call: MergeCall) throws -> any MergeKernel {
        try TaskVectorParameters.kernel(call, consensus: true) { .outliers(density: $0.number("density"), gamma: $0.number("gamma")) }
    }
}
