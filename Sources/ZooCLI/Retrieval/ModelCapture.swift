import ZooBase
import ZooCatalog
import ZooRetrieval

/// A black box that is to be indexed, and what is known of it.
struct CaptureItem: Sendable {
    var name: String
    var selector = ""
    var checkpoint: Int?
    var parameterCount: Int?
    var task: RetrievalTask?
    var sourceAccuracy: Double?
    /// What tells its answers from those of anything else that may have its name.
    var identity: String
    var open: @Sendable () throws -> any BlackBox

    init(_ model: ZooModels.Model) {
        name = model.checkpoint.label
        selector = model.selector
        checkpoint = model.checkpoint.row.map { Int($0.id) }
        parameterCount = model.parameterCount
        task = model.task
        sourceAccuracy = model.checkpoint.row?.results.testAccuracy ?? model.checkpoint.row?.results.valAccuracy
        identity = Self.described(model.checkpoint)
        open = { try model.box() }
    }

    private static func described(_ checkpoint: SelectedCheckpoint) -> String {
        guard let row = checkpoint.row else {
            let path = checkpoint.place ?? checkpoint.label
            return "\(path) \(IndexFile.byteCount(path) ?? 0) \(IndexFile.modified(path) ?? 0)"
        }
        return "\(row.id) \(row.digest ?? "") \(row.sourcePath) \(row.member) \(row.offset ?? 0) \(row.byteCount) "
            + "\(IndexFile.modified(row.sourcePath) ?? 0)"
    }

    /// - Parameter identity: its entry in the manifest.
    init(_ box: any BlackBox, task: String?, identity: String) throws {
        name = box.name
        self.identity = identity
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

    /// - Parameter folder: where captured models are kept until all are.
    init(
        _ items: [CaptureItem], _ capture: Capture, labelsOnly: Bool, folder: FitFolder, _ session: Session
    ) throws {
        let known = try folder.captured(capture)
        let keys = items.map { "\($0.name)\n\($0.identity)\n\(labelsOnly ? "labels" : "scores")" }
        let found = keys.count { known[$0] != nil }
        if found > 0 {
            session.note(
                found == 1 ? "1 model was captured before" : "\(Quantity.count(found)) models were captured before")
        }
        let progress = session.progress("capture", total: items.count, unit: .items("models"))
        let results: [Result<Capture.Result, ZooError>]
        do {
            results = try Parallel.map(count: items.count, jobs: session.jobs) { place in
                defer { progress.advance(by: 1) }
                if let result = known[keys[place]] { return .success(result) }
                do {
                    let box = try items[place].open()
                    let result = try capture.ask(labelsOnly ? LabelsOnly(box) : box)
                    try folder.keep(result, key: keys[place], capture)
                    return .success(result)
                } catch let error as ZooError where error.code != .interrupted { return .failure(error) }
            }
        } catch let error as ZooError where error.code == .interrupted {
            progress.finish()
            try folder.keepAll(capture)
            throw error
        }
        progress.finish()
        for (item, result) in zip(items, results) {
            switch result {
            case .success(let found): captured.append(Captured(item: item, result: found))
            case .failure(let error): failures.append(.init(item.name, error))
            }
        }
        warnOfCoverage(session)
    }

    /// - Throws: `usage` naming the first when items have names that are taken.
    static func refuseRepeated(_ items: [CaptureItem], besides names: [String] = []) throws {
        let old = Set(names)
        var all = old
        let twice = items.filter { !all.insert($0.name).inserted }
        guard let first = twice.first else { return }
        let rest = twice.count > 1 ? " and \(Quantity.count(twice.count - 1)) more are" : " is"
        let place = old.contains(first.name) ? "in the index already" : "named twice"
        throw ZooError(
            .usage, "\(first.name)\(rest) \(place)",
            hint: "names of models and boxes are unique; fit anew to replace one")
    }

    /// Says once how many models have classes that no probe is surely of.
    private func warnOfCoverage(_ session: Session) {
        let low = captured.filter { $0.result.knowledge.coverage < Knowledge.lowCoverage }
        guard let worst = low.min(by: { $0.result.knowledge.coverage < $1.result.knowledge.coverage }) else { return }
        let least = "\(worst.item.name) with \(CellText.number(worst.result.knowledge.coverage))"
        let how =
            low.count == 1
            ? least : "\(Quantity.count(low.count)) of \(Quantity.count(captured.count)) models, the least \(least)"
        session.warn(
            "coverage below \(CellText.number(Knowledge.lowCoverage)): \(how); the probes may miss some of their classes"
        )
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
