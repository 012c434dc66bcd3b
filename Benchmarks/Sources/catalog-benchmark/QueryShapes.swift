import ZooCatalog

/// One query of the latency table.
struct QueryShape {
    var name: String
    var query: Query
    /// Groups have a limit of their own: a second.
    var isGrouped: Bool { !query.groupBy.isEmpty }
}

/// The mix: what one asks of a zoo, from one configuration to everything, sorted by what one wants to see.
let queryShapes: [QueryShape] = {
    func top(_ name: String, _ condition: String?, _ sort: String...) -> QueryShape {
        QueryShape(name: name, query: Query(where: condition, sort: sort, limit: 20))
    }
    func group(_ name: String, _ condition: String?, by: [String], _ columns: [String]) -> QueryShape {
        QueryShape(name: name, query: Query(where: condition, columns: columns, groupBy: by))
    }
    return [
        top("best of all", nil, "test_accuracy desc"),
        top("worst of all", nil, "test_accuracy"),
        top("two config keys", "lr < 0.01 and width = 32", "test_accuracy desc"),
        top("one seed of a thousand", "seed = 77", "test_accuracy desc"),
        top("bad models, best first", "lr = 1.0", "test_accuracy desc"),
        top("wide config, lowest loss", "lr > 1e-5", "test_loss"),
        top("an early epoch", "epoch = 3 and lr < 0.01", "test_accuracy desc"),
        top("a late epoch", "epoch = 50 and nlin = 'relu'", "test_accuracy desc"),
        top("late epochs", "epoch >= 40 and width in (2, 4)", "train_accuracy desc"),
        top("last epoch, by loss", "epoch = last and not diverged", "test_loss"),
        top("best epoch of a zoo", "@best and zoo = 'zoo-3'", "val_accuracy desc"),
        top("part of a name", "model ~ 'seed=77_' and epoch = last", "test_accuracy desc"),
        top("pattern of a name", "model like '%relu%lr=0.01%'", "test_accuracy"),
        top("accuracy band", "test_accuracy between 0.5 and 0.6", "test_accuracy"),
        top("architecture and key", "architecture = 'resnet18' and optimizer = 'adam'", "val_loss"),
        top("generalisation gap", "epoch = last", "train_accuracy - test_accuracy desc"),
        top("gap above, any epoch", "train_accuracy - test_accuracy > 0.03 and lr = 0.001", "test_accuracy desc"),
        top("metric filter", "hessian_trace < 20", "test_accuracy desc"),
        top("by metric", "width = 16", "hessian_trace desc"),
        top("by config key", "epoch = last", "lr desc", "test_accuracy desc"),
        top("NaN rows", "test_loss is nan and lr = 1", "epoch"),
        top("either or", "(lr = 0.1 or width = 64) and epoch = last", "test_accuracy desc"),
        top("longest training", "nlin != 'tanh'", "wall_seconds desc"),
        QueryShape(
            name: "models by last accuracy",
            query: Query(from: .models, where: "lr < 0.01 and nlin = 'gelu'", sort: ["test_accuracy desc"], limit: 20)),
        QueryShape(
            name: "models by parameters",
            query: Query(from: .models, where: "best_test_accuracy > 0.9", sort: ["parameters", "id"], limit: 20)),
        QueryShape(
            name: "metric rows",
            query: Query(from: .metrics, where: "metric = 'hessian_top' and value > 50", sort: ["-value"], limit: 20)),
        group("count by zoo", nil, by: ["zoo"], ["zoo", "count"]),
        group("mean by rate", nil, by: ["lr"], ["lr", "count", "mean(test_accuracy)", "max(test_accuracy)"]),
        group("count by epoch", nil, by: ["epoch"], ["epoch", "count", "mean(test_accuracy)"]),
        group(
            "last accuracy by two keys", "epoch = last", by: ["width", "nlin"],
            ["width", "nlin", "count", "mean(test_accuracy)"]),
        group("good ones by architecture", "test_accuracy > 0.8", by: ["architecture"], ["architecture", "count"]),
    ]
}()
