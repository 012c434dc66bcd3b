import ZooBase
import ZooPrune
import ZooReport
import ZooTensor

/// What `zoo prune retrain` tells.
struct RetrainReport {
    /// One network.
    struct Run {
        let label: String, target: String
        let isControl: Bool
        let losses: [Double]
        /// Distances to the teacher's vectors; zeros without one.
        let distances: [Double]
        let zeros: Int
        /// Whether every pruned weight is zero, to the bit.
        let isHeld: Bool

        init(_ run: Retraining, _ state: StateDict) throws {
            (label, target, isControl) = (run.network.label, run.target, run.isControl)
            (losses, distances) = (run.losses, run.distances)
            zeros = run.mask?.zeroCount ?? 0
            isHeld =
                try run.mask?.entries.allSatisfy { entry in
                    try state.tensor(named: entry.name).withFloats { values in
                        values.indices.allSatisfy { entry.keeps($0) || values[$0].bitPattern == 0 }
                    }
                } ?? true
            guard isHeld else { throw ZooError(.internal, "a pruned weight of \(run.network.label) came back") }
        }

        func mean(_ part: ArraySlice<Double>) -> Double { part.reduce(0, +) / Double(max(1, part.count)) }
        var early: Double { mean(losses.prefix(max(1, losses.count / 10))) }
        var late: Double { mean(losses.suffix(max(1, losses.count / 10))) }
        var lateDistance: Double { mean(distances.suffix(max(1, distances.count / 10))) }
    }

    let command: PruneRetrain
    let runs: [Run]
    let rate: Double
    /// The network whose vectors are kept near; nil for none.
    let teacher: String?
    let seed: UInt64

    private func object(_ run: Run) -> JSONObject {
        JSONObject([
            ("model", .string(run.label)), ("output", .string(run.target)), ("control", .bool(run.isControl)),
            ("steps", .int(Int64(run.losses.count))), ("first_loss", .double(run.early)),
            ("last_loss", .double(run.late)),
            ("last_distance", teacher == nil ? .null : .double(run.lateDistance)), ("zeros", .int(Int64(run.zeros))),
            ("zeros_held", .bool(run.isHeld)),
        ])
    }

    private var settings: [(String, JSONValue)] {
        [
            ("steps", .int(Int64(command.steps))), ("batch", .int(Int64(command.batch))), ("rate", .double(rate)),
            ("warmup", .double(command.warmup)), ("mix", .string(command.general == nil ? "1:0" : command.mix)),
            ("domain", .string(command.domain)), ("general", command.general.map { .string($0) } ?? .null),
            ("distillation", .double(command.distill)), ("teacher", teacher.map { .string($0) } ?? .null),
            ("seed", .int(Int64(bitPattern: seed))),
        ]
    }

    /// What goes into `prune.json`: what the network's own said, and the retraining.
    func json(_ run: Run, source: PrunableNetwork) throws -> JSONObject {
        var json = JSONObject([("tool", .string("zoo \(ZooVersion.string)"))])
        if let folder = source.folder, MergeModels.isReadable(folder + "/prune.json") {
            let path = folder + "/prune.json"
            json = try ZooError.locate(path) { try JSONParser.parse(Bytes(mapping: path)).object ?? json }
        }
        var own = object(run)
        for (key, value) in settings { own[key] = value }
        own["losses"] = .array(run.losses.map { .double($0) })
        json["retraining"] = .object(own)
        return json
    }

    var json: JSONObject {
        var json = JSONObject(settings)
        json["runs"] = .array(runs.map { .object(object($0)) })
        return json
    }

    var table: Table {
        var table = Table([
            .init("network", isPath: true), .init("output", isPath: true), .init("first_loss", .double, digits: 5),
            .init("last_loss", .double, digits: 5), .init("last_distance", .double, digits: 5),
            .init("zeros", .integer, unit: .count),
        ])
        for run in runs {
            table.append([
                .text(run.label), .text(run.target), .double(run.early), .double(run.late),
                .init(teacher == nil ? nil : run.lateDistance), .int(run.zeros),
            ])
        }
        return table
    }

    func notes(_ session: Session) {
        if runs.allSatisfy({ !$0.isControl }) {
            session.note(
                "no --control: a gain over the untrained network may be training, not pruning")
        }
        session.note("seed \(seed); all pruned weights are zero still")
    }
}
