import ZooBase

/// TIES: trim each task vector to its largest values, elect a sign for each element, average what agrees (Yadav et al.
/// 2023). Trims tensor by tensor and divides by weights, as mergekit does; the paper trims whole models.
public enum Ties: MergeMethod {
    public static let name = "ties"
    public static let summary = "task vectors trimmed to the largest, signs elected, agreeing values averaged"
    public static let source = "arXiv 2306.01708"
    public static let parameters = TaskVectorParameters.family(normalise: true, rescale: false, consensus: true)
    public static let base = BaseUse.required
    public static let models = 1...Int.max

    public static func kernel(_ call: MergeCall) throws -> any MergeKernel {
        try TaskVectorParameters.kernel(call, consensus: true) { .magnitude(density: $0.number("density")) }
    }
}
