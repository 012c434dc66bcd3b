import ZooBase
import ZooLandscape
import ZooReport

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// What `zoo phases` says.
struct PhaseReport {
    private let found: ZooPhases

    init(_ found: ZooPhases) { self.found = found }

    private var axes: GridAxes { found.grid.axes }

    /// The load and temperature of a cell.
    private func place(_ cell: Int) -> (load: Double, temperature: Double) {
        (found.grid.columns[cell % found.columnCount], found.grid.rows[cell / found.columnCount])
    }

    private static func cell(_ value: Double) -> Table.Cell {
        Int(exactly: value).map { .int($0) } ?? .double(value)
    }

    private static func number(_ value: Double?) -> JSONValue {
        guard let value, value.isFinite else { return .null }
        return Int(exactly: value).map { .int(Int64($0)) } ?? .double(value)
    }

    /// One row per cell.
    var table: Table {
        let sources = found.sources
        let shown = [sources.loss, sources.sharpness, sources.connectivity, sources.similarity, sources.accuracy]
        var table = Table(
            [
                .init(axes.load.name, .double, digits: 6), .init(axes.temperature.name, .double, digits: 6),
                .init("phase"), .init("confidence", .double, digits: 2), .init("networks", .integer),
            ] + shown.map { .init($0, .double) } + [.init("flags")])
        for (place, phase) in found.phases.enumerated() {
            let at = self.place(place), cell = found.cells[place]
            table.append(
                [
                    Self.cell(at.load), Self.cell(at.temperature), .text(phase.rawValue),
                    Table.Cell(found.confidence[place]),
                    .int(found.grid.cells[place / found.columnCount][place % found.columnCount].count),
                ]
                    + shown.map { name in
                        cell[name]?.value.map { .double($0) } ?? .missing(reason: cell[name]?.reason ?? "not measured")
                    } + [.text(found.diagram.flags[place].sorted().map(\.rawValue).joined(separator: " "))])
        }
        return table
    }

    /// The rows for people: short headings, and without the flag that every collapsed cell has.
    var narrowTable: Table {
        let whole = table, last = whole.columns.count - 1
        var columns = whole.columns
        for place in columns.indices { columns[place].name = Self.short(columns[place].name) }
        return Table(
            columns,
            rows: whole.rows.map { row in
                guard case .text(let flags) = row[last], flags.contains("collapsed") else { return row }
                return row.dropLast() + [.text(flags.replacing(" underfitted", with: ""))]
            })
    }

    /// What the short headings stand for.
    private var headings: String {
        let sources = found.sources
        return [sources.loss, sources.sharpness, sources.connectivity, sources.similarity, sources.accuracy]
            .filter { Self.short($0) != $0 }.map { "\(Self.short($0)) is \($0)" }.joined(separator: ", ")
    }

    private static func short(_ name: String) -> String {
        switch name {
        case "confidence": "conf"
        case "networks": "n"
        case "landscape_loss": "loss"
        case "hessian_trace": "trace"
        case "hessian_top": "top"
        case "curve_mc": "mc"
        case "cka_mixup": "cka"
        case "eval_test_accuracy", "result_test_accuracy": "accuracy"
        default: name
        }
    }

    // MARK: JSON

    /// The object of `--json`.
    var json: JSONValue {
        var object = JSONObject()
        object["zoo"] = .string(found.grid.zoo)
        object["epoch"] = found.grid.epoch.map { .int(Int64($0)) } ?? .null
        object["load"] = axis(axes.load, increases: axes.load.ascends ? "capacity" : "load")
        object["temperature"] = axis(
            axes.temperature, increases: axes.temperature.ascends ? "coldness" : "temperature")
        object["repetition"] = axes.repetition.map { .string($0) } ?? .null
        object["axes_from"] = .string(axes.origin)
        object["sources"] = [
            "loss": .string(found.sources.loss), "sharpness": .string(found.sources.sharpness),
            "connectivity": .string(found.sources.connectivity), "similarity": .string(found.sources.similarity),
            "accuracy": .string(found.sources.accuracy),
            "data": .object(
                JSONObject(
                    (found.sources.required + [found.sources.similarity, found.sources.accuracy]).map { name in
                        (name, .array(found.metrics.datasets(of: name).map { .string($0) }))
                    })),
        ]
        object["thresholds"] = thresholds
        object["separation"] = [
            "loss_ratio": Self.number(found.diagram.lossRatio),
            "sharpness_ratio": Self.number(found.diagram.sharpnessRatio),
        ]
        object["smoothed_changes"] = found.smoothedChanges.map { .int(Int64($0)) } ?? .null
        object["rows"] = .array(found.phases.indices.map(row))
        object["phases"] = .array(phaseRows)
        object["kruskal_wallis"] = test
        object["transitions"] = .array(transitions)
        object["remarks"] = .array(found.remarks.map { .string($0) })
        return .object(object)
    }

    private func axis(_ axis: GridAxis, increases: String) -> JSONValue {
        [
            "key": .string(axis.key), "increases": .string(increases),
            "values": .array(axis.values.map(Self.number)),
        ]
    }

    private var thresholds: JSONValue {
        let rules = found.diagram.rules
        func json(_ threshold: PhaseThreshold?) -> JSONValue {
            guard let threshold else { return .null }
            return [
                "value": Self.number(threshold.value), "origin": .string(threshold.origin.rawValue),
                "separability": Self.number(threshold.separability),
            ]
        }
        return [
            "axis": .string(rules.axis.rawValue), "sharp": json(found.diagram.side),
            "connected": [
                "value": Self.number(-rules.connectivityTolerance), "origin": .string(found.toleranceOrigin.rawValue),
            ],
            "similar": json(found.diagram.similarity),
            "underfitted_loss": [
                "value": Self.number(log(Double(rules.classCount)) / 2), "origin": "fixed",
                "classes": .int(Int64(rules.classCount)), "classes_from": .string(found.classOrigin),
            ],
            "least_loss_ratio": ["value": Self.number(rules.leastLossRatio), "origin": "fixed"],
        ]
    }

    private func row(_ place: Int) -> JSONValue {
        let at = self.place(place)
        let metrics = found.cells[place].sorted { $0.key < $1.key }.map { name, statistics -> (String, JSONValue) in
            var value = JSONObject([
                ("mean", Self.number(statistics.value)),
                ("sd", statistics.count > 0 ? Self.number(statistics.deviation) : .null),
                ("n", .int(Int64(statistics.count))),
            ])
            if statistics.missing > 0 {
                value["missing"] = .int(Int64(statistics.missing))
                value["mean_reason"] = .string(statistics.reason ?? "not finite")
            }
            return (name, .object(value))
        }
        return [
            "load": Self.number(at.load), "temperature": Self.number(at.temperature),
            "phase": .string(found.phases[place].rawValue), "confidence": Self.number(found.confidence[place]),
            "flags": .array(found.diagram.flags[place].sorted().map { .string($0.rawValue) }),
            "coordinate": Self.number(found.diagram.coordinates[place]),
            "networks": .array(
                found.grid.cells[place / found.columnCount][place % found.columnCount].map { .string($0.label) }),
            "metrics": .object(JSONObject(metrics)),
        ]
    }

    private var metricNames: [String] { Set(found.cells.flatMap(\.keys)).sorted() }

    private var phaseRows: [JSONValue] {
        let summaries = metricNames.map { name in (name, found.diagram.summaries(of: found.values(name))) }
        return Phase.allCases.compactMap { phase in
            guard let area = found.diagram.areas[phase] else { return nil }
            let metrics = summaries.compactMap { name, list -> (String, JSONValue)? in
                list.first { $0.phase == phase }.map {
                    (
                        name,
                        [
                            "mean": Self.number($0.mean), "sd": Self.number($0.deviation),
                            "min": Self.number($0.minimum),
                            "max": Self.number($0.maximum), "n": .int(Int64($0.count)),
                        ]
                    )
                }
            }
            return [
                "phase": .string(phase.rawValue), "cells": .int(Int64(area)),
                "share": .double(Double(area) / Double(found.phases.count)), "best": best(phase) ?? .null,
                "metrics": .object(JSONObject(metrics)),
            ]
        }
    }

    /// The cell of a phase with the best accuracy.
    private func best(_ phase: Phase) -> JSONValue? {
        let accuracies = found.accuracies
        let places = found.phases.indices.filter { found.phases[$0] == phase && accuracies[$0] != nil }
        guard let place = places.max(by: { (accuracies[$0] ?? 0, $1) < (accuracies[$1] ?? 0, $0) }) else { return nil }
        let at = self.place(place)
        return [
            "load": Self.number(at.load), "temperature": Self.number(at.temperature),
            "accuracy": Self.number(accuracies[place]),
        ]
    }

    private var test: JSONValue {
        guard let test = found.diagram.test(of: found.accuracies) else { return .null }
        return [
            "metric": .string(found.sources.accuracy), "h": Self.number(test.statistic),
            "degrees_of_freedom": .int(Int64(test.degreesOfFreedom)), "p": .double(test.pValue),
        ]
    }

    private var transitions: [JSONValue] {
        found.diagram.transitions(columns: found.columnCount).map { transition in
            let isRow = transition.direction == .row
            let along = isRow ? found.grid.columns : found.grid.rows
            let fixed = isRow ? found.grid.rows : found.grid.columns
            let a = along[transition.after], b = along[transition.after + 1]
            let isGeometric = a > 0 && b > 0
            return [
                "along": .string(isRow ? "load" : "temperature"),
                isRow ? "temperature" : "load": Self.number(fixed[transition.index]),
                "between": [Self.number(a), Self.number(b)],
                "at": Self.number(isGeometric ? (a * b).squareRoot() : (a + b) / 2),
                "log2_at": isGeometric ? .double((log2(a) + log2(b)) / 2) : .null,
                "from": .string(transition.from.rawValue), "to": .string(transition.to.rawValue),
            ]
        }
    }

    // MARK: Words

    /// The map, the thresholds and the phases in lines for people.
    func say(_ session: Session) {
        func text(_ value: Double) -> String { Quantity.significant(value, digits: 4) }
        for line in map { session.note(line) }
        let data = Set(found.sources.required.flatMap { found.metrics.datasets(of: $0) }.filter { $0 != "?" }).sorted()
        if !data.isEmpty { session.note("measured on \(data.joined(separator: ", "))") }
        let diagram = found.diagram
        var parts: [String] = []
        if let side = diagram.side {
            parts.append(
                "sharp above \(text(side.value)) (\(diagram.rules.axis.rawValue), \(side.origin.rawValue)"
                    + (side.separability.map { ", separability \(Quantity.fixed($0, decimals: 2))" } ?? "") + ")")
        }
        parts.append(
            "a barrier below \(text(-diagram.rules.connectivityTolerance)) points (\(found.toleranceOrigin.rawValue))")
        if let similar = diagram.similarity {
            parts.append(
                "similar from \(text(similar.value)) (\(similar.origin.rawValue)"
                    + (similar.separability.map { ", separability \(Quantity.fixed($0, decimals: 2))" } ?? "") + ")")
        }
        session.note(parts.joined(separator: "; "))
        if let ratio = diagram.lossRatio, let other = diagram.sharpnessRatio {
            session.note("sharp ÷ flat: training loss \(text(ratio)), sharpness \(text(other))")
        }
        for summary in diagram.summaries(of: found.accuracies) {
            session.note(
                "\(summary.phase.rawValue): \(summary.count) cells, \(found.sources.accuracy) \(text(summary.mean)) ± "
                    + text(summary.deviation))
        }
        if let test = diagram.test(of: found.accuracies) {
            session.note(
                "Kruskal–Wallis of \(found.sources.accuracy) over phases: H = \(text(test.statistic)), "
                    + "p = \(Quantity.significant(test.pValue, digits: 2))")
        }
        if let changed = found.smoothedChanges { session.note("smoothing changed \(changed) labels") }
        if session.isForPeople { session.note("columns: \(headings); --json and --csv have all, under whole names") }
        for remark in found.remarks { session.warn(remark) }
    }

    /// The phases as the figure shows them: hot at the top, large networks at the right.
    private var map: [String] {
        let names = found.grid.rows.map { Quantity.significant($0, digits: 6) }
        let heads = found.grid.columns.map { Quantity.significant($0, digits: 6) }
        let first = max(axes.temperature.name.count, names.map(\.count).max() ?? 0)
        let wide = max(6, (heads.map(\.count).max() ?? 0) + 1)
        func padded(_ text: String, _ width: Int) -> String {
            String(repeating: " ", count: max(0, width - text.count)) + text
        }
        let top = padded(axes.temperature.name, first) + heads.map { padded($0, wide) }.joined() + "  \(axes.load.name)"
        return [top]
            + names.enumerated().map { row, name in
                let labels = found.phases[(row * found.columnCount)..<((row + 1) * found.columnCount)]
                return padded(name, first)
                    + labels.map { padded($0 == .unknown ? "?" : $0.rawValue, wide) }.joined()
            }
    }
}
