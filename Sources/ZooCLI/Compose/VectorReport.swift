import ZooBase
import ZooMerge
import ZooReport

/// What `zoo task-vector stats` says.
struct VectorReport {
    let set: TaskSet
    let geometry: VectorGeometry
    /// Above these, vectors interfere (method page, 11.4).
    private static let largeNorm = 0.15, largeCosine = 0.3

    private func relative(_ vector: Int) -> Double { geometry.norms[vector] / geometry.baseNorm }

    /// One row per task, or per task and tensor.
    func table(blocks: Bool) -> Table {
        if blocks {
            var table = Table([
                .init("task"), .init("tensor"), .init("norm", .double), .init("base_norm", .double),
                .init("relative", .double),
            ])
            for (vector, name) in set.names.enumerated() {
                for block in geometry.blocks {
                    let norm = geometry.norm(vector, block)
                    table.append([
                        .text(name), .text(block.name), .double(norm), .double(block.baseNorm),
                        block.baseNorm > 0
                            ? .double(norm / block.baseNorm) : .missing(reason: "the base is zero there"),
                    ])
                }
            }
            return table
        }
        var table = Table(
            [.init("task"), .init("norm", .double), .init("relative", .double)]
                + set.names.map { .init($0, .double, digits: 3) })
        let norms = geometry.norms, cosines = geometry.cosines
        for (vector, name) in set.names.enumerated() {
            table.append(
                [.text(name), .double(norms[vector]), .double(relative(vector))] + cosines[vector].map { .double($0) })
        }
        return table
    }

    private func number(_ value: Double) -> JSONValue { value.isFinite ? .double(value) : .null }

    /// The object of `--json`.
    var json: JSONValue {
        let norms = geometry.norms
        return [
            "base": .string(set.base.label), "base_digest": .string(set.digest), "base_norm": number(geometry.baseNorm),
            "tasks": .array(
                set.tasks.enumerated().map { vector, task in
                    [
                        "name": .string(task.name), "checkpoint": .string(task.checkpoint.label),
                        "digest": .string(task.digest), "norm": number(norms[vector]),
                        "relative": number(relative(vector)),
                        "blocks": .array(
                            geometry.blocks.map { block in
                                [
                                    "tensor": .string(block.name), "norm": number(geometry.norm(vector, block)),
                                    "base_norm": number(block.baseNorm),
                                    "relative": number(geometry.norm(vector, block) / block.baseNorm),
                                ]
                            }),
                    ]
                }),
            "cosines": .array(geometry.cosines.map { .array($0.map(number)) }),
            "mean_absolute_cosine": geometry.meanAbsoluteCosine.map(number) ?? .null,
        ]
    }

    /// The matrix of cosines.
    var figure: Figure {
        let places = set.names.indices.map(Double.init)
        let map = HeatMap(
            x: places, y: places, values: geometry.cosines.flatMap { $0 }, colors: .diverging(center: 0),
            label: "cosine", showsValues: set.names.count <= 12)
        return Figure(
            [
                Panel(
                    x: Axis("", categories: set.names), y: Axis("", categories: set.names), layers: [.heatMap(map)])
            ], title: "Cosines of task vectors")
    }

    /// Says what stands in the way of adding: a line each for zeros, long vectors and like vectors, however many.
    func warn(_ session: Session) {
        let far = set.names.indices.filter { relative($0) > Self.largeNorm }
            .sorted { (relative($1), $0) < (relative($0), $1) }
        for vector in set.names.indices where geometry.norms[vector] == 0 {
            session.warn("the task vector of \(set.names[vector]) is zero: the network equals the base")
        }
        if !far.isEmpty {
            let named = Self.list(far.map { "\(set.names[$0]) \(Quantity.significant(relative($0), digits: 2))" })
            session.warn("moved far, ‖τ‖/‖θ₀‖: \(named); vectors add well below \(Self.largeNorm)")
        }
        let alike = geometry.cosines.enumerated().flatMap { a, row in
            row.enumerated().filter { b, value in b > a && abs(value) > Self.largeCosine }
                .map { b, value in (a: a, b: b, cosine: value) }
        }
        .sorted { (abs($1.cosine), $0.a, $0.b) < (abs($0.cosine), $1.a, $1.b) }
        if !alike.isEmpty {
            let named = Self.list(
                alike.map {
                    "\(set.names[$0.a]) and \(set.names[$0.b]) \(Quantity.significant($0.cosine, digits: 2))"
                })
            session.warn("large cosines: \(named); vectors add well below \(Self.largeCosine)")
        }
    }

    /// The first three, and how many more there are.
    private static func list(_ parts: [String]) -> String {
        let rest = parts.count - 3
        return parts.prefix(3).joined(separator: ", ") + (rest > 0 ? " and \(Quantity.count(rest)) more" : "")
    }
}
