import ZooBase
import ZooCatalog
import ZooReport

/// The tables that a notebook reads: models with what varies between them, and all that was measured.
struct NotebookTables {
    /// One row per checkpoint.
    let models: Table
    /// One row per value; empty when nothing was measured.
    let metrics: Table
    /// The zoo, when all checkpoints are of one.
    let zoo: String?

    init(_ ids: [Int64], _ catalog: Catalog) throws {
        let rows = try catalog.checkpoints(ids: ids)
        let configs = try catalog.configs(of: Set(rows.map(\.modelID)).sorted())
        let zoos = Set(rows.map(\.zoo))
        zoo = zoos.count == 1 ? zoos.first : nil
        models = Self.models(rows, configs)
        let names = Dictionary(rows.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        var metrics = Table([
            .init("model"), .init("epoch", .integer), .init("other"), .init("metric"),
            .init("value", .double, digits: 6),
            .init("error", .double), .init("note"),
        ])
        for row in try catalog.findings(of: ids).map(\.row) {
            guard let checkpoint = names[row.checkpoint] else { continue }
            let other = row.other.map { names[$0]?.model }
            // Half a pair is not among the rows.
            if let other, other == nil { continue }
            metrics.append([
                .text(checkpoint.model), Table.Cell(checkpoint.epoch), Table.Cell(other ?? nil), .text(row.name),
                row.value.isFinite ? .double(row.value) : .null, Table.Cell(row.error), Table.Cell(row.note),
            ])
        }
        self.metrics = metrics
    }

    private static func models(_ rows: [CheckpointRow], _ configs: [Int64: JSONObject]) -> Table {
        let settings = rows.map { configs[$0.modelID] ?? JSONObject() }
        let keys = varying(settings)
        let results: [(String, (CheckpointRow) -> Double?)] = [
            ("train_loss", { $0.results.trainLoss }), ("train_accuracy", { $0.results.trainAccuracy }),
            ("val_loss", { $0.results.valLoss }), ("val_accuracy", { $0.results.valAccuracy }),
            ("test_loss", { $0.results.testLoss }), ("test_accuracy", { $0.results.testAccuracy }),
        ]
        let shown = results.filter { result in rows.contains { result.1($0) != nil } }
        var table = Table(
            [.init("model"), .init("architecture"), .init("epoch", .integer)]
                + keys.map { Table.Column($0.bare, $0.isNumber ? .double : .text, digits: 6) }
                + shown.map { .init($0.0, .double) })
        for (row, config) in zip(rows, settings) {
            table.append(
                [.text(row.model), Table.Cell(row.architecture), Table.Cell(row.epoch)]
                    + keys.map { key in
                        key.isNumber
                            ? Table.Cell(GridAxes.number(config[key.name]))
                            : Table.Cell(config[key.name].map { $0.string ?? $0.text() })
                    }
                    + shown.map { result in
                        let value = result.1(row)
                        return value.map { $0.isFinite ? .double($0) : .null } ?? .null
                    })
        }
        return table
    }

    /// Settings that differ between models; long texts are what programs keep for themselves.
    private static func varying(_ configs: [JSONObject]) -> [(name: String, bare: String, isNumber: Bool)] {
        var order: [String] = []
        for config in configs { for (key, _) in config where !order.contains(key) { order.append(key) } }
        var taken: Set<String> = ["model", "architecture", "epoch"]
        return order.compactMap { key in
            let values = configs.map { $0[key] ?? .null }
            guard Set(values).count > 1, values.allSatisfy({ $0.text().utf8.count < 100 }) else { return nil }
            let isNumber = values.allSatisfy { $0 == .null || GridAxes.number($0) != nil }
            let bare = GridAxis.bare(key)
            let name = taken.insert(bare).inserted ? bare : key
            return (name: key, bare: name, isNumber: isNumber)
        }
    }

    /// Per metric: how many values, mean, least, largest.
    var summary: Table {
        var values: [String: [Double]] = [:]
        for row in metrics.rows {
            guard case .text(let name) = row[3] else { continue }
            if case .double(let value) = row[4] { values[name, default: []].append(value) }
        }
        var table = Table([
            .init("metric"), .init("values", .integer), .init("mean", .double), .init("least", .double),
            .init("largest", .double),
        ])
        for (name, list) in values.sorted(by: { $0.key < $1.key }) {
            table.append([
                .text(name), .int(list.count), .double(list.reduce(0, +) / Double(list.count)),
                .double(list.min() ?? .nan), .double(list.max() ?? .nan),
            ])
        }
        return table
    }

    /// The models with the best test accuracy; the first rows where there is none.
    func best(_ count: Int) -> Table {
        guard let column = models.columns.firstIndex(where: { $0.name == "test_accuracy" }) else {
            return Table(models.columns, rows: Array(models.rows.prefix(count)))
        }
        func value(_ row: [Table.Cell]) -> Double { if case .double(let value) = row[column] { value } else { -1 } }
        let order = models.rows.indices.sorted { (-value(models.rows[$0]), $0) < (-value(models.rows[$1]), $1) }
        return Table(models.columns, rows: order.prefix(count).map { models.rows[$0] })
    }
}
