import ZooBase

/// θ0 + λ Σ wᵢτᵢ with task vectors τᵢ = θᵢ − θ0 (Ilharco et al. 2023). Density is taken and ignored.
public enum TaskArithmetic: MergeMethod {
    public static let name = "task_arithmetic"
    public static let summary = "weighted sum of the differences from the base"
    public static let source = "arXiv 2212.04089"
    public static let parameters = TaskVectorParameters.family(normalise: false, rescale: false)
    public static let base = BaseUse.required
    public static let models = 1...Int.max

    public static func kernel(_ call: MergeCall) throws -> any MergeKernel {
        try TaskVectorParameters.kernel(call, consensus: false) { _ in .none }
    }
}
