import ZooBase

/// DELLA without the election of signs.
enum DellaLinear: MergeMethod {
    static let name = "della_linear"
    static let summary = "random dropping by magnitude rank within rows, summed"
    static let source = "arXiv 2406.11617"
    static let parameters = TaskVectorParameters.family(
        normalise: false, rescale: true, more: [TaskVectorParameters.epsilon])
    static let base = BaseUse.required
    static let models = 1...Int.max

    static func kernel(_ call: MergeCall) throws -> any MergeKernel {
        try TaskVectorParameters.kernel(call, consensus: false) { try TaskVectorParameters.ranked($0, call) }
    }
}
