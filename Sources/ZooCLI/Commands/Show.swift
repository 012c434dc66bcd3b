import ArgumentParser
import ZooBase
import ZooCatalog
import ZooReport
import ZooTensor

/// `zoo show`: one model of the catalog with everything that is known of it.
package struct Show: ZooCommand {
    package static let configuration = CommandConfiguration(
        abstract: "Show a model: configuration, history, tensors, metrics, lineage.",
        discussion: """
            SELECTOR is a checkpoint's id, NAME@EPOCH, NAME@last, NAME@best, or 'where:…' with one match. Without a \
            selector the catalog's sources and zoos are shown.

            Example:
              zoo show 412
              zoo show "where:nlin = 'gelu' and lr = 0.001 and seed = 1 and init_type = 'uniform' and epoch = last"
              zoo show
            """)

    @Argument(help: "A checkpoint of the catalog.")
    package var selector: String?

    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    package func run(in session: Session) throws {
        let catalog = try Catalog(session.catalogPath)
        guard let selector else {
            let overview = try CatalogOverview(catalog)
            try session.emit(overview.json, as: overview.table)
            session.note(overview.summary)
            return
        }
        guard !SelectorResolver.isPlace(selector) else {
            throw ZooError(
                .usage, "'\(selector)' is a file; 'show' tells what the catalog knows of a model",
                hint: "look into the file with 'zoo inspect'")
        }
        let rows = try catalog.resolve(selector)
        guard rows.count == 1 else {
            throw ZooError(
                .usage, "'\(selector)' names \(rows.count) checkpoints; 'show' takes one",
                hint: "list them with 'zoo query', then show one by its id")
        }
        let card = try ModelCard(rows[0], catalog)
        try session.emit(card.json, as: card.table)
    }
}

/// Everything the catalog knows of a checkpoint and its model.
struct ModelCard {
    private let row: CheckpointRow
    private let model: ModelRow
    private let history: [ResultRow]
    private let checkpoints: [CheckpointRow]
    private let layout: Layout?
    private let metrics: [MetricRow]
    private let lineage: (parents: [LineageRow], children: [LineageRow])

    init(_ row: CheckpointRow, _ catalog: Catalog) throws {
        self.row = row
        model = try catalog.model(row.modelID)
        history = try catalog.history(of: row.modelID)
        checkpoints = try catalog.checkpoints(of: row.modelID)
        layout = try row.layoutID.map { try catalog.layout($0) }
        metrics = try catalog.metrics(of: row.id)
        lineage = try catalog.lineage(of: row.id)
    }

    private static func json(_ values: EpochValues) -> [(String, JSONValue)] {
        [
            ("train_loss", values.trainLoss), ("train_accuracy", values.trainAccuracy), ("val_loss", values.valLoss),
            ("val_accuracy", values.valAccuracy), ("test_loss", values.testLoss),
            ("test_accuracy", values.testAccuracy), ("wall_seconds", values.wallSeconds),
        ].flatMap { name, value -> [(String, JSONValue)] in
            guard let value else { return [] }
            guard value.isFinite else {
                return [(name, .null), ("\(name)_reason", .string(Quantity.significant(value, digits: 1)))]
            }
            return [(name, .double(value))]
        }
    }

    var json: JSONValue {
        [
            "checkpoint": .object(
                JSONObject(
                    [
                        ("id", .int(row.id)), ("epoch", row.epoch.map { .int(Int64($0)) } ?? .null),
                        ("source", .string(row.sourcePath)), ("member", .string(row.member)),
                        ("format", .string(row.format)), ("bytes", .int(Int64(row.byteCount))),
                        ("digest", row.digest.map(JSONValue.string) ?? .null),
                        ("health", row.health.map { .string($0.rawValue) } ?? .null),
                    ] + Self.json(row.results))),
            "model": [
                "id": .int(model.id), "name": .string(model.name), "zoo": .string(model.zoo.name),
                "path": .string(model.path), "architecture": model.architecture.map(JSONValue.string) ?? .null,
                "flags": .array(model.flags.names.map(JSONValue.string)),
                "parameters": model.parameterCount.map { .int(Int64($0)) } ?? .null,
                "config": .object(model.config), "bookkeeping": .object(model.bookkeeping),
            ],
            "history": .array(
                history.map { result in
                    .object(
                        JSONObject(
                            [("epoch", .int(Int64(result.epoch)))] + Self.json(result.values)
                                + result.extras.map { ($0.name, .double($0.value)) }))
                }),
            "checkpoints": .array(
                checkpoints.map { ["id": .int($0.id), "epoch": $0.epoch.map { .int(Int64($0)) } ?? .null] }),
            "tensors": .array(
                (layout?.entries ?? []).map { entry in
                    [
                        "name": .string(entry.info.name), "dtype": .string(entry.info.dtype.rawValue),
                        "shape": .array(entry.info.shape.dimensions.map { .int(Int64($0)) }),
                        "bytes": .int(Int64(entry.info.byteCount)),
                    ]
                }),
            "metrics": .array(
                metrics.map { metric in
                    [
                        "name": .string(metric.name), "value": .double(metric.value),
                        "error": metric.error.map(JSONValue.double) ?? .null,
                        "other": metric.other.map { .int($0) } ?? .null,
                    ]
                }),
            "lineage": .array(
                lineage.parents.map { parent in
                    [
                        "parent": .int(parent.parent), "role": .string(parent.role),
                        "coefficient": parent.coefficient.map(JSONValue.double) ?? .null,
                    ]
                }),
        ]
    }

    /// A page for people: facts, then settings, then the course of training, then tensors.
    var table: Table {
        var table = Table([.init("about"), .init("what"), .init("value")])
        func add(_ topic: String, _ name: String, _ value: String?) {
            if let value, !value.isEmpty { table.append([.text(topic), .text(name), .text(value)]) }
        }
        add("model", "name", model.name)
        add("model", "zoo", model.zoo.name)
        add("model", "architecture", model.architecture)
        add("model", "parameters", model.parameterCount.map { Quantity.count($0) })
        add("model", "flags", model.flags.names.joined(separator: ", "))
        add("checkpoint", "id", String(row.id))
        add("checkpoint", "epoch", row.epoch.map(String.init))
        add("checkpoint", "source", row.sourcePath)
        add("checkpoint", "member", row.member)
        add("checkpoint", "format", "\(row.format), \(Quantity.bytes(row.byteCount))")
        add("checkpoint", "digest", row.digest)
        add("checkpoint", "weights", row.health?.rawValue)
        for (key, value) in model.config { add("config", key, value.string ?? value.text()) }
        for result in Self.excerpt(history) {
            let values = Self.json(result.values).compactMap { name, value in
                value.double.map { "\(name) \(Self.rounded($0))" } ?? value.string.map { "\(name.dropLast(7)) \($0)" }
            }
            add("history", "epoch \(result.epoch)", values.joined(separator: "  "))
        }
        for entry in layout?.entries ?? [] {
            add("tensor", entry.info.name, "\(entry.info.dtype.rawValue) \(entry.info.shape)")
        }
        for metric in metrics { add("metric", metric.name, Self.rounded(metric.value)) }
        for parent in lineage.parents {
            add("made from", "\(parent.parent)", "\(parent.role) \(parent.coefficient.map(Self.rounded) ?? "")")
        }
        return table
    }

    /// First, last and evenly spread epochs, a dozen at most.
    private static func excerpt(_ history: [ResultRow]) -> [ResultRow] {
        guard history.count > 12 else { return history }
        return (0..<12).map { history[$0 * (history.count - 1) / 11] }
    }

    private static func rounded(_ value: Double) -> String {
        guard value.isFinite else { return "\(value)" }
        let scaled = (value * 1e4).rounded() / 1e4
        return value.magnitude >= 1e-3 || value == 0 ? "\(scaled)" : "\(value)"
    }
}

/// What a catalog holds.
struct CatalogOverview {
    private let path: String
    private let sources: [SourceRow]
    private let counts: CatalogCounts

    init(_ catalog: Catalog) throws {
        path = catalog.path
        sources = try catalog.sources()
        counts = try catalog.counts()
    }

    var json: JSONValue {
        [
            "catalog": .string(path), "models": .int(Int64(counts.models)),
            "checkpoints": .int(Int64(counts.checkpoints)), "layouts": .int(Int64(counts.layouts)),
            "metrics": .int(Int64(counts.metrics)),
            "sources": .array(
                sources.map { source in
                    [
                        "path": .string(source.record.path), "kind": .string(source.record.kind),
                        "state": .string(source.state.rawValue), "models": .int(Int64(source.modelCount)),
                        "checkpoints": .int(Int64(source.checkpointCount)), "skipped": .int(Int64(source.skippedCount)),
                    ]
                }),
        ]
    }

    var table: Table {
        var table = Table([
            .init("source", isPath: true), .init("kind"), .init("state"), .init("models", .integer, unit: .count),
            .init("checkpoints", .integer, unit: .count), .init("skipped", .integer, unit: .count),
        ])
        for source in sources {
            table.append([
                .text(source.record.path), .text(source.record.kind), .text(source.state.rawValue),
                .int(source.modelCount), .int(source.checkpointCount), .int(source.skippedCount),
            ])
        }
        return table
    }

    var summary: String {
        "\(path): \(Quantity.count(counts.models)) models, \(Quantity.count(counts.checkpoints)) checkpoints, "
            + "\(Quantity.count(counts.layouts)) layouts, \(Quantity.count(counts.metrics)) metrics"
    }
}
