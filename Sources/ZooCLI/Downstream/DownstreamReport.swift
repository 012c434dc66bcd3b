import ZooBase
import ZooLandscape
import ZooReport

/// What `zoo downstream` says: per phase, and per cell.
struct DownstreamReport {
    private let work: DownstreamWork

    init(_ work: DownstreamWork) { self.work = work }

    private var grid: ZooGrid { work.phases.grid }

    private func place(_ cell: Int) -> (load: Double, temperature: Double) {
        (grid.columns[cell % grid.columns.count], grid.rows[cell / grid.columns.count])
    }

    private static func cell(_ value: Double) -> Table.Cell {
        Int(exactly: value).map { .int($0) } ?? .double(value)
    }

    private static func number(_ value: Double?) -> JSONValue {
        guard let value, value.isFinite else { return .null }
        return Int(exactly: value).map { .int(Int64($0)) } ?? .double(value)
    }

    /// The cell of a phase with the largest gain; the first of equal ones.
    private func best(_ phase: Phase, _ gains: [Double?]) -> Int? {
        let places = gains.indices.filter { work.phases.phases[$0] == phase && gains[$0] != nil }
        return places.max { (gains[$0] ?? 0, $1) < (gains[$1] ?? 0, $0) }
    }

    /// One row per phase and study.
    var phaseTable: Table {
        var table = Table([
            .init("study"), .init("phase"), .init("cells", .integer), .init("accuracy", .double),
            .init("gain", .double), .init("sd", .double), .init("best_\(grid.axes.load.name)", .double, digits: 6),
            .init("best_\(grid.axes.temperature.name)", .double, digits: 6), .init("best_gain", .double),
        ])
        for (number, study) in work.studies.enumerated() {
            let gains = work.gains(number), accuracies = work.accuracies(number)
            let means = work.phases.diagram.summaries(of: accuracies)
            for summary in work.phases.diagram.summaries(of: gains) {
                let at = best(summary.phase, gains).map { (place($0), gains[$0]) }
                table.append([
                    .text(study.name), .text(summary.phase.rawValue), .int(summary.count),
                    Table.Cell(means.first { $0.phase == summary.phase }?.mean), .double(summary.mean),
                    .double(summary.deviation), at.map { Self.cell($0.0.load) } ?? .null,
                    at.map { Self.cell($0.0.temperature) } ?? .null, Table.Cell(at?.1),
                ])
            }
        }
        return table
    }

    /// One row per cell and study.
    var cellTable: Table {
        var table = Table([
            .init(grid.axes.load.name, .double, digits: 6), .init(grid.axes.temperature.name, .double, digits: 6),
            .init("phase"), .init("study"), .init("networks", .integer), .init("own_accuracy", .double),
            .init("accuracy", .double), .init("gain", .double), .init("sd", .double),
        ])
        for (number, cell) in work.cells.enumerated() {
            guard let cell else { continue }
            let at = place(number)
            for (study, outcome) in zip(work.studies, cell.outcomes) {
                let gains = CellStatistics(outcome.gains)
                table.append([
                    Self.cell(at.load), Self.cell(at.temperature), .text(work.phases.phases[number].rawValue),
                    .text(study.name), .int(cell.own.count), Table.Cell(StudyOutcome.mean(cell.own)),
                    StudyOutcome.mean(outcome.accuracies).map { .double($0) } ?? .missing(reason: outcome.reason),
                    gains?.value.map { .double($0) } ?? .missing(reason: outcome.reason),
                    gains.map { .double($0.deviation) } ?? .null,
                ])
            }
        }
        return table
    }

    /// The object of `--json`.
    var json: JSONValue {
        [
            "zoo": .string(grid.zoo), "load": .string(grid.axes.load.key),
            "temperature": .string(grid.axes.temperature.key),
            "studies": .array(work.studies.map { .string($0.name) }),
            "rows": .array(work.cells.indices.compactMap(row)), "phases": .array(phaseRows),
            "remarks": .array(work.phases.remarks.map { .string($0) }),
        ]
    }

    private func row(_ number: Int) -> JSONValue? {
        guard let cell = work.cells[number] else { return nil }
        let at = place(number)
        let outcomes = zip(work.studies, cell.outcomes).map { study, outcome -> (String, JSONValue) in
            var value = JSONObject([
                ("accuracy", Self.number(StudyOutcome.mean(outcome.accuracies))),
                ("gain", Self.number(StudyOutcome.mean(outcome.gains))),
                ("gains", .array(outcome.gains.map(Self.number))),
            ])
            if let reason = outcome.reason { value["accuracy_reason"] = .string(reason) }
            return (study.name, .object(value))
        }
        return [
            "load": Self.number(at.load), "temperature": Self.number(at.temperature),
            "phase": .string(work.phases.phases[number].rawValue), "accuracies": .array(cell.own.map(Self.number)),
            "studies": .object(JSONObject(outcomes)),
        ]
    }

    private var phaseRows: [JSONValue] {
        work.studies.enumerated().flatMap { number, study in
            let gains = work.gains(number)
            let test = work.phases.diagram.test(of: gains)
            return work.phases.diagram.summaries(of: gains).map { summary -> JSONValue in
                let at = best(summary.phase, gains)
                return [
                    "study": .string(study.name), "phase": .string(summary.phase.rawValue),
                    "cells": .int(Int64(summary.count)), "gain": Self.number(summary.mean),
                    "sd": Self.number(summary.deviation), "min": Self.number(summary.minimum),
                    "max": Self.number(summary.maximum),
                    "best": at.map {
                        [
                            "load": Self.number(place($0).load), "temperature": Self.number(place($0).temperature),
                            "gain": Self.number(gains[$0]),
                        ]
                    } ?? .null, "kruskal_wallis_p": test.map { .double($0.pValue) } ?? .null,
                ]
            }
        }
    }

    /// Why studies gave nothing.
    func say(_ session: Session) {
        for (number, study) in work.studies.enumerated() {
            let reasons = Set(work.cells.compactMap { $0?.outcomes[number].reason })
            for reason in reasons.sorted() { session.note("\(study.name): \(reason)") }
        }
        for remark in work.phases.remarks { session.warn(remark) }
    }

    /// The gains with the borders of the phases.
    func figure(title: String) -> Figure {
        let drawing = PhaseFigure(work.phases)
        var panels = [
            drawing.panel(
                .init(title: "the networks themselves", label: "accuracy, per cent", values: percent(work.own)))
        ]
        for (number, study) in work.studies.enumerated() where work.gains(number).contains(where: { $0 != nil }) {
            panels.append(
                drawing.panel(
                    .init(
                        title: study.title, label: "gain, points of accuracy", values: percent(work.gains(number)),
                        colors: .diverging(center: 0))))
        }
        panels.append(drawing.phasePanel)
        return Figure(panels, title: title, columns: 4, panelWidth: 318, panelHeight: 262)
    }

    private func percent(_ values: [Double?]) -> [Double?] { values.map { $0.map { 100 * $0 } } }
}
