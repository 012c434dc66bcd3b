import ZooBase
import ZooMerge
import ZooNN
import ZooReport

/// What `zoo path` says of a line.
struct PathReport {
    private let path: LinearPath

    init(_ path: LinearPath) { self.path = path }

    /// One row per point.
    var table: Table {
        var table = Table([.init("t", .double), .init("loss", .double, digits: 6), .init("accuracy", .double)])
        for point in path.points {
            table.append([
                .double(point.t), .double(point.evaluation.loss), Self.accuracy(point.evaluation),
            ])
        }
        return table
    }

    /// The accuracy of a point; none where the loss has no samples to be right about.
    static func accuracy(_ evaluation: Evaluation) -> Table.Cell {
        evaluation.count > 0 ? .double(evaluation.accuracy) : .missing(reason: "the loss has no error rate")
    }

    private static func number(_ value: Double) -> JSONValue { value.isFinite ? .double(value) : .null }

    private static func json(_ barrier: Barrier) -> JSONValue {
        [
            "barrier": number(barrier.barrier), "instability": number(barrier.instability),
            "excess": number(barrier.excess), "location": number(barrier.location),
        ]
    }

    /// The object of `--json`.
    var json: JSONValue {
        [
            "points": .array(
                path.points.map {
                    [
                        "t": .double($0.t), "loss": Self.number($0.evaluation.loss),
                        "accuracy": Self.number($0.evaluation.accuracy),
                    ]
                }),
            "barrier": Self.number(path.loss.barrier), "loss": Self.json(path.loss), "error": Self.json(path.error),
        ]
    }

    /// One line for people.
    var sentence: String {
        "loss barrier \(Quantity.significant(path.loss.barrier, digits: 4)) at t = "
            + Quantity.significant(path.loss.location, digits: 3)
            + (path.hasError ? ", error barrier \(Quantity.significant(path.error.barrier, digits: 4))" : "")
    }

    /// Loss and error over t.
    var figure: Figure {
        let t = path.points.map(\.t)
        func panel(_ name: String, _ values: [Double]) -> Panel {
            Panel(
                x: Axis("t"), y: Axis(name),
                layers: [
                    .line(Line(name, x: t, y: values, hasMarkers: true)),
                    .line(
                        Line(
                            "between the ends", x: [0, 1], y: [values.first ?? .nan, values.last ?? .nan],
                            isDashed: true)),
                ])
        }
        var panels = [panel("loss", path.points.map(\.evaluation.loss))]
        if path.hasError { panels.append(panel("error", path.points.map { 1 - $0.evaluation.accuracy })) }
        return Figure(panels, title: "Straight line between two networks")
    }
}
