import ZooBase
import ZooNN
import ZooTensor

/// A metric of single networks. To add one, write it in `all`.
public struct LandscapeMetric: Sendable {
    /// The name to ask for it by.
    public let name: String
    /// One line that says what it is.
    public let summary: String
    /// Computes the measurements; several where one run gives several.
    public let measure: @Sendable (LandscapeSubject) throws -> [Measurement]

    /// All metrics of single networks.
    public static let all: [LandscapeMetric] = [
        LandscapeMetric(name: "loss", summary: "mean cross-entropy on the samples") { subject in
            [Measurement("landscape_loss", try subject.loss())]
        },
        LandscapeMetric(name: "accuracy", summary: "share of correct samples") { subject in
            [Measurement("landscape_accuracy", try subject.evaluation().accuracy)]
        },
        LandscapeMetric(name: "gradient_norm", summary: "Euclidean norm of the gradient") { subject in
            let found = try subject.problem.gradient(at: subject.problem.initial)
            return [Measurement("gradient_norm", Vectors.norm(found.gradient))]
        },
        LandscapeMetric(name: "weight_norm", summary: "Euclidean norm of the trained weights") { subject in
            [Measurement("weight_norm", Vectors.norm(subject.problem.initial))]
        },
        LandscapeMetric(name: "hessian_top", summary: "largest eigenvalues of the Hessian, by Lanczos") { subject in
            try subject.largest().values.enumerated().map { place, estimate in
                Measurement(place == 0 ? "hessian_top" : "hessian_top_\(place + 1)", estimate)
            }
        },
        LandscapeMetric(name: "hessian_min", summary: "smallest eigenvalue of the Hessian, by Lanczos to the end") {
            subject in
            let smallest = try LargestEigenvalues.smallest(
                of: subject.hessian, tolerance: subject.options.tolerance,
                maximumSteps: subject.options.mostProducts ?? subject.options.smallestSteps, seed: subject.options.seed)
            return [Measurement("hessian_min", smallest)]
        },
        LandscapeMetric(name: "log_hessian_top", summary: "ln of the largest eigenvalue; none where it is not above 0")
        {
            subject in [Measurement.logarithm("log_hessian_top", of: try subject.largest().values[0])]
        },
        LandscapeMetric(
            name: "hessian_power", summary: "eigenvalues of largest magnitude with PyHessian's stopping rule"
        ) {
            subject in
            let power = try PowerIteration(
                subject.hessian, count: subject.options.topCount,
                maximumSteps: subject.options.mostProducts ?? 100, seed: subject.options.seed)
            return power.eigenvalues.enumerated().map { place, estimate in
                Measurement(place == 0 ? "hessian_power" : "hessian_power_\(place + 1)", estimate)
            }
        },
        LandscapeMetric(name: "hessian_trace", summary: "trace of the Hessian from products with random signs") {
            subject in [Measurement("hessian_trace", try subject.trace())]
        },
        LandscapeMetric(name: "log_hessian_trace", summary: "ln of the trace; none where it is not above 0") {
            subject in [Measurement.logarithm("log_hessian_trace", of: try subject.trace())]
        },
        LandscapeMetric(name: "layer_curvature", summary: "largest eigenvalue and trace of each tensor's own block") {
            subject in try LayerCurvature.measurements(subject)
        },
        LandscapeMetric(name: "spectral_density", summary: "moments of the spectrum by stochastic Lanczos quadrature") {
            subject in
            let density = try SpectralDensity(
                subject.hessian, steps: subject.options.densitySteps, runs: subject.options.densityRuns,
                seed: subject.options.seed)
            let top = density.runs.compactMap { $0.last?.value }.max() ?? 0
            return [
                Measurement("hessian_density_trace", density.trace),
                Measurement("hessian_squared_norm", density.squaredFrobeniusNorm),
                Measurement("effective_dimension", density.effectiveDimension()),
                Measurement("hessian_negative_share", density.share(-Double.infinity...(-1e-3 * top))),
            ]
        },
        LandscapeMetric(name: "full_spectrum", summary: "all eigenvalues of a small network, summed up") { subject in
            try FullSpectrum(subject.hessian).measurements
        },
        LandscapeMetric(name: "fisher_trace", summary: "trace of the Fisher information, exact over classes") {
            subject in
            [Measurement("fisher_trace", try FisherTrace.exact(subject.problem))]
        },
        LandscapeMetric(name: "empirical_fisher_trace", summary: "mean squared gradient norm of single samples") {
            subject in
            [Measurement("empirical_fisher_trace", try FisherTrace.empirical(subject.problem))]
        },
        LandscapeMetric(name: "sam_sharpness", summary: "rise of the loss along the gradient, radius 0.05") { subject in
            [Measurement("sam_sharpness", try Sharpness.sam(subject.problem))]
        },
        LandscapeMetric(name: "adaptive_sharpness", summary: "the same, in units of the weights, radius 0.5") {
            subject in
            [Measurement("adaptive_sharpness", try Sharpness.adaptive(subject.problem))]
        },
        LandscapeMetric(name: "average_sharpness", summary: "mean rise under Gaussian noise of deviation 0.01") {
            subject in
            [Measurement("average_sharpness", try Sharpness.average(subject.problem, seed: subject.options.seed))]
        },
    ]

    /// The names of its values, for networks that have none: the reason stands where the value would.
    var valueNames: [String] {
        switch name {
        case "loss", "accuracy": ["landscape_" + name]
        case "spectral_density":
            ["hessian_density_trace", "hessian_squared_norm", "effective_dimension", "hessian_negative_share"]
        case "full_spectrum": FullSpectrum.valueNames
        default: [name]
        }
    }

    /// No values, and why.
    func withoutValues(_ reason: String) -> [Measurement] {
        valueNames.map { Measurement($0, nil, isConverged: false, reason: reason) }
    }

    /// A metric by name.
    ///
    /// - Parameter others: further names that could have been meant.
    /// - Throws: `usage` with the nearest name.
    public static func named(_ name: String, among others: [String] = []) throws -> LandscapeMetric {
        if let found = all.first(where: { $0.name == name }) { return found }
        throw ZooError(
            .usage, "there is no metric '\(name)'",
            hint: NearestName.hint(
                name, in: all.map(\.name) + PairMetric.allCases.map(\.rawValue) + others, kind: "metrics"))
    }
}
