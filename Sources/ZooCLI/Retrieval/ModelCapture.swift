import ZooBase
import ZooRetrieval

/// A black box that is to be indexed, and what is known of it.
struct CaptureItem: Sendable {
    var name: String
    var selector = ""
    var checkpoint: Int?
    var parameterCount: Int?
    var task: RetrievalTask?
    var sourceAccuracy: Double?
    var open: @Sendable () throws -> any BlackBox

    init(_ model: ZooModels.Model) {
        name = model.checkpoint.label
        selector = model.selector
        checkpoint = model.checkpoint.row.map { Int($0.id) }
        parameterCount = model.parameterCount
        task = model.task
        sourceAccuracy = model.checkpoint.row?.results.testAccuracy ?? model.checkpoint.row?.results.valAccuracy
        open = { try model.box() }
    }

    init(_ box: any BlackBox, task: String?) throws {
        name = box.name
        self.task = try task.map { try RetrievalTask(named: $0) }
        open = { box }
    }
}

/// Asks boxes on several threads; one that fails is left out and told.
struct ModelCapture {
    /// One captured box.
    struct Captured: Sendable {
        var item: CaptureItem
        var result: Capture.Result

        /// Its entry in an index.
        func entry(_ madeWith: String) -> IndexedModel {
            let k = result.knowledge
            return IndexedModel(
                name: item.name, selector: item.selector, checkpoint: item.checkpoint,
                parameterCount: item.parameterCount, classCount: k.classes, kind: result.answers.kind,
                coverage: k.coverage, queryCount: k.queryCount,
                emptyClasses: (0..<k.classes).filter { k.isEmpty[$0] }, task: item.task?.name,
                taskClasses: item.task?.classes ?? [], sourceAccuracy: item.sourceAccuracy, knowledge: k.digest,
                madeWith: madeWith)
        }
    }

    private(set) var captured: [Captured] = []
    private(set) var failures: [PartialFailure.Item] = []

    init(_ items: [CaptureItem], _ capture: Capture, labelsOnly: Bool, _ session: Session) throws {
        let progress = session.progress("capture", total: items.count, unit: .items("models"))
        let results = try Parallel.map(count: items.count, jobs: session.jobs) {
            place -> Result<Capture.Result, ZooError> in
            defer { progress.advance(by: 1) }
            do {
                let box = try items[place].open()
                return .success(try capture.ask(labelsOnly ? LabelsOnly(box) : box))
            } catch let error as ZooError where error.code != .interrupted { return .failure(error) }
        }
        progress.finish()
        for (item, result) in zip(items, results) {
            switch result {
            case .success(let found):
                captured.append(Captured(item: item, result: found))
                if found.knowledge.coverage < Knowledge.lowCoverage {
                    session.warn(
                        "\(item.name): coverage \(CellText.number(found.knowledge.coverage)); the probes may miss its classes"
                    )
                }
            case .failure(let error): failures.append(.init(item.name, error))
            }
        }
    }
}

/// A box whose scores are thrown away: for trying what labels alone can do.
private struct LabelsOnly: BlackBox {
    let box: any BlackBox
    var name: String { box.name }
    var inputShape: [Int] { box.inputShape }
    var classCount: Int { box.classCount }
    var kind: ScoreKind { .labels }

    init(_ box: any BlackBox) { self.box = box }

    func scores(_ inputs: [Float], count: Int) throws -> [Float] {
        let scores = try box.scores(inputs, count: count)
        guard scores.count == count * classCount else { return scores }
        var result = [Float](repeating: 0, count: scores.count)
        for row in 0..<count {
            let start = row * classCount
            let best = (0..<classCount).reduce(0) { scores[start + $1] > scores[start + $0] ? $1 : $0 }
            result[start + best] = 1
        }
        return result
    }
}

/// Numbers in messages.
enum CellText {
    static func number(_ x: Double) -> String { String((x * 1000).rounded() / 1000) }
}
