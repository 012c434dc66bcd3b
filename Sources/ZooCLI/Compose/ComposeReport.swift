import ZooBase
import ZooMerge
import ZooNN
import ZooReport

/// Accuracies of one method.
struct MethodScore {
    var name: String
    /// Numbers that were learned; nil where that is no question.
    var parameters: Int?
    /// By column.
    var validation: [Double] = []
    /// By column; empty without test data.
    var test: [Double] = []
    /// Mean over tasks of test accuracy relative to the task's own network.
    var relative: Double?
    /// The same on validation data.
    var relativeValidation: Double?
    /// A chosen scale, in words.
    var detail: String?
    /// Samples per class.
    var shots: Int?
    /// Standard deviation of the first column's test accuracy over draws.
    var deviation: Double?

    init(name: String, parameters: Int?) {
        self.name = name
        self.parameters = parameters
    }

    /// Whether this is the composed network, without an adapter.
    var isComposed: Bool { name.hasPrefix("aTLAS") && !name.contains(" + ") }

    var mean: Double? { test.isEmpty ? nil : test.reduce(0, +) / Double(test.count) }

    var validationMean: Double? { validation.isEmpty ? nil : validation.reduce(0, +) / Double(validation.count) }

    mutating func relate(to single: MethodScore?) {
        guard let single else { return }
        if !test.isEmpty, !single.test.isEmpty { relative = ScalingSearch.normalised(test, single: single.test) }
        if !validation.isEmpty {
            relativeValidation = ScalingSearch.normalised(validation, single: single.validation)
        }
    }

    /// The mean over draws of few shots.
    static func mean(_ rows: [MethodScore], shots: Int) -> MethodScore {
        guard var first = rows.first else { return MethodScore(name: "", parameters: nil) }
        func average(_ lists: [[Double]]) -> [Double] {
            (lists.first ?? []).indices.map { column in
                lists.reduce(0) { $0 + $1[column] } / Double(lists.count)
            }
        }
        let values = rows.compactMap(\.mean)
        first.validation = average(rows.map(\.validation))
        first.test = average(rows.map(\.test))
        first.shots = shots
        if rows.count > 1, values.count == rows.count {
            let mean = values.reduce(0, +) / Double(values.count)
            first.deviation = (values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count - 1))
                .squareRoot()
        }
        return first
    }
}

/// What `zoo compose` says.
struct ComposeReport {
    let recipe: ComposeRecipe
    let columns: [String]
    let groups: CoefficientGroups
    let partitions: Int
    var methods: [MethodScore] = []
    var single: MethodScore?
    var values: [Double] = []
    var history: [CoefficientRound] = []
    var selection: [Set<Int>]?
    var memory = JSONObject()
    /// What batch-norm statistics are recomputed on; empty where they are not.
    var statisticsData: [Samples] = []

    init(recipe: ComposeRecipe, columns: [String], groups: CoefficientGroups, partitions: Int) {
        self.recipe = recipe
        self.columns = columns
        self.groups = groups
        self.partitions = partitions
    }

    /// Takes what was learned.
    mutating func take(_ state: CoefficientState) {
        values = state.best
        history = state.history
    }

    private var hasTest: Bool { methods.contains { !$0.test.isEmpty } }

    /// One row per method: test accuracies, those on validation data where there are none.
    var table: Table {
        var heads: [Table.Column] = [.init("method")]
        if recipe == .fewshot { heads.append(.init("shots", .integer)) }
        heads += [.init("parameters", .integer), .init("validation", .double)]
        heads += columns.map { .init($0, .double) }
        if columns.count > 1, recipe == .addition { heads += [.init("mean", .double), .init("relative", .double)] }
        if methods.contains(where: { $0.deviation != nil }) { heads.append(.init("deviation", .double)) }
        var table = Table(heads)
        for row in methods {
            var cells: [Table.Cell] = [.text(row.detail.map { "\(row.name) (\($0))" } ?? row.name)]
            if recipe == .fewshot { cells.append(Table.Cell(row.shots)) }
            cells += [Table.Cell(row.parameters), Table.Cell(row.validationMean)]
            let shown = hasTest ? row.test : row.validation
            cells += columns.indices.map { $0 < shown.count ? .double(shown[$0]) : .null }
            if columns.count > 1, recipe == .addition {
                cells += [
                    Table.Cell(hasTest ? row.mean : row.validationMean),
                    Table.Cell(hasTest ? row.relative : row.relativeValidation),
                ]
            }
            if heads.last?.name == "deviation" { cells.append(Table.Cell(row.deviation)) }
            table.append(cells)
        }
        return table
    }

    // MARK: JSON

    private func number(_ value: Double?) -> JSONValue { value.flatMap { $0.isFinite ? .double($0) : nil } ?? .null }

    private func object(_ values: [Double]) -> JSONValue {
        values.count == columns.count
            ? .object(JSONObject(zip(columns, values).map { ($0, number($1)) })) : .null
    }

    func json(_ set: TaskSet, output: String?, log: ComposeLog) -> JSONValue {
        let best = methods.last(where: \.isComposed)
        return [
            "recipe": .string(recipe.rawValue), "columns": .array(columns.map { .string($0) }),
            "methods": .array(methods.map(json)),
            "coefficients": .object(JSONObject(set.names.enumerated().map { ($1, .object(row($0))) })),
            "selection": selection.map { chosen in
                .object(
                    JSONObject(
                        zip(set.names, chosen).map { name, places in
                            (name, .array(places.sorted().map { .string(groups.names[$0]) }))
                        }))
            } ?? .null,
            "score": number(best?.validationMean), "test": number(best?.mean), "memory": .object(memory),
            "history": .array(log.lines), "seconds": .double(log.seconds),
            "peak_bytes": .int(Int64(ComposeLog.peakByteCount)), "output": output.map { .string($0) } ?? .null,
        ]
    }

    private func json(_ row: MethodScore) -> JSONValue {
        [
            "method": .string(row.name), "detail": row.detail.map { .string($0) } ?? .null,
            "shots": row.shots.map { .int(Int64($0)) } ?? .null,
            "parameters": row.parameters.map { .int(Int64($0)) } ?? .null, "validation": object(row.validation),
            "test": object(row.test), "mean_validation": number(row.validationMean), "mean_test": number(row.mean),
            "relative_validation": number(row.relativeValidation), "relative_test": number(row.relative),
            "deviation": number(row.deviation),
        ]
    }

    private func row(_ vector: Int) -> JSONObject {
        JSONObject(
            groups.names.enumerated().map { group, name in
                let first = (vector * groups.names.count + group) * partitions
                let own = values[first..<first + partitions].map { number($0) }
                return (name, partitions == 1 ? own[0] : .array(own))
            })
    }

    // MARK: Words and pictures

    func say(_ session: Session) {
        guard let best = methods.last(where: \.isComposed), let start = methods.first else { return }
        func text(_ value: Double?) -> String { value.map { Quantity.significant($0, digits: 4) } ?? "unknown" }
        let isTest = hasTest && recipe != .negation
        if recipe == .negation {
            let shown = hasTest ? (start.test, best.test) : (start.validation, best.validation)
            session.note(
                "target \(text(shown.0.first)) → \(text(shown.1.first)), control \(text(shown.0.last)) → "
                    + "\(text(shown.1.last))\(hasTest ? " on test data" : "")")
        } else if best.mean == nil, best.validationMean == nil {
            session.note("the data have no labels: nothing is scored")
        } else {
            session.note(
                "accuracy \(text(isTest ? start.mean : start.validationMean)) → "
                    + "\(text(isTest ? best.mean : best.validationMean))\(isTest ? " on test data" : "")")
        }
    }

    /// Tasks by tensors; the mean where a tensor has parts.
    func figure(_ set: TaskSet) -> Figure {
        let columns = groups.names.count
        let means = (0..<set.names.count * columns).map { place in
            values[place * partitions..<(place + 1) * partitions].reduce(0, +) / Double(partitions)
        }
        let map = HeatMap(
            x: groups.names.indices.map(Double.init), y: set.names.indices.map(Double.init), values: means,
            colors: .diverging(center: 0), label: "coefficient", showsValues: columns <= 12 && set.names.count <= 12)
        return Figure(
            [
                Panel(
                    x: Axis("", categories: groups.names), y: Axis("", categories: set.names), layers: [.heatMap(map)])
            ], title: "Coefficients of task vectors", panelWidth: max(480, Double(columns) * 64))
    }
}
