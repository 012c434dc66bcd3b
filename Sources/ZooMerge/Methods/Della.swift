import ZooBase

/// DELLA: keep elements with a probability that grows with the rank of their magnitude in the row, elect signs, average
/// (Deep et al. 2024).
public enum Della: MergeMethod {
    public static let name = "della"
    public static let summary = "random dropping by magnitude rank within rows, signs elected"
    public static let source = "arXiv 2406.11617"
    public static let parameters = TaskVectorParameters.family(normalise: true, rescale: true, consensus: true, more: [TaskVectorParameters.epsilon])
    public static let base = BaseUse.required
    public static let models = 1...Int.max

    public static func kernel(_ call: MergeCall) throws -> any MergeKernel {
        try TaskVectorParameters.kernel(call, consensus: true) { try TaskVectorParameters.ranked($0, call) }
    }
}
