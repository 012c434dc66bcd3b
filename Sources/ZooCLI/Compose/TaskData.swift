import ZooBase
import ZooNN

/// The samples of one column of a table: a task, a target or a control set.
struct TaskData {
    var name: String
    /// What is learned on and selected by.
    var learning: Samples
    /// What scores are selected by.
    var validation: Samples
    /// What the result is scored on once; nil for none.
    var test: Samples?
    /// Where the learning data is.
    var text: String

    /// Opens data given once for all tasks with `{task}` in it, or once for each, in their order.
    ///
    /// - Parameters:
    ///   - validation: as `texts`; empty selects by the learning data.
    ///   - test: a split, data as `texts`, `none`; nil looks for a split `test` beside the learning one.
    /// - Throws: `usage` when the numbers do not match; what opening throws.
    static func open(
        _ texts: [String], names: [String], validation: [String], test: String?, option: String = "--data",
        labelled: Bool = true, session: Session
    ) throws -> [TaskData] {
        let places = try expand(texts, names, option)
        let selected = validation.isEmpty ? [] : try expand(validation, names, "--validation")
        return try names.indices.map { index in
            let (learning, split, source) = try samples(places[index], labelled: labelled, session)
            let chosen = selected.isEmpty ? learning : try samples(selected[index], labelled: true, session).0
            return TaskData(
                name: names[index], learning: learning, validation: chosen,
                test: try testSamples(test, names[index], split, source, session), text: places[index])
        }
    }

    private static func expand(_ texts: [String], _ names: [String], _ option: String) throws -> [String] {
        if texts.count == 1, texts[0].contains("{task}") {
            return names.map { texts[0].replacing("{task}", with: $0) }
        }
        guard texts.count == names.count else {
            throw ZooError(
                .usage, "\(texts.count) \(option) for \(names.count) data sets (\(names.joined(separator: ", ")))",
                hint: "give it once for each in that order, or once with {task} in it")
        }
        return texts
    }

    /// One split of data.
    static func samples(
        _ text: String, labelled: Bool, _ session: Session
    ) throws -> (Samples, split: String, source: DataSource) {
        let source = try DataSource(text, seed: session.seed, defaultSplit: "val")
        guard source.splits.count == 1 else {
            throw ZooError(.usage, "\(text) names \(source.splits.count) splits; name one")
        }
        return (try source.samples(source.splits[0], labelled: labelled), source.splits[0], source)
    }

    private static func testSamples(
        _ test: String?, _ name: String, _ split: String, _ source: DataSource, _ session: Session
    ) throws -> Samples? {
        if test == "none" { return nil }
        if let test {
            let text = test.replacing("{task}", with: name)
            if source.dataset.splits.contains(where: { $0.name == text }) { return try source.samples(text) }
            return try samples(text, labelled: true, session).0
        }
        for ending in ["val", "train"] where split.hasSuffix(ending) {
            let sibling = String(split.dropLast(ending.count)) + "test"
            if source.dataset.splits.contains(where: { $0.name == sibling }) { return try source.samples(sibling) }
        }
        session.note("\(name): there is no test split beside '\(split)'; nothing is scored on test data")
        return nil
    }
}
