import ZooBase
import ZooLandscape
import ZooMerge
import ZooNN
import ZooTensor

/// What paths between networks of one architecture are measured on, compiled once: labelled samples with batch-norm
/// statistics estimated anew, or the loss of texts or points.
struct PathGround: Sendable {
    let graph: ArchitectureGraph
    let tensors: [TensorInfo]
    private let measured: LandscapeData
    private let training: LandscapeData
    private let kind: Kind

    private enum Kind: Sendable {
        case labelled(Samples, Evaluator, BatchNormStatistics?)
        case sweep(ModelSweep)
    }

    /// - Parameter training: what curves are trained and batch-norm statistics estimated on.
    /// - Throws: `mismatch` when networks and data do not fit, or only one of both data is of labelled samples.
    init(
        _ graph: ArchitectureGraph, _ tensors: [TensorInfo], measured: LandscapeData, training: LandscapeData
    ) throws {
        self.graph = graph
        self.tensors = tensors
        self.measured = measured
        self.training = training
        guard measured.isLabelled(for: graph) else {
            kind = .sweep(try measured.sweep(graph, tensors))
            return
        }
        let samples = try measured.labelled()
        kind = .labelled(
            samples, try Evaluator(graph, tensors: tensors, samples: samples),
            BatchNormStatistics.applies(to: graph)
                ? try BatchNormStatistics(graph, tensors: tensors, samples: training.labelled()) : nil)
    }

    /// The straight line.
    func line(_ a: any TensorSource, _ b: any TensorSource, points: Int, jobs: Int) throws -> LinearPath {
        let grid = LinearPath.grid(points)
        switch kind {
        case .labelled(let samples, let evaluator, let statistics):
            return try LinearPath(
                graph, a, b, at: grid, samples: samples, statistics: statistics, evaluator: evaluator, jobs: jobs)
        case .sweep(let sweep):
            let found = try sweep.problem(a).line(to: sweep.layout.flatten(b), at: grid, jobs: jobs)
            return LinearPath(points: zip(grid, found).map { .init(t: $0, evaluation: $1) })
        }
    }

    /// What trains and measures curves.
    func finder(_ options: CurveOptions) throws -> CurveFinder {
        switch kind {
        case .labelled(let samples, _, _):
            return try CurveFinder(
                graph, tensors: tensors, training: training.labelled(), samples: samples, options: options)
        case .sweep(let sweep):
            let batches = try training.sweep(graph, tensors, batch: options.batch)
            return CurveFinder(batches, measured: sweep, options: options)
        }
    }
}

extension LinearPath {
    /// Whether there are samples to be right or wrong about.
    var hasError: Bool { points.allSatisfy { $0.evaluation.count > 0 } }
}
