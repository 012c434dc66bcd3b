import ZooBase
import ZooMerge
import ZooNN
import ZooReport
import ZooTensor

/// The network of a base, ready to evaluate composed ones.
struct TaskNetwork {
    let graph: ArchitectureGraph

    /// Finds the architecture of the base for the data; the tasks must be the same network.
    init(_ set: TaskSet, _ options: NetworkOptions, inputShape: [Int], _ session: Session) throws {
        let library = try ArchitectureLibrary(session, explicit: options.architecture, settings: options.set)
        let (chosen, owner) = try library.shared(
            by: [set.base] + set.tasks.map(\.checkpoint), tensors: set.source.tensorInfos, inputShape: inputShape)
        graph = chosen.graph
        session.detail("\(owner.label): architecture '\(graph.name)' \(chosen.reason)")
    }

    /// Accuracies and losses of base + Σ scale · vector, for many choices of scales.
    func evaluations(_ set: TaskSet, _ choices: [[Double]], _ samples: Samples, jobs: Int) throws -> [Evaluation] {
        let evaluator = try Evaluator(graph, tensors: set.source.tensorInfos, samples: samples)
        let source = set.source, operands = set.operands
        return try evaluator.evaluate(count: choices.count, jobs: jobs) { place in
            DisplacedModel(base: source, operands: operands, scales: choices[place])
        }.map { try $0.get() }
    }
}

/// Numbers given in words: `0,0.1,0.2`.
enum NumberList {
    static func parse(_ text: String, option: String) throws -> [Double] {
        let numbers = try text.split(separator: ",").map { part in
            guard let number = Double(part.filter { $0 != " " }), number.isFinite else {
                throw ZooError(.usage, "\(option): '\(part)' is no number")
            }
            return number
        }
        guard !numbers.isEmpty else { throw ZooError(.usage, "\(option) names no number") }
        return numbers
    }
}

/// The steps of `zoo task-vector search`.
struct ScaleSearchWork {
    private let command: TaskVectorSearch
    private let session: Session
    private let set: TaskSet
    private let data: [TaskData]
    private let control: TaskData?
    private let network: TaskNetwork
    private let grid: [Double]

    init(_ command: TaskVectorSearch, _ session: Session) throws {
        self.command = command
        self.session = session
        grid = try command.grid.map { try NumberList.parse($0, option: "--grid") } ?? ScalingSearch.grid
        set = try TaskSet(base: command.base, tasks: command.tasks, options: command.fitting, session: session)
        try set.checkZeros(session)
        let names = command.control == nil ? set.names : [set.names[0]]
        data = try TaskData.open(
            command.data, names: names, validation: [], test: command.test, session: session)
        control = try command.control.map { text in
            try TaskData.open(
                [text], names: ["control"], validation: [], test: nil, option: "--control", session: session)[0]
        }
        if command.control != nil, set.tasks.count > 1 {
            session.note("negating all \(set.tasks.count) vectors; the target is \(set.names[0])")
        }
        network = try TaskNetwork(set, command.network, inputShape: data[0].learning.inputShape, session)
    }

    func run() throws { try control.map(negate) ?? add() }

    private func choices(_ scale: Double) -> [Double] { [Double](repeating: scale, count: set.tasks.count) }

    /// Accuracy of each choice on each task's validation samples.
    private func accuracies(_ choices: [[Double]]) throws -> [[Double]] {
        let columns = try data.map {
            try network.evaluations(set, choices, $0.validation, jobs: session.jobs).map(\.accuracy)
        }
        return choices.indices.map { place in columns.map { $0[place] } }
    }

    /// Accuracy of each task's own network on its own samples.
    private func singles(_ samples: (TaskData) -> Samples?) throws -> [Double] {
        try data.indices.map { task in
            var own = choices(0)
            own[task] = 1
            guard let found = samples(data[task]) else { return .nan }
            return try network.evaluations(set, [own], found, jobs: 1)[0].accuracy
        }
    }

    private func score(_ row: [Double], _ single: [Double]) -> Double {
        command.metric == .accuracy
            ? row.reduce(0, +) / Double(row.count) : ScalingSearch.normalised(row, single: single)
    }

    private func add() throws {
        let single = try singles(\.validation)
        if command.metric == .normalised, let place = single.firstIndex(of: 0) {
            throw ZooError(
                .numeric, "the fine-tuned network of \(set.names[place]) has accuracy 0 on its validation data",
                hint: "use --metric accuracy, or check that data and task belong together")
        }
        let progress = session.progress("search", total: nil, unit: .items("scales"))
        defer { progress.finish() }
        let rows = try accuracies(grid.map(choices))
        let scores = rows.map { score($0, single) }
        guard let best = ScalingSearch.best(scores) else { throw ZooError(.numeric, "no scale has a finite score") }
        var scales = choices(grid[best]), bestScore = scores[best]
        if command.perTask {
            (scales, bestScore) = try ScalingSearch.coordinateDescent(
                tasks: set.tasks.count, grid: grid, start: scales
            ) { choices in
                progress.advance(by: choices.count)
                return try accuracies(choices).map { score($0, single) }
            }
        }
        var report = ScaleReport(
            columns: set.names, grid: grid, rows: rows, scores: scores, chosen: scales, score: bestScore,
            metric: command.metric.rawValue)
        report.base = try accuracies([choices(0)])[0]
        try addTest(&report, scales)
        try finish(report, scales)
    }

    private func addTest(_ report: inout ScaleReport, _ scales: [Double]) throws {
        let tested = data.compactMap(\.test)
        guard tested.count == data.count else { return }
        report.test = try tested.map {
            try network.evaluations(set, [scales], $0, jobs: 1)[0].accuracy
        }
        let single = try singles(\.test)
        report.relativeTest = ScalingSearch.normalised(report.test, single: single)
        report.single = single
    }

    private func negate(_ control: TaskData) throws {
        let negated = grid.map { choices(-abs($0)) }
        let target = try network.evaluations(set, negated, data[0].validation, jobs: session.jobs).map(\.accuracy)
        let kept = try network.evaluations(set, negated, control.validation, jobs: session.jobs).map(\.accuracy)
        let base = try [data[0], control].map {
            try network.evaluations(set, [choices(0)], $0.validation, jobs: 1)[0].accuracy
        }
        let best = ScalingSearch.bestNegation(target: target, control: kept, baseControl: base[1])
        if best == nil { session.note("no scale keeps 95 % of the control accuracy; the scale is 0") }
        let scales = best.map { negated[$0] } ?? choices(0)
        var report = ScaleReport(
            columns: [data[0].name, "control"], grid: negated.map { $0[0] }, rows: zip(target, kept).map { [$0, $1] },
            scores: target, chosen: scales, score: best.map { target[$0] } ?? base[0], metric: "target accuracy")
        report.base = base
        let tested = [data[0].test, control.test].compactMap(\.self)
        if tested.count == 2 {
            report.test = try tested.map { try network.evaluations(set, [scales], $0, jobs: 1)[0].accuracy }
        }
        try finish(report, scales)
    }

    private func finish(_ report: ScaleReport, _ scales: [Double]) throws {
        if let to = command.to { try VectorWriting(session, to: to).write(set, scales, made: "task arithmetic") }
        if let figure = command.figure { try Picture.write(report.figure, to: figure) }
        try session.emit(report.json(set, output: command.to), as: report.table)
        session.note(report.sentence(names: set.names))
    }
}

/// What a search for scales found.
struct ScaleReport {
    var columns: [String]
    var grid: [Double]
    /// Accuracies, `[scales][columns]`.
    var rows: [[Double]]
    var scores: [Double]
    var chosen: [Double]
    var score: Double
    var metric: String
    var base: [Double] = []
    var test: [Double] = []
    var single: [Double] = []
    var relativeTest: Double?

    init(
        columns: [String], grid: [Double], rows: [[Double]], scores: [Double], chosen: [Double], score: Double,
        metric: String
    ) {
        self.columns = columns
        self.grid = grid
        self.rows = rows
        self.scores = scores
        self.chosen = chosen
        self.score = score
        self.metric = metric
    }

    var table: Table {
        var table = Table(
            [.init("scale", .double)] + columns.map { .init($0, .double) } + [.init("score", .double), .init("chosen")])
        let isShared = Set(chosen).count == 1
        for (place, row) in rows.enumerated() {
            table.append(
                [.double(grid[place])] + row.map { .double($0) } + [
                    .double(scores[place]), .text(isShared && grid[place] == chosen[0] ? "yes" : ""),
                ])
        }
        return table
    }

    private func number(_ value: Double) -> JSONValue { value.isFinite ? .double(value) : .null }

    private func object(_ values: [Double]) -> JSONValue {
        values.isEmpty ? .null : .object(JSONObject(zip(columns, values).map { ($0, number($1)) }))
    }

    func json(_ set: TaskSet, output: String?) -> JSONValue {
        [
            "metric": .string(metric),
            "scaling": .array(zip(set.names, chosen).map { ["task": .string($0), "scale": number($1)] }),
            "scale": Set(chosen).count == 1 ? number(chosen[0]) : .null, "score": number(score),
            "scores": .array(
                rows.indices.map {
                    ["scale": number(grid[$0]), "accuracy": object(rows[$0]), "score": number(scores[$0])]
                }),
            "base": object(base), "test": object(test), "single": object(single),
            "relative_test": relativeTest.map(number) ?? .null, "output": output.map { .string($0) } ?? .null,
        ]
    }

    func sentence(names: [String]) -> String {
        let scales =
            Set(chosen).count == 1
            ? "scale \(Quantity.significant(chosen[0], digits: 3))"
            : zip(names, chosen).map { "\($0) \(Quantity.significant($1, digits: 3))" }.joined(separator: ", ")
        var text = "\(scales): \(metric) \(Quantity.significant(score, digits: 4)) on validation data"
        if !test.isEmpty {
            text +=
                "; test "
                + zip(columns, test).map { "\($0) \(Quantity.significant($1, digits: 4))" }.joined(separator: ", ")
        }
        if let relativeTest { text += "; relative \(Quantity.significant(relativeTest, digits: 4))" }
        return text
    }

    var figure: Figure {
        let layers = columns.indices.map { column in
            Layer.line(Line(columns[column], x: grid, y: rows.map { $0[column] }))
        }
        let marks: [Annotation] = Set(chosen).count == 1 ? [.vertical(chosen[0], label: "chosen")] : []
        return Figure(
            [Panel(x: Axis("scale"), y: Axis("accuracy on validation data"), layers: layers, annotations: marks)],
            title: "Scale of task vectors")
    }
}
