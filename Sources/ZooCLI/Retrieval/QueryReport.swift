import ZooBase
import ZooReport
import ZooRetrieval

/// What `zoo retrieve query` tells.
struct QueryReport {
    let engine: RankingEngine
    let query: RankingEngine.Query
    let method: RankMethod
    let result: RankingEngine.Result
    let milliseconds: Double
    let top: Int
    /// Cosine per allowed model.
    let similarities: [Double]
    /// The data's label of each class of the query.
    let labels: [Int32]

    /// The gap between the first two scores, when both are of the same ranking.
    private var margin: Double? {
        guard result.order.count > 1 else { return nil }
        let (a, b) = (result.order[0], result.order[1])
        guard result.scales[a] == result.scales[b] else { return nil }
        let gap = result.scores[a] - result.scores[b]
        return gap.isFinite ? gap : nil
    }

    /// Why the first is not to be trusted; empty when nothing speaks against it.
    private var doubts: [String] {
        guard let first = result.order.first else { return [] }
        var doubts: [String] = []
        if method.usesVectors, method.stages.isEmpty, let margin, margin < RetrievalIndex.smallMargin {
            doubts.append("the first two differ by less than \(RetrievalIndex.smallMargin)")
        }
        if method.usesVectors, similarities[first] < engine.index.positiveFloor {
            doubts.append(
                "its similarity of \(CellText.number(similarities[first])) is below that of 95 % of right answers in "
                    + "training (\(CellText.number(engine.index.positiveFloor)))")
        }
        let opinion = engine.matching(first, query).score
        if opinion < 0.5 {
            doubts.append("answers on the nearest probes match the query's classes by \(CellText.number(opinion)) only")
        }
        let equals = result.scores.indices.filter { result.scales[$0] == result.scales[first] }
        if equals.count > 1, Set(equals.map { result.scores[$0] }).count == 1 {
            doubts.append("no decision: all models have the same score")
        }
        return doubts
    }

    /// The rankings that scores of shown models are of, with what these are.
    private var scales: [(name: String, meaning: String)] {
        Set(result.order.prefix(top).map { result.scales[$0] }).sorted(by: >).map { method.scales[$0] }
    }

    /// The share of models with a lower score.
    private func percentile(_ place: Int) -> Double {
        let lower = result.keys.count { $0 < result.keys[place] }
        return 100 * Double(lower) / Double(max(1, result.keys.count - 1))
    }

    private func assignment(_ place: Int) -> JSONObject {
        let classes = engine.matching(place, query).classes
        return JSONObject(
            zip(labels, classes).map { label, output -> (String, JSONValue) in
                (String(label), output.map { JSONValue.int(Int64($0)) } ?? .null)
            })
    }

    var table: Table {
        var table = Table([
            .init("rank", .integer), .init("model", isPath: true), .init("score", .double), .init("score_of"),
            .init("similarity", .double), .init("surrogate", .double), .init("percentile", .double),
            .init("task"), .init("classes", .json),
        ])
        for (position, place) in result.order.prefix(top).enumerated() {
            let model = engine.index.models[engine.allowed[place]]
            table.append([
                .int(position + 1), .text(model.name), .double(result.scores[place]),
                .text(method.scales[result.scales[place]].name), .double(similarities[place]),
                .double(engine.matching(place, query).score), .double(percentile(place)),
                model.task.map { .text($0) } ?? .null, .json(.object(assignment(place))),
            ])
        }
        return table
    }

    var json: JSONValue {
        let ranking: [JSONValue] = result.order.prefix(top).enumerated().map { position, place in
            let model = engine.index.models[engine.allowed[place]]
            var row = JSONObject()
            row["rank"] = .int(Int64(position + 1))
            row["model"] = .string(model.name)
            row["checkpoint"] = model.checkpoint.map { .int(Int64($0)) } ?? .null
            row["score"] = .double(result.scores[place])
            row["score_of"] = .string(method.scales[result.scales[place]].name)
            if let problem = result.problems[place] { row["score_reason"] = .string(problem.message) }
            row["similarity"] = .double(similarities[place])
            row["surrogate"] = .double(engine.matching(place, query).score)
            row["percentile"] = .double(percentile(place))
            row["task"] = model.task.map { .string($0) } ?? .null
            row["classes"] = .object(assignment(place))
            row["coverage"] = .double(model.coverage)
            return .object(row)
        }
        var object = JSONObject()
        object["method"] = .string(method.name)
        object["models"] = .int(Int64(engine.allowed.count))
        object["samples"] = .int(Int64(query.count))
        object["model_passes"] = .int(Int64(result.passes))
        object["milliseconds"] = .double(milliseconds)
        object["score_meaning"] = .object(JSONObject(scales.map { ($0.name, .string($0.meaning)) }))
        object["margin"] = margin.map { .double($0) } ?? .null
        object["uncertain"] = .bool(!doubts.isEmpty)
        object["doubts"] = .array(doubts.map { .string($0) })
        object["ranking"] = .array(ranking)
        return .object(object)
    }

    /// Says what the table leaves out.
    func say(_ session: Session) {
        session.note(
            "\(method.name): \(Quantity.count(engine.allowed.count)) models ranked, \(result.passes) model passes, "
                + "\(CellText.number(milliseconds)) ms")
        for scale in scales { session.note("score of \(scale.name): \(scale.meaning)") }
        for doubt in doubts { session.note("uncertain: \(doubt)") }
        if let problem = result.problems.values.first {
            session.warn("\(result.problems.count) models have no score: \(problem.message)")
        }
    }
}
