/// The type of a value in the query language.
public enum ColumnType: String, Sendable {
    /// A number.
    case number
    /// A text.
    case text
    /// True or false.
    case truth
    /// Numbers and texts mixed: a configuration value.
    case any
}

/// A built-in name of the query language and the SQL behind it.
struct QueryColumn {
    var sql: SQLText
    var type: ColumnType
    /// SQL that is 1 where the value is NaN; nil where it cannot be.
    var isNaN: SQLText?
    /// The range over a model's checkpoints that bounds it.
    var zone: ZonedColumn?

    init(_ sql: String, _ tables: Set<QueryTable>, _ type: ColumnType, isNaN: SQLText? = nil, zone: ZonedColumn? = nil)
    {
        self.sql = SQLText(sql, tables: tables)
        self.type = type
        self.isNaN = isNaN
        self.zone = zone
    }

    /// The built-in names of a kind of row.
    static func all(of rows: Query.Rows) -> [String: QueryColumn] {
        switch rows {
        case .models: models
        case .checkpoints: checkpoints
        case .metrics: metrics
        }
    }

    private static func renamed(_ columns: [String: QueryColumn]) -> [String: QueryColumn] {
        var columns = columns
        let aliases = [
            ("train_acc", "train_accuracy"), ("val_acc", "val_accuracy"), ("test_acc", "test_accuracy"),
            ("byte_count", "bytes"), ("parameter_count", "parameters"), ("checkpoint", "id"), ("name", "model"),
        ]
        for (alias, name) in aliases where columns[alias] == nil { columns[alias] = columns[name] }
        return columns
    }

    /// Columns that depend on the model alone.
    private static let common: [String: QueryColumn] = {
        var columns: [String: QueryColumn] = [
            "model": QueryColumn("m.name", [.model], .text),
            "model_id": QueryColumn("s.model_id", [.summary], .number),
            "model_path": QueryColumn("m.path", [.model], .text),
            "architecture": QueryColumn("m.architecture", [.model], .text),
            "zoo": QueryColumn("z.name", [.model, .zoo], .text),
            "dataset": QueryColumn("z.dataset", [.model, .zoo], .text),
            "licence": QueryColumn("z.licence", [.model, .zoo], .text),
            "source": QueryColumn("o.path", [.model, .source], .text),
            "checkpoints": QueryColumn("s.checkpoint_count", [.summary], .number),
            "results": QueryColumn("s.result_count", [.summary], .number),
            "first_epoch": QueryColumn("s.first_epoch", [.summary], .number),
            "last_epoch": QueryColumn("s.last_epoch", [.summary], .number),
            "best_epoch": QueryColumn("s.best_epoch", [.summary], .number),
            "best_test_accuracy": QueryColumn("s.max_test_accuracy", [.summary], .number),
            "best_val_accuracy": QueryColumn("s.max_val_accuracy", [.summary], .number),
            "best_test_loss": QueryColumn("s.min_test_loss", [.summary], .number),
            "best_val_loss": QueryColumn("s.min_val_loss", [.summary], .number),
        ]
        for flag in ModelFlags.columns { columns[flag] = QueryColumn("m.\(flag)", [.model], .truth) }
        return columns
    }()

    /// The numbers of an epoch in a table with a mask, and the gap between train and test accuracy.
    private static func results(_ table: QueryTable, zoned: Bool) -> [String: QueryColumn] {
        let alias = table.rawValue
        var columns: [String: QueryColumn] = [:]
        // The first half is what the index of rows with NaN asks for.
        func mask(_ bits: Int) -> SQLText {
            SQLText("\(alias).nan_mask <> 0 AND (\(alias).nan_mask & \(bits)) <> 0", tables: [table])
        }
        for (position, name) in EpochValues.columns.enumerated() {
            columns[name] = QueryColumn(
                "\(alias).\(name)", [table], .number, isNaN: mask(1 << position),
                zone: zoned ? ZonedColumn(rawValue: name) : nil)
        }
        columns["ggap"] = QueryColumn(
            "(\(alias).train_accuracy - \(alias).test_accuracy)", [table], .number, isNaN: mask(0b100010),
            zone: zoned ? .ggap : nil)
        return columns
    }

    private static let models: [String: QueryColumn] = renamed(
        common.merging(results(.summary, zoned: false)) { $1 }.merging([
            "id": QueryColumn("s.model_id", [.summary], .number),
            "path": QueryColumn("m.path", [.model], .text),
            "epoch": QueryColumn("s.last_result_epoch", [.summary], .number),
            "layout": QueryColumn("s.layout_id", [.summary], .number),
            "parameters": QueryColumn("s.parameter_count", [.summary], .number),
        ]) { $1 })

    private static let checkpoints: [String: QueryColumn] = renamed(
        common.merging(results(.checkpoint, zoned: true)) { $1 }.merging([
            "id": QueryColumn("c.id", [.checkpoint], .number),
            "model_id": QueryColumn("c.model_id", [.checkpoint], .number),
            "epoch": QueryColumn("c.epoch", [.checkpoint], .number, zone: .epoch),
            "path": QueryColumn(
                "(CASE WHEN m.path = '' THEN c.path ELSE m.path || '/' || c.path END)", [.checkpoint, .model], .text),
            "format": QueryColumn("c.format", [.checkpoint], .text),
            "health": QueryColumn("c.health", [.checkpoint], .text),
            "layout": QueryColumn("c.layout_id", [.checkpoint], .number),
            "structure": QueryColumn("l.structure", [.checkpoint, .layout], .text),
            "parameters": QueryColumn("l.parameter_count", [.checkpoint, .layout], .number),
            "tensors": QueryColumn("l.tensor_count", [.checkpoint, .layout], .number),
            "bytes": QueryColumn("c.byte_count", [.checkpoint], .number),
            "stored_bytes": QueryColumn("c.stored_bytes", [.checkpoint], .number),
            "offset": QueryColumn("c.offset", [.checkpoint], .number),
            "encoding": QueryColumn("c.encoding", [.checkpoint], .text),
            "digest": QueryColumn("c.digest", [.checkpoint], .text),
            "is_last": QueryColumn("c.is_last", [.checkpoint], .truth),
            "is_best": QueryColumn("c.is_best", [.checkpoint], .truth),
            "@last": QueryColumn("c.is_last", [.checkpoint], .truth),
            "@best": QueryColumn("c.is_best", [.checkpoint], .truth),
        ]) { $1 })

    private static let metrics: [String: QueryColumn] = checkpoints.merging([
        "id": QueryColumn("x.id", [.metric], .number),
        "checkpoint": QueryColumn("c.id", [.checkpoint], .number),
        "metric": QueryColumn("n.name", [.metricName], .text),
        "value": QueryColumn(
            "x.value", [.metric], .number, isNaN: SQLText("x.value IS NULL", tables: [.metric])),
        "error": QueryColumn("x.error", [.metric], .number),
        "other": QueryColumn("x.other_id", [.metric], .number),
        "run": QueryColumn("x.run_id", [.metric], .number),
    ]) { $1 }
}
