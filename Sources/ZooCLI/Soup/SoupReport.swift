import ZooBase
import ZooMerge
import ZooNN
import ZooReport

/// What `zoo soup` says: scores of the checkpoints, the steps, the result.
struct SoupReport {
    let kind: SoupCommand.Kind
    let metric: SoupCommand.Metric
    let alone: [Evaluation]
    let recipe: SoupRecipe
    let kitchen: SoupKitchen
    /// The soup on the held-out samples.
    var heldOut: Evaluation?
    /// The soup on the test samples.
    var test: Evaluation?

    init(
        kind: SoupCommand.Kind, metric: SoupCommand.Metric, alone: [Evaluation], recipe: SoupRecipe,
        kitchen: SoupKitchen
    ) {
        self.kind = kind
        self.metric = metric
        self.alone = alone
        self.recipe = recipe
        self.kitchen = kitchen
    }

    private func label(_ place: Int) -> String { kitchen.checkpoints[place].label }

    private func value(_ evaluation: Evaluation) -> Double {
        metric == .loss ? evaluation.loss : evaluation.accuracy
    }

    /// The score of a step as people read it: a loss is not negative.
    private func shown(_ score: Double) -> Double { metric == .loss ? -score : score }

    /// Candidates in order: the steps of a greedy soup, else the checkpoints as listed.
    private var rows: [(place: Int, score: Double?, isAccepted: Bool)] {
        kind == .greedy
            ? recipe.steps.map { ($0.candidate, shown($0.score), $0.isAccepted) }
            : recipe.ingredients.map { ($0, nil, true) }
    }

    /// One row per checkpoint.
    var table: Table {
        var table = Table([
            .init("checkpoint", isPath: true), .init("alone", .double), .init("soup", .double), .init("kept"),
            .init("weight", .double),
        ])
        let weights = Dictionary(zip(recipe.ingredients, recipe.weights), uniquingKeysWith: +)
        for row in rows {
            table.append([
                .text(label(row.place)), .double(value(alone[row.place])), row.score.map { .double($0) } ?? .null,
                .text(row.isAccepted ? "yes" : "no"), weights[row.place].map { .double($0) } ?? .null,
            ])
        }
        return table
    }

    /// The object of `--json`.
    func json(output: String) -> JSONValue {
        var object = JSONObject()
        object["method"] = .string(kind.rawValue)
        object["metric"] = .string(metric.rawValue)
        object["split"] = .string(kitchen.split)
        object["ingredients"] = .array(
            zip(recipe.ingredients, recipe.weights).map {
                ["checkpoint": .string(label($0)), "weight": .double($1)]
            })
        object["candidates"] = .array(
            alone.indices.map {
                [
                    "checkpoint": .string(label($0)), "loss": number(alone[$0].loss),
                    "accuracy": number(alone[$0].accuracy),
                ]
            })
        object["steps"] = .array(
            recipe.steps.map {
                [
                    "candidate": .string(label($0.candidate)), "score": number(shown($0.score)),
                    "accepted": .bool($0.isAccepted),
                ]
            })
        if kind == .learned {
            object["losses"] = .array(recipe.losses.map(number))
            object["tensor_weights"] = .object(
                JSONObject(
                    recipe.tensorWeights.sorted { $0.key < $1.key }.map { ($0.key, .array($0.value.map(number))) }))
        }
        object["score"] = heldOut.map { number(value($0)) } ?? .null
        object["held_out"] = heldOut.map(Self.json) ?? .null
        object["test"] = test.map(Self.json) ?? .null
        object["output"] = .string(output)
        return .object(object)
    }

    private func number(_ value: Double) -> JSONValue { value.isFinite ? .double(value) : .null }

    private static func json(_ evaluation: Evaluation) -> JSONValue {
        [
            "loss": evaluation.loss.isFinite ? .double(evaluation.loss) : .null,
            "accuracy": .double(evaluation.accuracy), "n": .int(Int64(evaluation.count)),
        ]
    }

    /// One line for people.
    func say(_ session: Session, _ path: String) {
        let best = alone.map(value).filter { !$0.isNaN }
        let single = metric == .loss ? best.min() : best.max()
        var line = "wrote \(path): \(Quantity.count(recipe.ingredients.count)) of \(alone.count) checkpoints"
        if let heldOut, let single {
            line += ", \(metric.rawValue) \(Self.text(value(heldOut))) on \(kitchen.split)"
            line += " (best single \(Self.text(single)))"
        }
        if let test { line += ", test accuracy \(Self.text(test.accuracy)), loss \(Self.text(test.loss))" }
        session.note(line)
    }

    private static func text(_ value: Double) -> String { Quantity.significant(value, digits: 4) }

    /// The held-out scores: each checkpoint alone, and the soup as it grows.
    func draw(to path: String) throws {
        let order = rows.map(\.place)
        let places = order.indices.map { Double($0 + 1) }
        var layers: [Layer] = [.scatter(Scatter("alone", x: places, y: order.map { value(alone[$0]) }))]
        if kind == .greedy {
            var best: [Double] = []
            for row in rows { best.append(row.isAccepted ? row.score ?? .nan : best.last ?? .nan) }
            layers.append(.line(Line("soup", x: places, y: best)))
            let refused = rows.enumerated().filter { !$0.element.isAccepted }
            layers.append(
                .scatter(
                    Scatter(
                        "candidate refused", x: refused.map { Double($0.offset + 1) },
                        y: refused.map { $0.element.score ?? .nan })))
        } else if let heldOut {
            layers.append(.line(Line("soup", x: places, y: places.map { _ in value(heldOut) })))
        }
        let panel = Panel(
            x: Axis(kind == .greedy ? "candidate, best first" : "checkpoint"),
            y: Axis("\(metric.rawValue) on \(kitchen.split)"), layers: layers)
        try Picture.write(Figure([panel], title: "\(kind.rawValue) soup"), to: path)
    }
}
