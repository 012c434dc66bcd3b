import ZooBase
import ZooNN
import ZooRetrieval

/// How well every model serves every task when it is used as it is, its classes matched as fits best: what graded losses
/// learn from. Models are asked about the tasks' own samples, so the private data of a fit do go through its models.
struct ModelGrades {
    /// Accuracy per model and task.
    let accuracies: [[Double]]
    /// Inputs that models were asked about.
    let queryCount: Int

    init(_ items: [CaptureItem], _ samples: [Samples], labelsOnly: Bool, _ session: Session) throws {
        let progress = session.progress("grade", total: items.count, unit: .items("models"))
        accuracies = try Parallel.map(count: items.count, jobs: session.jobs) { place in
            defer { progress.advance(by: 1) }
            let box = CheckedBox(try items[place].open())
            return try samples.map { try Self.accuracy(box, $0) }
        }
        progress.finish()
        queryCount = items.count * samples.reduce(0) { $0 + $1.count }
        session.note(
            "graded \(Quantity.count(items.count)) models on \(Quantity.count(samples.count)) tasks: "
                + "\(Quantity.count(queryCount)) more questions")
    }

    /// Accuracy under the matching of classes that fits the samples best.
    static func accuracy(_ box: CheckedBox, _ samples: Samples) throws -> Double {
        let scores = try box.scores(samples.inputs, count: samples.count)
        let dense = Evidence(labels: samples.labels.map(Int.init))
        var hits = Matrix(rows: samples.count, columns: scores.columns)
        for row in 0..<samples.count {
            let best = (0..<scores.columns).reduce(0) { scores[row, $1] > scores[row, $0] ? $1 : $0 }
            hits[row, best] = 1
        }
        return FewShotMatching.matching(hits, dense.labels, classCount: dense.classCount).score
    }
}
