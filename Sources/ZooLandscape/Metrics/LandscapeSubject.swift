import Synchronization
import ZooBase
import ZooNN
import ZooTensor

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
    /// The Hessian at the weights: what its products share is computed once for all metrics.
    let hessian: CurvatureOperator
    private let shared = SharedCurvature()

    /// The samples.
    public var samples: Samples { problem.samples }

    /// A subject.
    public init(
        graph: ArchitectureGraph, model: any TensorSource, problem: LossProblem, options: LandscapeOptions, jobs: Int
    ) {
        self.graph = graph
        self.model = model
        self.problem = problem
        hessian = .hessian(problem)
        self.options = options
        self.jobs = jobs
    }

    func loss() throws -> Double {
        problem.hasAccuracy ? try evaluation().loss : try problem.loss(at: problem.initial)
    }

    func evaluation() throws -> Evaluation { try problem.evaluation(at: problem.initial) }

    /// The largest eigenvalues of the Hessian, computed once.
    func largest() throws -> LargestEigenvalues {
        try shared.largest {
            try LargestEigenvalues(
                hessian, count: options.topCount, tolerance: options.tolerance,
                maximumSteps: options.mostProducts ?? options.lanczosSteps, seed: options.seed)
        }
    }

    /// The trace of the Hessian, computed once. Hutchinson's estimate leaves out what the run for the largest
    /// eigenvalues has seen, whether or not they are asked for: a metric has one value.
    func trace() throws -> Estimate {
        try shared.trace {
            guard options.traceMethod == .hutchinson else {
                return try TraceEstimator(
                    hessian, method: options.traceMethod, most: options.mostProducts, seed: options.seed
                ).trace
            }
            return try TraceEstimator(
                hessian, beside: largest(), most: options.mostProducts, seed: options.seed
            ).trace
        }
    }

    /// Measures; a network with weights or losses that are not finite has no values, and the reason.
    ///
    /// - Throws: `interrupted`, and what is no matter of this network's numbers.
    public func measure(_ metrics: [LandscapeMetric]) throws -> [Measurement] {
        guard problem.initial.allSatisfy(\.isFinite) else {
            return metrics.flatMap { $0.withoutValues("the network diverged: its weights are not finite") }
        }
        return try metrics.flatMap { metric in
            do { return try metric.measure(self).map(Self.checked) } catch let error as ZooError
                where [.numeric, .unsupported, .limit].contains(error.code)
            { return metric.withoutValues(error.message) }
        }
    }

    private static func checked(_ measurement: Measurement) -> Measurement {
        guard let value = measurement.value, !value.isFinite else { return measurement }
        var measurement = measurement
        measurement.value = nil
        measurement.isConverged = false
        measurement.reason = "not finite"
        return measurement
    }
}

/// What several metrics of a network start from.
private final class SharedCurvature: Sendable {
    private let known = Mutex<(largest: LargestEigenvalues?, trace: Estimate?)>((nil, nil))

    func largest(_ compute: () throws -> LargestEigenvalues) throws -> LargestEigenvalues {
        if let found = known.withLock({ $0.largest }) { return found }
        let found = try compute()
        known.withLock { $0.largest = found }
        return found
    }

    func trace(_ compute: () throws -> Estimate) throws -> Estimate {
        if let found = known.withLock({ $0.trace }) { return found }
        let found = try compute()
        known.withLock { $0.trace = found }
        return found
    }
}
