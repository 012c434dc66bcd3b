import ZooBase
import ZooLandscape
import ZooMerge
import ZooReport

/// What `zoo path --curve` says of a curve.
struct CurveReport {
    private let curve: ConnectingCurve
    private let line: LinearPath
    private let options: CurveOptions

    init(_ curve: ConnectingCurve, line: LinearPath, options: CurveOptions) {
        self.curve = curve
        self.line = line
        self.options = options
    }

    /// One row per point.
    var table: Table {
        var table = Table([
            .init("t", .double), .init("loss", .double, digits: 6), .init("accuracy", .double),
            .init("line_loss", .double, digits: 6), .init("line_accuracy", .double),
        ])
        for (point, straight) in zip(curve.points, line.points) {
            table.append([
                .double(point.t), .double(point.evaluation.loss), PathReport.accuracy(point.evaluation),
                .double(straight.evaluation.loss), PathReport.accuracy(straight.evaluation),
            ])
        }
        return table
    }

    private static func number(_ value: Double) -> JSONValue { value.isFinite ? .double(value) : .null }

    private static func json(_ found: ModeConnectivity) -> JSONValue {
        [
            "mc": number(found.connectivity), "t": number(found.location), "max": number(found.maximum),
            "min": number(found.minimum), "mean": number(found.mean), "length_mean": number(found.lengthMean),
        ]
    }

    /// The object of `--json`.
    var json: JSONValue {
        [
            "points": .array(
                zip(curve.points, line.points).map { point, straight in
                    [
                        "t": .double(point.t), "loss": Self.number(point.evaluation.loss),
                        "accuracy": Self.number(point.evaluation.accuracy),
                        "line_loss": Self.number(straight.evaluation.loss),
                        "line_accuracy": Self.number(straight.evaluation.accuracy),
                    ]
                }),
            "barrier": Self.number(Barrier(curve.points.map(\.t), curve.points.map(\.evaluation.loss)).barrier),
            "error": Self.json(curve.error), "loss": Self.json(curve.loss),
            "line_barrier": Self.number(line.loss.barrier), "curve": .string(options.form.rawValue),
            "bends": .int(Int64(options.bendCount)), "steps": .int(Int64(curve.stepCount)),
            "training_loss": Self.number(curve.trainingLoss),
        ]
    }

    /// One line for people.
    var sentence: String {
        guard line.hasError else {
            return "mc of the loss \(Quantity.significant(curve.loss.connectivity, digits: 4)) at t = "
                + "\(Quantity.significant(curve.loss.location, digits: 3)) (below zero: a barrier); loss barrier of the "
                + "straight line \(Quantity.significant(line.loss.barrier, digits: 4))"
        }
        return "mc \(Quantity.significant(curve.error.connectivity, digits: 4)) points of error at t = "
            + "\(Quantity.significant(curve.error.location, digits: 3)) (below zero: a barrier), at most "
            + "\(Quantity.significant(curve.error.maximum, digits: 4)) % along the curve; loss barrier of the straight "
            + "line \(Quantity.significant(line.loss.barrier, digits: 4))"
    }

    /// Loss and error over t, beside the straight line.
    var figure: Figure {
        let t = curve.points.map(\.t)
        func panel(_ name: String, _ along: [Double], _ straight: [Double]) -> Panel {
            Panel(
                x: Axis("t"), y: Axis(name),
                layers: [
                    .line(Line("curve", x: t, y: along, hasMarkers: true)),
                    .line(Line("straight line", x: t, y: straight, isDashed: true)),
                ])
        }
        var panels = [panel("loss", curve.points.map(\.evaluation.loss), line.points.map(\.evaluation.loss))]
        if line.hasError {
            panels.append(
                panel(
                    "error in %", curve.points.map { 100 * (1 - $0.evaluation.accuracy) },
                    line.points.map { 100 * (1 - $0.evaluation.accuracy) }))
        }
        return Figure(panels, title: "Trained curve between two networks")
    }
}
