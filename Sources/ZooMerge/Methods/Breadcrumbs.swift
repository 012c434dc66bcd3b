import ZooBase

/// Model breadcrumbs: drop the largest values of each task vector as outliers and the smallest as noise (Davari and
/// Belilovsky 2023). A tensor too small for one outlier keeps its largest values; mergekit loses it.
enum Breadcrumbs: MergeMethod {
    static let name = "breadcrumbs"
    static let summary = "task vectors without their largest and smallest values, summed"
    static let source = "arXiv 2312.06795"
    static let parameters = TaskVectorParameters.family(
        normalise: false, rescale: false, more: [TaskVectorParameters.gamma])
    static let base = BaseUse.required
    static let models = 1...Int.max

    static func kernel(_ call: MergeCall) throws -> any MergeKernel {
        try TaskVectorParameters.kernel(call, consensus: false) {
            .outliers(density: $0.number("density"), gamma: $0.number("gamma"))
        }
    }
}
