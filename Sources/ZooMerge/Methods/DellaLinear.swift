import ZooBase

/// DELLA without the election of signs.
public enum DellaLinear: MergeMethod {
    public static let name = "della_linear"
    public static let summary = "random dropping by magnitude rank within rows, summed"
    public static let source = "arXiv 2406.11617"
    public static let parameters = TaskVectorParameters.family(normalise: false, rescale: true, more: [TaskVectorParameters.epsilon])
    public static let base = BaseUse.required
    public static let models = 1...Int.max

    public static func kernel(_ call: MergeCall) throws -> any MergeKernel {
        try TaskVectorParameters.kernel(call, consensus: false) { try TaskVectorParameters.ranked($0, call) }
    }
}
