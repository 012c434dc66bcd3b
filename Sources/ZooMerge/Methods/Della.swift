import ZooBase

/// DELLA: keep elements with a probability that grows with the rank of their magnitude in the row, elect signs, average
/// (Deep et al. 2024).
enum Della: MergeMethod {
    static let name = "della"
    static let summary = "random dropping by magnitude rank within rows, signs elected"
    static let source = "arXiv 2406.11617"
    static let parameters = TaskVectorParameters.family(
        normalise: true, rescale: true, consensus: true, more: [TaskVectorParameters.epsilon])
    static let base = BaseUse.required
    static let models = 1...Int.max

    static func kernel(_ call: MergeCall) throws -> any MergeKernel {
        try TaskVectorParameters.kernel(call, consensus: true) { try TaskVectorParameters.ranked($0, call) }
    }
}
