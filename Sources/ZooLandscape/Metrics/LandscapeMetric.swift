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
            [Measurement("landscape_loss", try subject.evaluation().loss)]
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
        LandscapeMetric(name: "hessian_top", summary: "largest eigenvalues of the Hessian and the smallest, by Lanczos")
        {
            subject in
            let ends = try ExtremeEigenvalues(
                .hessian(subject.problem), count: subject.options.topCount, tolerance: subject.options.tolerance,
                maximumSteps: subject.options.lanczosSteps, seed: subject.options.seed)
            return ends.largest.enumerated().map { place, estimate in
                Measurement(place == 0 ? "hessian_top" : "hessian_top_\(place + 1)", estimate)
            } + [Measurement("hessian_min", ends.smallest)]
        },
        LandscapeMetric(
            name: "hessian_power", summary: "eigenvalues of largest magnitude with PyHessian's stopping rule"
        ) {
            subject in
            let power = try PowerIteration(
                .hessian(subject.problem), count: subject.options.topCount, seed: subject.options.seed)
            return power.eigenvalues.enumerated().map { place, estimate in
                Measurement(place == 0 ? "hessian_power" : "hessian_power_\(place + 1)", estimate)
            }
        },
        LandscapeMetric(name: "hessian_trace", summary: "trace of the Hessian from products with random signs") {
            subject in
            let trace = try TraceEstimator(
                .hessian(subject.problem), method: subject.options.traceMethod, seed: subject.options.seed)
            return [Measurement("hessian_trace", trace.trace)]
        },
        LandscapeMetric(name: "spectral_density", summary: "moments of the spectrum by stochastic Lanczos quadrature") {
            subject in
            let density = try SpectralDensity(
                .hessian(subject.problem), steps: subject.options.densitySteps, runs: subject.options.densityRuns,
                seed: subject.options.seed)
            let top = density.runs.compactMap { $0.last?.value }.max() ?? 0
            return [
                Measurement("hessian_density_trace", density.trace),
                Measurement("hessian_squared_norm", density.squaredFrobeniusNorm),
                Measurement("effective_dimension", density.effectiveDimension()),
                Measurement("hessian_negative_share", density.share(-Double.infinity...(-1e-3 * top))),
            ]
        },
        LandscapeMetric(name: "fisher_trace", summary: "trace of the Fisher information, exact over classes") {
            subject in
            [
                Measurement(
                    "fisher_trace",
                    try FisherTrace.exact(
                        subject.graph, model: subject.model, samples: subject.samples, jobs: subject.jobs))
            ]
        },
        LandscapeMetric(name: "empirical_fisher_trace", summary: "mean squared gradient norm of single samples") {
            subject in
            [
                Measurement(
                    "empirical_fisher_trace",
                    try FisherTrace.empirical(
                        subject.graph, model: subject.model, samples: subject.samples, jobs: subject.jobs))
            ]
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

    /// A metric by name.
    ///
    /// - Throws: `usage` with the nearest name.
    public static func named(_ name: String) throws -> LandscapeMetric {
        if let found = all.first(where: { $0.name == name }) { return found }
        throw ZooError(
            .usage, "there is no metric '\(name)'",
            hint: NearestName.hint(name, in: all.map(\.name) + PairMetric.allCases.map(\.rawValue), kind: "metrics"))
    }
}

/// How metrics are computed.
public struct LandscapeOptions: Sendable, Hashable {
    /// Eigenvalues.
    public var topCount = 1
    /// Residual over |λ| at which an eigenvalue has converged.
    public var tolerance = 1e-3
    /// Lanczos steps at most.
    public var lanczosSteps = 60
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

    /// All that a result depends on, as text.
    public var description: String {
        "top=\(topCount) tolerance=\(tolerance) lanczos=\(lanczosSteps) trace=\(traceMethod.rawValue) "
            + "density=\(densitySteps)x\(densityRuns) seed=\(seed)"
    }
}

/// One network on its samples.
public struct LandscapeSubject: Sendable {
    /// The architecture.
    public let graph: ArchitectureGraph
    /// The weights.
    public let model: any TensorSource
    /// The loss as a function of the weights.
    public let problem: LossProblem
    /// How to compute.
    public let options: LandscapeOptions
    /// Threads.
    public let jobs: Int

    /// The samples.
    public var samples: Samples { problem.samples }

    /// A subject.
    public init(
        graph: ArchitectureGraph, model: any TensorSource, problem: LossProblem, options: LandscapeOptions, jobs: Int
    ) {
        self.graph = graph
        self.model = model
        self.problem = problem
        self.options = options
        self.jobs = jobs
    }

    func evaluation() throws -> Evaluation { try problem.evaluation(at: problem.initial) }

    /// Measures; a network with weights or losses that are not finite has no values, and the reason.
    ///
    /// - Throws: `interrupted`, and what is no matter of this network's numbers.
    public func measure(_ metrics: [LandscapeMetric]) throws -> [Measurement] {
        guard problem.initial.allSatisfy(\.isFinite) else {
            return metrics.map { Measurement($0.name, nil, reason: "the network diverged: its weights are not finite") }
        }
        return try metrics.flatMap { metric in
            do { return try metric.measure(self).map(Self.checked) } catch let error as ZooError
                where error.code == .numeric
            { return [Measurement(metric.name, nil, isConverged: false, reason: error.message)] }
        }
    }

    private static func checked(_ measurement: Measurement) -> Measurement {
        guard let value = measurement.value, !value.isFinite else { return measurement }
        var measurement = measurement
        measurement.value = nil
        measurement.reason = "not finite"
        return measurement
    }
}
