import ZooBase

/// θ0 + λ Σ wᵢτᵢ with task vectors τᵢ = θᵢ − θ0 (Ilharco et al. 2023). Density is taken and ignored.
enum TaskArithmetic: MergeMethod {
    static let name = "task_arithmetic"
    static let summary = "weighted sum of the differences from the base"
    static let source = "arXiv 2212.04089"
    static let parameters = TaskVectorParameters.family(normalise: false, rescale: false)
    static let base = BaseUse.required
    static let models = 1...Int.max

    static func kernel(_ call: MergeCall) throws -> any MergeKernel {
        try TaskVectorParameters.kernel(call, consensus: false) { _ in .none }
    }
}
