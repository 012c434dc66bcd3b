import ZooBase
import ZooNN

/// Curvature tensor by tensor: the diagonal blocks of the Hessian. The traces of all blocks add up to the whole trace.
enum LayerCurvature {
    /// Products per tensor at most: Lanczos steps and probes.
    private static let lanczosSteps = 40, probes = 60

    static func measurements(_ subject: LandscapeSubject) throws -> [Measurement] {
        let hessian = subject.hessian
        return try subject.problem.layout.entries.flatMap { entry in
            try Cancellation.check()
            let block = hessian.block(entry.range)
            let largest = try LargestEigenvalues(
                block, tolerance: subject.options.tolerance, maximumSteps: lanczosSteps, seed: subject.options.seed)
            let trace = try TraceEstimator(block, beside: largest, most: probes, seed: subject.options.seed).trace
            return [
                Measurement("layer_hessian_top/\(entry.name)", largest.values[0]),
                Measurement("layer_hessian_trace/\(entry.name)", trace),
            ]
        }
    }
}
