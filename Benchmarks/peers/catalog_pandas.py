"""Asks pandas what catalog-benchmark asks the catalog: the same table, wide, in memory. Prints {query: milliseconds}."""
import json
import sqlite3
import sys
import time

import pandas as pd

database = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
checkpoints = pd.read_sql(
    """SELECT c.id, c.model_id, c.epoch, c.train_loss, c.train_accuracy, c.val_loss, c.val_accuracy, c.test_loss,
        c.test_accuracy, c.wall_seconds, c.nan_mask, c.is_last, c.is_best FROM checkpoint c""", database)
models = pd.read_sql(
    """SELECT m.id AS model_id, m.name AS model, z.name AS zoo, m.architecture, m.diverged, s.max_test_accuracy,
        s.test_accuracy AS last_accuracy, s.parameter_count FROM model m JOIN zoo z ON z.id = m.zoo_id
        JOIN model_summary s ON s.model_id = m.id""", database).set_index("model_id")
for key in ["lr", "width", "nlin", "seed", "optimizer"]:
    values = pd.read_sql(
        "SELECT v.model_id, v.value FROM config_value v JOIN config_key k ON k.id = v.key_id WHERE k.bare = ?",
        database, params=[key])
    models[key] = values.set_index("model_id").value
metrics = pd.read_sql(
    """SELECT n.name AS metric, x.value, x.checkpoint_id FROM metric x JOIN metric_name n ON n.id = x.name_id""",
    database)
trace = metrics[metrics.metric == "hessian_trace"].set_index("checkpoint_id").value
c = checkpoints.join(models.drop(columns=["last_accuracy", "max_test_accuracy"]), on="model_id")
for column in ["model", "zoo", "architecture", "nlin", "optimizer"]:
    c[column] = c[column].astype("category")
c["hessian_trace"] = trace.reindex(c.id).to_numpy()
m = models
up, down = True, False


def first(rows, keys, ascending):
    if len(keys) == 1:
        return rows.nsmallest(20, keys[0]) if ascending[0] else rows.nlargest(20, keys[0])
    return rows.sort_values(keys, ascending=ascending).head(20)


def named(part):
    """Rows of models whose name matches: the test runs once a model, as a pandas user with two tables would do."""
    return c.model_id.isin(m.index[part])


questions = {
    "best of all": lambda: first(c, ["test_accuracy"], [down]),
    "worst of all": lambda: first(c, ["test_accuracy"], [up]),
    "two config keys": lambda: first(c[(c.lr < 0.01) & (c.width == 32)], ["test_accuracy"], [down]),
    "one seed of a thousand": lambda: first(c[c.seed == 77], ["test_accuracy"], [down]),
    "bad models, best first": lambda: first(c[c.lr == 1.0], ["test_accuracy"], [down]),
    "wide config, lowest loss": lambda: first(c[c.lr > 1e-5], ["test_loss"], [up]),
    "an early epoch": lambda: first(c[(c.epoch == 3) & (c.lr < 0.01)], ["test_accuracy"], [down]),
    "a late epoch": lambda: first(c[(c.epoch == 50) & (c.nlin == "relu")], ["test_accuracy"], [down]),
    "late epochs": lambda: first(c[(c.epoch >= 40) & c.width.isin([2, 4])], ["train_accuracy"], [down]),
    "last epoch, by loss": lambda: first(c[(c.is_last == 1) & (c.diverged == 0)], ["test_loss"], [up]),
    "best epoch of a zoo": lambda: first(c[(c.is_best == 1) & (c.zoo == "zoo-3")], ["val_accuracy"], [down]),
    "part of a name": lambda: first(
        c[named(m.model.str.contains("seed=77_", regex=False)) & (c.is_last == 1)], ["test_accuracy"], [down]),
    "pattern of a name": lambda: first(
        c[named(m.model.str.contains("relu.*lr=0.01"))], ["test_accuracy"], [up]),
    "accuracy band": lambda: first(c[c.test_accuracy.between(0.5, 0.6)], ["test_accuracy"], [up]),
    "architecture and key": lambda: first(
        c[(c.architecture == "resnet18") & (c.optimizer == "adam")], ["val_loss"], [up]),
    "generalisation gap": lambda: first(
        c[c.is_last == 1].assign(gap=lambda r: r.train_accuracy - r.test_accuracy), ["gap"], [down]),
    "gap above, any epoch": lambda: first(
        c[(c.train_accuracy - c.test_accuracy > 0.03) & (c.lr == 0.001)], ["test_accuracy"], [down]),
    "metric filter": lambda: first(c[c.hessian_trace < 20], ["test_accuracy"], [down]),
    "by metric": lambda: first(c[c.width == 16], ["hessian_trace"], [down]),
    "by config key": lambda: first(c[c.is_last == 1], ["lr", "test_accuracy"], [down, down]),
    "NaN rows": lambda: first(c[(c.nan_mask & 16 != 0) & (c.lr == 1)], ["epoch"], [up]),
    "either or": lambda: first(c[((c.lr == 0.1) | (c.width == 64)) & (c.is_last == 1)], ["test_accuracy"], [down]),
    "longest training": lambda: first(c[c.nlin != "tanh"], ["wall_seconds"], [down]),
    "models by last accuracy": lambda: first(m[(m.lr < 0.01) & (m.nlin == "gelu")], ["last_accuracy"], [down]),
    "models by parameters": lambda: first(m[m.max_test_accuracy > 0.9], ["parameter_count"], [up]),
    "metric rows": lambda: first(
        metrics[(metrics.metric == "hessian_top") & (metrics.value > 50)], ["value"], [down]),
    "count by zoo": lambda: c.groupby("zoo", observed=True).size(),
    "mean by rate": lambda: c.groupby("lr").test_accuracy.agg(["count", "mean", "max"]),
    "count by epoch": lambda: c.groupby("epoch").test_accuracy.agg(["count", "mean"]),
    "last accuracy by two keys": lambda: c[c.is_last == 1].groupby(["width", "nlin"], observed=True).test_accuracy.agg(
        ["count", "mean"]),
    "good ones by architecture": lambda: c[c.test_accuracy > 0.8].groupby("architecture", observed=True).size(),
}

times = {}
for name, question in questions.items():
    samples = []
    for _ in range(5):
        start = time.perf_counter()
        question()
        samples.append((time.perf_counter() - start) * 1000)
    times[name] = sorted(samples)[2]
print(json.dumps(times))
