import ZooBase

/// Makes tasks that no model was trained for out of classes of those that were: for each class of a random set, the rows
/// of some model that knows it, and the samples of some query group of it.
///
/// Encoders trained on whole tasks alone learn to tell those few sets of classes apart, and nothing says where a new set
/// lies. Composed tasks show that classes can be put together at will, in models and in queries alike. This project's own
/// addition to the method; it needs to know which output of a model stands for which class (`TrainingTask.outputs`).
struct TaskComposer {
    /// What tells one set of classes from another.
    struct Key: Hashable {
        /// Inputs of one kind: classes of different domains are never put together.
        var domain: String
        /// The data's classes, ascending.
        var labels: [Int]
    }

    /// A composed task.
    struct Item {
        var key: Key
        var knowledge: Knowledge
        var means: Matrix
    }

    private struct Source {
        var task: Int, row: Int
    }

    /// The row of a composed model: whose it is, and which outputs that model has for its task's classes.
    private struct Part {
        var model: Int, output: Int
        var labels: [Int], outputs: [Int]
    }

    private struct Domain {
        var name: String
        var labels: [Int]
        /// Per label, where it is found.
        var sources: [[Source]]
    }

    private let tasks: [TrainingTask]
    private let knowledge: [Knowledge]
    private let domains: [Domain]
    /// Domain and number of classes per usable task; drawn from so that composed tasks look like the trained ones.
    private let forms: [(domain: Int, size: Int)]
    private let width: Int
    /// Sets of classes that there are, as far as counted.
    let capacity: Int

    /// nil when outputs are not known, or the classes allow too few other sets for them to be of use.
    init?(tasks: [TrainingTask], knowledge: [Knowledge]) {
        self.tasks = tasks
        self.knowledge = knowledge
        var found: [Domain] = []
        for (place, task) in tasks.enumerated() {
            guard task.isComposable else { continue }
            let number = found.firstIndex { $0.name == task.domain } ?? found.count
            if number == found.count { found.append(Domain(name: task.domain, labels: [], sources: [])) }
            for (row, label) in task.labels.enumerated() {
                let models = task.models.indices.filter { model in
                    let output = task.outputs[model][row]
                    return output < knowledge[task.models[model]].classes
                        && !knowledge[task.models[model]].isEmpty[output]
                }
                guard !models.isEmpty else { continue }
                if let known = found[number].labels.firstIndex(of: label) {
                    found[number].sources[known].append(Source(task: place, row: row))
                } else {
                    found[number].labels.append(label)
                    found[number].sources.append([Source(task: place, row: row)])
                }
            }
        }
        domains = found
        forms = tasks.filter(\.isComposable).compactMap { task in
            found.firstIndex { $0.name == task.domain }.flatMap { number in
                let size = min(task.labels.count, found[number].labels.count)
                return size >= 2 ? (number, size) : nil
            }
        }
        width = tasks.flatMap { $0.models.map { knowledge[$0].width } }.max() ?? 1
        let kinds = Set(forms.map { [$0.domain, $0.size] })
        let possible = kinds.reduce(0) { $0 + Self.subsets(found[$1[0]].labels.count, $1[1]) }
        guard possible >= 2 * max(2, tasks.count) else { return nil }
        capacity = possible
    }

    /// n over k, no more than a million.
    private static func subsets(_ n: Int, _ k: Int) -> Int {
        var count = 1
        for step in 0..<min(k, n - k) {
            count = count * (n - step) / (step + 1)
            if count > 1_000_000 { return 1_000_000 }
        }
        return count
    }

    /// Sets of classes, different from each other and from those given; every other one is its predecessor with one
    /// class exchanged, since such neighbours are the hardest to tell apart. Where chance finds no new ones, old ones come
    /// again, so that there are always `count`.
    func sets(_ count: Int, besides taken: Set<Key>, _ generator: inout SeededGenerator) -> [Key] {
        var taken = taken, result: [Key] = [], tries = 0
        while result.count < count, tries < 100 * count {
            tries += 1
            let isNeighbour = result.count % 2 == 1 && tries % 4 != 0
            let key = isNeighbour ? neighbour(of: result[result.count - 1], &generator) : random(&generator)
            if taken.insert(key).inserted { result.append(key) }
        }
        while result.count < count { result.append(random(&generator)) }
        return result
    }

    private func random(_ generator: inout SeededGenerator) -> Key {
        let form = forms[generator.below(forms.count)]
        let order = generator.permutation(domains[form.domain].labels.count).prefix(form.size)
        return Key(domain: domains[form.domain].name, labels: order.map { domains[form.domain].labels[$0] }.sorted())
    }

    private func neighbour(of key: Key, _ generator: inout SeededGenerator) -> Key {
        let others = (domains.first { $0.name == key.domain }?.labels ?? []).filter { !key.labels.contains($0) }
        guard !others.isEmpty else { return key }
        var labels = key.labels
        labels[generator.below(labels.count)] = others[generator.below(others.count)]
        return Key(domain: key.domain, labels: labels.sorted())
    }

    /// Puts a set together: `draws` draws of one model per class, and one query group per class.
    ///
    /// - Parameter groups: the groups of a task that may be used.
    func compose(
        _ key: Key, draws: Int, groups: (TrainingTask) -> Range<Int>, _ generator: inout SeededGenerator
    ) -> Item? {
        guard let domain = domains.first(where: { $0.name == key.domain }) else { return nil }
        var parts: [Part] = []
        var means: [[Double]] = []
        for label in key.labels {
            guard let place = domain.labels.firstIndex(of: label) else { return nil }
            let choices = domain.sources[place]
            let source = choices[generator.below(choices.count)], task = tasks[source.task]
            let usable = task.models.indices.filter { model in
                let output = task.outputs[model][source.row], known = knowledge[task.models[model]]
                return output < known.classes && !known.isEmpty[output]
            }
            let model = usable[generator.below(usable.count)]
            let outputs = task.outputs[model]
            parts.append(
                Part(
                    model: task.models[model], output: outputs[source.row], labels: task.labels, outputs: outputs))
            let asked = choices[generator.below(choices.count)], range = groups(tasks[asked.task])
            let group = range.lowerBound + generator.below(range.count)
            means.append(Array(tasks[asked.task].groups[group].row(asked.row)))
        }
        return Item(
            key: key, knowledge: composed(key, parts, draws, &generator), means: Matrix(means))
    }

    /// One model out of rows of several: its nodes, and towards each partner the boundary point of the row's own model,
    /// or, when that model does not know the partner, one of its other boundary points.
    private func composed(
        _ key: Key, _ parts: [Part], _ draws: Int, _ generator: inout SeededGenerator
    ) -> Knowledge {
        let classes = parts.count, d = knowledge[parts[0].model].dimension
        let width = min(self.width, classes - 1)
        var result = Knowledge(
            draws: draws, classes: classes, width: width, dimension: d, partners: [], nodes: [], boundaries: [],
            distances: [], isEmpty: [Bool](repeating: false, count: classes), coverage: 1, queryCount: 0)
        let partners = (0..<classes).map { c in Array((0..<classes).filter { $0 != c }.prefix(width)) }
        result.partners = partners.flatMap { $0 }
        for _ in 0..<draws {
            for (c, part) in parts.enumerated() {
                let known = knowledge[part.model], t = generator.below(known.draws), output = part.output
                result.nodes += known.node(t, output)
                for partner in partners[c] {
                    let slot = slot(known, part, label: key.labels[partner], &generator)
                    result.boundaries += known.boundary(t, output, slot)
                    result.distances.append(known.distances[(t * known.classes + output) * known.width + slot])
                }
            }
        }
        return result
    }

    /// Where a model's row has its boundary towards a class of the data.
    private func slot(
        _ known: Knowledge, _ part: Part, label: Int, _ generator: inout SeededGenerator
    ) -> Int {
        let wanted = part.labels.firstIndex(of: label).map { part.outputs[$0] }
        let own = known.partners[part.output * known.width..<(part.output + 1) * known.width]
        if let wanted, let place = own.firstIndex(of: wanted) { return place - own.startIndex }
        return generator.below(known.width)
    }
}
