/// How metrics are computed.
public struct LandscapeOptions: Sendable, Hashable {
    /// Eigenvalues.
    public var topCount = 1
    /// Residual over |λ| at which an eigenvalue has converged.
    public var tolerance = 1e-3
    /// Lanczos steps at most.
    public var lanczosSteps = 60
    /// Lanczos steps at most for the smallest eigenvalue, which converges late.
    public var smallestSteps = 300
    /// Products with the Hessian that the top eigenvalue, the smallest one and the trace may take each; nil for their
    /// own numbers.
    public var mostProducts: Int?
    /// How the trace is estimated.
    public var traceMethod = TraceEstimator.Method.hutchinson
    /// Lanczos steps per run of the density.
    public var densitySteps = 60
    /// Runs of the density.
    public var densityRuns = 4
    /// Seed of probes and starts.
    public var seed: UInt64 = 0

    /// The defaults.
    public init() {}

    /// All that a metric's values depend on beside network and samples, as text.
    public func settings(for metric: String) -> String {
        let lanczos = "top=\(topCount) tolerance=\(tolerance) lanczos=\(lanczosSteps) seed=\(seed)"
        let limited: Set = [
            "hessian_top", "log_hessian_top", "hessian_min", "hessian_power", "hessian_trace", "log_hessian_trace",
        ]
        guard let mostProducts, limited.contains(metric) else { return unlimitedSettings(metric, lanczos) }
        return unlimitedSettings(metric, lanczos) + " most=\(mostProducts)"
    }

    private func unlimitedSettings(_ metric: String, _ lanczos: String) -> String {
        switch metric {
        case "hessian_top", "log_hessian_top": lanczos
        case "hessian_min": "min tolerance=\(tolerance) lanczos=\(smallestSteps) seed=\(seed)"
        case "hessian_power": "power top=\(topCount) seed=\(seed)"
        case "hessian_trace", "log_hessian_trace":
            traceMethod == .hutchinson
                ? "trace=beside \(lanczos)" : "trace=\(traceMethod.rawValue) seed=\(seed)"
        case "layer_curvature": "layers tolerance=\(tolerance) seed=\(seed)"
        case "spectral_density": "density=\(densitySteps)x\(densityRuns) seed=\(seed)"
        case "average_sharpness", "cka_mixup": "seed=\(seed)"
        default: "plain"
        }
    }
}
