import ZooBase
import ZooCatalog
import ZooMerge
import ZooNN
import ZooReport

/// WiSE-FT over a grid of α, each mixture evaluated on held-out data (arXiv 2109.01903, section 4).
struct WiseSweep {
    /// 0, 0.1, …, 1.
    static let defaultAlphas = (0...10).map { Double($0) / 10 }

    /// One mixture.
    struct Point {
        var alpha: Double
        var evaluation: Evaluation
    }

    /// The mixtures, by α.
    let points: [Point]
    /// The α of the highest accuracy, of equal ones that of the lowest loss, then the smallest.
    let best: Double

    /// Evaluates all mixtures.
    ///
    /// - Throws: `usage` unless the data is one split; `mismatch` when data and network do not fit; `numeric` when no
    ///   mixture has a finite loss.
    init(
        _ pair: [SelectedCheckpoint], alphas: [Double], data: DataSource, options: LinearCombination.Options,
        architectures: ArchitectureLibrary, batchNorm: BatchNormRecipe? = nil, session: Session
    ) throws {
        guard data.splits.count == 1 else {
            throw ZooError(.usage, "--data names \(data.splits.count) splits; the sweep takes one")
        }
        let samples = try data.samples(data.splits[0])
        let tensors = try architectures.tensors(of: pair[0])
        let (chosen, _) = try architectures.shared(by: pair, tensors: tensors, inputShape: samples.inputShape)
        let evaluator = try Evaluator(chosen.graph, tensors: tensors, samples: samples)
        let sources = try pair.map { try $0.open() }
        let names = pair.map(\.label)
        let statistics = try batchNorm?.statistics(chosen.graph, tensors)
        let found = try evaluator.evaluate(count: alphas.count, jobs: session.jobs) { index in
            let mixture = try LinearCombination(
                sources, names: names, weights: AverageWeights.interpolation(alpha: alphas[index]), options: options)
            return try statistics.map { try $0.recalibrated(mixture) } ?? mixture
        }
        points = try zip(alphas, found).map { Point(alpha: $0, evaluation: try $1.get()) }
        let finite = points.filter { $0.evaluation.loss.isFinite }
        guard
            let winner = finite.min(by: { a, b in
                if a.evaluation.correctCount != b.evaluation.correctCount {
                    return a.evaluation.correctCount > b.evaluation.correctCount
                }
                return (a.evaluation.loss, a.alpha) < (b.evaluation.loss, b.alpha)
            })
        else { throw ZooError(.numeric, "no mixture has a finite loss") }
        best = winner.alpha
    }

    /// One row per mixture.
    var table: Table {
        var table = Table([
            .init("alpha", .double), .init("loss", .double, digits: 6), .init("accuracy", .double), .init("chosen"),
        ])
        for point in points {
            table.append([
                .double(point.alpha), .double(point.evaluation.loss), .double(point.evaluation.accuracy),
                .text(point.alpha == best ? "yes" : ""),
            ])
        }
        return table
    }

    /// `[{alpha, loss, accuracy, n}]`.
    var json: JSONValue {
        .array(
            points.map {
                [
                    "alpha": .double($0.alpha),
                    "loss": $0.evaluation.loss.isFinite ? .double($0.evaluation.loss) : .null,
                    "accuracy": .double($0.evaluation.accuracy), "n": .int(Int64($0.evaluation.count)),
                ]
            })
    }

    /// Loss and accuracy over α.
    var figure: Figure {
        let alphas = points.map(\.alpha)
        func panel(_ name: String, _ values: [Double]) -> Panel {
            Panel(
                x: Axis("α, weight of the fine-tuned model"), y: Axis(name),
                layers: [.line(Line("", x: alphas, y: values, hasMarkers: true))],
                annotations: [.vertical(best, label: "chosen")])
        }
        return Figure(
            [
                panel("accuracy", points.map(\.evaluation.accuracy)), panel("loss", points.map(\.evaluation.loss)),
            ], title: "WiSE-FT")
    }
}
