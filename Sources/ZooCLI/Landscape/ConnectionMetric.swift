import ArgumentParser
import ZooBase
import ZooCatalog
import ZooLandscape
import ZooMerge
import ZooNN
import ZooTensor

/// A metric of pairs that walks from one network to the other.
enum ConnectionMetric: String, CaseIterable, Sendable {
    /// A trained curve.
    case curve
    /// The straight line.
    case lmc
    /// The straight line to the second network with its units in the first one's order.
    case lmcAligned = "lmc_aligned"

    /// One line that says what it is.
    var summary: String {
        switch self {
        case .curve: "mode connectivity along a trained curve (taxonomy's mc), in percentage points of error"
        case .lmc: "barriers of loss and error along the straight line"
        case .lmcAligned: "the same after weight matching of the second network to the first"
        }
    }
}

/// How curves are trained, as options of a command.
package struct CurveFlags: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Data that curves are trained on and batch-norm statistics estimated on. Default: --data.",
            valueName: "data"))
    package var trainData: String?

    @Option(help: ArgumentHelp("Control points between the two networks.", valueName: "number"))
    package var bends: Int = 1

    @Option(
        help: ArgumentHelp("Passes over the data. Default: 50, more until there are 2,000 steps.", valueName: "n"))
    package var curveEpochs: Int?

    @Option(help: ArgumentHelp("Learning rate before it decays.", valueName: "number"))
    package var curveLr: Double = 0.01

    @Option(help: ArgumentHelp("Samples of a step. Default: 128, of texts 8.", valueName: "n"))
    package var curveBatch: Int?

    /// The defaults.
    package init() {}

    /// Refuses values out of range.
    package func validate() throws {
        if bends < 1 || bends > 20 { throw ValidationError("--bends takes a number from 1 to 20.") }
        if let curveEpochs, curveEpochs < 1 || curveEpochs > 1_000_000 {
            throw ValidationError("--curve-epochs takes a number from 1 to 1000000.")
        }
        if !(curveLr > 0 && curveLr < 100) { throw ValidationError("--curve-lr takes a number above 0, below 100.") }
        if let curveBatch, curveBatch < 2 || curveBatch > 1 << 20 {
            throw ValidationError("--curve-batch takes a number from 2 to 1048576.")
        }
    }

    /// The settings.
    func options(_ form: CurveForm, points: Int, on data: LandscapeData, seed: UInt64) -> CurveOptions {
        var options = CurveOptions()
        if case .texts = data { options.batch = 8 }
        options.form = form
        options.bendCount = bends
        options.epochs = curveEpochs
        options.learningRate = curveLr
        if let curveBatch { options.batch = curveBatch }
        options.pointCount = points
        options.seed = seed
        return options
    }

    /// What `--train-data` means for a model; nil when there is none.
    ///
    /// - Throws: `usage` unless it names one split.
    func data(
        for model: SelectedCheckpoint?, _ reading: LandscapeData.Reading, _ session: Session
    ) throws -> LandscapeData? {
        try trainData.map { text in
            try LandscapeData.open(text, for: model, reading, session) {
                try DataSource(text, seed: session.seed, defaultSplit: "train")
            }
        }
    }
}

extension CurveForm: ExpressibleByArgument {}

/// What walks between networks of one architecture need, compiled once.
final class ConnectionTools: Sendable {
    private let ground: PathGround
    private let finder: CurveFinder?
    private let spaces: [PermutationSpaces.Space]
    private let pointCount: Int
    private let seed: UInt64

    /// - Parameter points: points of straight lines.
    init(
        _ ground: PathGround, metrics: [ConnectionMetric], curve: CurveOptions, points: Int, seed: UInt64
    ) throws {
        self.ground = ground
        self.seed = seed
        pointCount = points
        finder = metrics.contains(.curve) ? try ground.finder(curve) : nil
        spaces =
            metrics.contains(.lmcAligned)
            ? PermutationSpaces(ground.graph, shapes: try GraphShapes(ground.graph, tensors: ground.tensors)).spaces
            : []
    }

    /// What a metric finds of a pair; networks whose numbers are of no use have no values, and the reason.
    ///
    /// - Throws: `interrupted`, and what is no matter of these networks' numbers.
    func measure(
        _ metric: ConnectionMetric, _ a: any TensorSource, _ b: any TensorSource
    ) throws -> [Measurement] {
        do {
            switch metric {
            case .curve: return try finder?.curve(from: a, to: b).measurements ?? []
            case .lmc: return try line(a, b, "lmc")
            case .lmcAligned: return try aligned(a, b)
            }
        } catch let error as ZooError where error.code == .numeric {
            return metric.valueNames.map { Measurement($0, nil, isConverged: false, reason: error.message) }
        }
    }

    private func line(_ a: any TensorSource, _ b: any TensorSource, _ prefix: String) throws -> [Measurement] {
        let path = try ground.line(a, b, points: pointCount, jobs: 1)
        return [("loss", path.loss), ("error", path.error)].flatMap { kind, barrier in
            [
                ("\(prefix)_\(kind)_barrier", barrier.barrier), ("\(prefix)_\(kind)_instability", barrier.instability),
                ("\(prefix)_\(kind)_excess", barrier.excess),
            ].map { name, value in
                Measurement(
                    name, value.isFinite ? value : nil,
                    reason: value.isFinite
                        ? nil
                        : kind == "error" && !path.hasError
                            ? "the loss has no error rate" : "a point of the line has no finite value")
            }
        }
    }

    private func aligned(_ a: any TensorSource, _ b: any TensorSource) throws -> [Measurement] {
        guard !spaces.isEmpty else {
            throw ZooError(.numeric, "architecture '\(ground.graph.name)' has no units that can change places")
        }
        let first = try a.stateDict(), second = try b.stateDict()
        for state in [first, second] {
            for name in ground.graph.trainableNames where (state[name]?.nonFiniteCount ?? 0) > 0 {
                throw ZooError(.numeric, "a network diverged: its weights are not finite")
            }
        }
        var options = WeightMatching.Options()
        options.seed = seed
        let matching = try WeightMatching(spaces, a: first, b: second, options: options)
        return try line(first, matching.permutations.apply(to: second).stateDict(), "lmc_aligned")
    }
}

extension ConnectionMetric {
    /// The names of its values, the main one first.
    var valueNames: [String] {
        switch self {
        case .curve: ["curve_mc", "curve_mc_loss", "curve_max_error", "curve_t"]
        case .lmc, .lmcAligned: ["loss", "error"].map { "\(rawValue)_\($0)_barrier" }
        }
    }
}
