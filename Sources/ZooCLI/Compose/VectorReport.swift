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

    /// Says what stands in the way of adding.
    func warn(_ session: Session) {
        for (vector, name) in set.names.enumerated() {
            if geometry.norms[vector] == 0 {
                session.warn("the task vector of \(name) is zero: the network equals the base")
            } else if relative(vector) > Self.largeNorm {
                session.warn(
                    "\(name) moved far: ‖τ‖/‖θ₀‖ is \(Quantity.significant(relative(vector), digits: 2)), "
                        + "vectors add well below \(Self.largeNorm)")
            }
        }
        for (a, row) in geometry.cosines.enumerated() {
            for (b, value) in row.enumerated() where b > a && abs(value) > Self.largeCosine {
                session.warn(
                    "\(set.names[a]) and \(set.names[b]) have cosine \(Quantity.significant(value, digits: 2)); "
                        + "vectors add well below \(Self.largeCosine)")
            }
        }
    }
}
