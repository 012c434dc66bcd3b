import ZooBase

/// TIES: trim each task vector to its largest values, elect a sign for each element, average what agrees (Yadav et al.
/// 2023). Trims tensor by tensor and divides by weights, as mergekit does; the paper trims whole models.
enum Ties: MergeMethod {
    static let name = "ties"
    static let summary = "task vectors trimmed to the largest, signs elected, agreeing values averaged"
    static let source = "arXiv 2306.01708"
    static let parameters = TaskVectorParameters.family(
        normalise: true, rescale: false, consensus: true,
        more: [.word("trim_scope", ["tensor", "model"], "what is trimmed at once: each tensor or the model (ours)")])
    static let base = BaseUse.required
    static let models = 1...Int.max

    static func kernel(_ call: MergeCall) throws -> any MergeKernel {
        try TaskVectorParameters.kernel(call, consensus: true) { .magnitude(density: $0.number("density")) }
    }
}
