import ZooBase
import ZooMerge
import ZooNN
import ZooReport

/// What `zoo align` says.
struct AlignmentReport {
    let a: String
    let b: String
    let matching: WeightMatching
    let check: OutputEquality
    let cosineBefore: Double?
    let cosineAfter: Double?
    var split: String?
    var recomputed = false
    var before: LinearPath?
    var after: LinearPath?
    /// The mean of A and the permuted B on the same data.
    var merged: Evaluation?
    var outputs: [String] = []

    init(
        a: String, b: String, matching: WeightMatching, check: OutputEquality, cosineBefore: Double?,
        cosineAfter: Double?
    ) {
        self.a = a
        self.b = b
        self.matching = matching
        self.check = check
        self.cosineBefore = cosineBefore
        self.cosineAfter = cosineAfter
    }

    /// One row per space.
    var table: Table {
        var table = Table([
            .init("space"), .init("units", .integer), .init("moved", .integer), .init("tensors", .integer),
        ])
        for (space, order) in zip(matching.permutations.spaces, matching.permutations.orders) {
            table.append([
                .text(space.name), .int(space.unitCount), .int(order.indices.count { order[$0] != $0 }),
                .int(Set(space.axes.map(\.tensor)).count),
            ])
        }
        return table
    }

    /// The object of `--json`.
    var json: JSONValue {
        var object = JSONObject()
        object["a"] = .string(a)
        object["b"] = .string(b)
        let found = matching.permutations
        object["permutations"] = .object(
            JSONObject(
                zip(found.spaces, found.orders).map { space, order in
                    (space.name, .array(order.map { .int(Int64($0)) }))
                }))
        object["sweeps"] = .int(Int64(matching.sweepCount))
        object["objective"] = .array(matching.objectives.map(Self.number))
        object["equality"] = [
            "relative_difference": Self.number(check.relativeDifference), "inputs": .int(Int64(check.count)),
            "tolerance": .double(OutputEquality.tolerance),
        ]
        object["cosine_before"] = cosineBefore.map(Self.number) ?? .null
        object["cosine_after"] = cosineAfter.map(Self.number) ?? .null
        object["split"] = split.map { .string($0) } ?? .null
        object["batch_norm"] = .string(recomputed ? "recompute" : "average")
        object["barrier_before"] = before.map { Self.number($0.loss.barrier) } ?? .null
        object["barrier_after"] = after.map { Self.number($0.loss.barrier) } ?? .null
        object["error_barrier_before"] = before.map { Self.number($0.error.barrier) } ?? .null
        object["error_barrier_after"] = after.map { Self.number($0.error.barrier) } ?? .null
        object["path_before"] = before.map(Self.json) ?? .null
        object["path_after"] = after.map(Self.json) ?? .null
        object["merged"] =
            merged.map {
                ["loss": Self.number($0.loss), "accuracy": .double($0.accuracy), "n": .int(Int64($0.count))]
            } ?? .null
        object["output"] = .array(outputs.map { .string($0) })
        return .object(object)
    }

    private static func number(_ value: Double) -> JSONValue { value.isFinite ? .double(value) : .null }

    private static func json(_ path: LinearPath) -> JSONValue {
        [
            "points": .array(
                path.points.map {
                    [
                        "t": .double($0.t), "loss": number($0.evaluation.loss),
                        "accuracy": .double($0.evaluation.accuracy),
                    ]
                }),
            "loss": json(path.loss), "error": json(path.error),
        ]
    }

    private static func json(_ barrier: Barrier) -> JSONValue {
        [
            "lmc_barrier": number(barrier.barrier), "lmc_instability": number(barrier.instability),
            "lmc_excess": number(barrier.excess), "t": number(barrier.location), "maximum": number(barrier.maximum),
        ]
    }

    /// Lines for people.
    func say(_ session: Session) {
        func text(_ value: Double) -> String { Quantity.significant(value, digits: 4) }
        let moved = matching.permutations.orders.reduce(0) { $0 + $1.count }
        session.note(
            "\(Quantity.count(moved)) units in \(Quantity.count(matching.permutations.spaces.count)) spaces, "
                + "\(matching.sweepCount) sweeps; outputs equal to \(text(check.relativeDifference))")
        if let cosineBefore, let cosineAfter {
            session.note("cosine of the weights \(text(cosineBefore)) before, \(text(cosineAfter)) after")
        }
        if let before, let after, let split {
            session.note(
                "loss barrier on \(split) \(text(before.loss.barrier)) before, \(text(after.loss.barrier)) after; "
                    + "error barrier \(text(before.error.barrier)) and \(text(after.error.barrier))")
        }
        if let merged { session.note("mean: loss \(text(merged.loss)), accuracy \(text(merged.accuracy))") }
        for path in outputs { session.note("wrote \(path)") }
    }

    /// Loss and error along both lines.
    func draw(to path: String) throws {
        guard let before, let after else { return }
        func panel(_ name: String, _ value: (Evaluation) -> Double) -> Panel {
            Panel(
                x: Axis("t, from A to B"), y: Axis("\(name) on \(split ?? "data")"),
                layers: [("before", before), ("after", after)].map { label, line in
                    .line(
                        Line(
                            label, x: line.points.map(\.t), y: line.points.map { value($0.evaluation) },
                            hasMarkers: true))
                })
        }
        let figure = Figure(
            [panel("loss") { $0.loss }, panel("error") { 1 - $0.accuracy }], title: "line before and after alignment")
        try Picture.write(figure, to: path)
    }
}
