import ZooBase

/// Breadcrumbs with the sign election of TIES.
enum BreadcrumbsTies: MergeMethod {
    static let name = "breadcrumbs_ties"
    static let summary = "breadcrumbs with the sign election of ties"
    static let source = "arXiv 2312.06795"
    static let parameters = TaskVectorParameters.family(
        normalise: false, rescale: false, consensus: true, more: [TaskVectorParameters.gamma])
    static let base = BaseUse.required
    static let models = 1...Int.max

    static func kernel(_ call: MergeCall) throws -> any MergeKernel {
        try TaskVectorParameters.kernel(call, consensus: true) {
            .outliers(density: $0.number("density"), gamma: $0.number("gamma"))
        }
    }
}
