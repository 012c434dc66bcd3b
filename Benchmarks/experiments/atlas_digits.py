"""Task addition, negation, few shots and adaptation on a small family grown with `zoo train` (aTLAS at small scale).

    python Benchmarks/experiments/atlas_digits.py .build/release/zoo [--seeds 5] [--setting primary|mild] [--work FOLDER]

Four tasks: 8x8 digits turned by 0, 90, 180 and 270 degrees, one head. The network is an MLP 64-256-256-256-10. Per seed:
a base is trained on a few images of every task, its head is frozen, each task is fine-tuned from it on its 1,000
training images, and `zoo compose` and `zoo task-vector` do the rest: coefficients are learned and chosen on the
validation images (297 a task), test images (500 a task) are looked at once per method. Prints means and standard
deviations over seeds, differences by seed, and whether the bounds of docs/task-vectors.md hold.
"""
import argparse
import glob
import json
import os
import statistics
import subprocess
import sys
import tempfile

import numpy as np
from safetensors.numpy import load_file, save_file

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))
TASKS = ["r0", "r90", "r180", "r270"]
SETTINGS = {
    "primary": dict(base_images=30, base_epochs=20, lr=2e-4, epochs=6, steps=600),
    "mild": dict(base_images=100, base_epochs=30, lr=3e-4, epochs=8, steps=300),
}


def make_data(path, images, seed):
    digits = load_file(os.path.join(ROOT, "zoos/data/digits.safetensors"))
    random = np.random.default_rng(seed)
    out, mixture = {}, []
    for turns, task in enumerate(TASKS):
        for split in ["train", "val", "test"]:
            x = np.rot90(digits[f"x_{split}"][:, 0], turns, axes=(1, 2)).reshape(-1, 64)
            out[f"{task}.x_{split}"] = np.ascontiguousarray(x)
            out[f"{task}.y_{split}"] = digits[f"y_{split}"]
        chosen = random.permutation(1000)[:images]
        mixture.append((out[f"{task}.x_train"][chosen], out[f"{task}.y_train"][chosen]))
    out["mix.x_train"] = np.concatenate([m[0] for m in mixture])
    out["mix.y_train"] = np.concatenate([m[1] for m in mixture])
    for task in TASKS:
        rest = [t for t in TASKS if t != task]
        for split in ["val", "test"]:
            out[f"not_{task}.x_{split}"] = np.concatenate([out[f"{t}.x_{split}"] for t in rest])
            out[f"not_{task}.y_{split}"] = np.concatenate([out[f"{t}.y_{split}"] for t in rest])
    save_file(out, path)


class Family:
    def __init__(self, zoo, folder, setting, seed):
        self.zoo, self.folder, self.setting, self.seed = zoo, folder, setting, seed
        self.data = f"{folder}/data.safetensors"
        make_data(self.data, setting["base_images"], seed)
        self.base = self.train("base", "mix.train", f"""
architecture: {{family: mlp, hidden: [256, 256, 256], activation: relu}}
init: kaiming_normal
optimizer: {{name: adam, lr: 1.0e-3}}
epochs: {setting['base_epochs']}
""")
        from safetensors import safe_open
        with safe_open(self.base, "np") as file:
            names = list(file.keys())
        # The head is the layer with ten outputs.
        self.head = next(n for n in names if n.endswith("weight") and load_file(self.base)[n].shape[0] == 10)[:-7]
        self.tasks = {t: self.train(t, f"{t}.train", f"""
base: {self.base}
architecture: {{family: mlp, hidden: [256, 256, 256], activation: relu}}
freeze: ["{self.head}.*"]
optimizer: {{name: adam, lr: {setting['lr']:.1e}}}
epochs: {setting['epochs']}
""") for t in TASKS}

    def run(self, *arguments):
        command = [self.zoo, *arguments, "--seed", str(self.seed), "--quiet", "--catalog", f"{self.folder}/none.sqlite"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)}\n{done.stderr}")
        return done.stdout

    def train(self, name, split, body):
        manifest = f"{self.folder}/{name}.yaml"
        with open(manifest, "w") as file:
            file.write(f"id: {name}\ndata: {{path: {self.data}, train: {split}}}\nbatch_size: 32\n"
                       f"seeds: [{self.seed}]\ncheckpoints: {{format: safetensors}}\n{body}")
        self.run("train", manifest, "--to", self.folder)
        return sorted(glob.glob(f"{self.folder}/{name}/*/checkpoint_*/model.safetensors"))[-1]

    def compose(self, tasks, *options):
        named = [f"{t}={self.tasks[t]}" for t in tasks]
        return json.loads(self.run("compose", self.base, *named, "--set", "activation=relu", "--json", *options))

    def accuracy(self, model, task, split="test"):
        rows = json.loads(self.run("eval", model, "--data", f"{self.data}:{task}.{split}", "--set", "activation=relu",
                                   "--json"))
        return rows[0]["accuracy"]


def method(report, name):
    return next(m for m in report["methods"] if m["method"].startswith(name))


def one_seed(family, steps, result):
    every = ["--steps", str(steps), "--evaluate-every", "20", "--rate", "1e-2", "--batch", "64"]
    data = f"{family.data}:{{task}}.val"
    full = family.compose(TASKS, "--data", data, "--baselines", "--coefficients", f"{family.folder}/c.json", *every)
    for name, key in [("pre-trained", "pre"), ("average", "average"), ("task arithmetic", "search"),
                      ("isotropic", "iso"), ("AdaMerging, task", "ada task"), ("AdaMerging, layer", "ada layer"),
                      ("linear probe", "probe"), ("full fine", "full ft on val"), ("aTLAS", "atlas"),
                      ("fine-tuned", "fine-tuned")]:
        result[key].append(100 * method(full, name)["mean_test"])
    result["alpha"].append(float(method(full, "task arithmetic")["detail"]))
    matrices = family.compose(TASKS, "--data", data, "--groups", "matrices", *every)
    result["matrices"].append(100 * method(matrices, "aTLAS")["mean_test"])
    named = [f"{t}={family.tasks[t]}" for t in TASKS]
    stats = json.loads(family.run("task-vector", "stats", family.base, *named, "--json"))
    result["norm"].append(statistics.mean(t["relative"] for t in stats["tasks"]))
    result["cosine"].append(stats["mean_absolute_cosine"])
    test = f"{family.data}:{{task}}.test"
    alpha = ["--scale", str(result["alpha"][-1])]
    for key, options in [("xi search", alpha), ("xi atlas", ["--coefficients", f"{family.folder}/c.json"])]:
        found = json.loads(family.run("task-vector", "disentangle", family.base, *named, "--data", test, "--set",
                                      "activation=relu", "--json", *options))
        result[key].append(100 * found["mean"])
    cross = [family.accuracy(family.tasks[a], b) for a in TASKS for b in TASKS if a != b]
    result["cross-task"].append(100 * statistics.mean(cross))

    targets, controls, bases, base_controls, searched = [], [], [], [], []
    for task in TASKS:
        run = family.compose([task], "--data", f"{family.data}:{task}.val", "--control",
                             f"{family.data}:not_{task}.val", "--rate", "1e-2", "--steps", "200",
                             "--evaluate-every", "5", "--baselines")
        pre, learned, search = (method(run, n)["test"] for n in ["pre-trained", "aTLAS", "search"])
        bases.append(pre[task]), targets.append(learned[task])
        base_controls.append(pre["control"]), controls.append(learned["control"])
        searched.append((search[task], search["control"]))
    result["negation base"].append(100 * statistics.mean(bases))
    result["negation target"].append(100 * statistics.mean(targets))
    result["negation control"].append(100 * statistics.mean(controls))
    result["negation ratio"].append(sum(controls) / sum(base_controls))
    result["negation search target"].append(100 * statistics.mean(s[0] for s in searched))
    result["negation search ratio"].append(sum(s[1] for s in searched) / sum(base_controls))

    # A turn that none of the vectors knows: gains are small here; atlas_tasks.py has tasks that share something.
    held = "r270"
    others = [t for t in TASKS if t != held]
    few = family.compose(others, "--data", f"{family.data}:{held}.train", "--validation", f"{family.data}:{held}.val",
                         "--shots", "1,2,4,8,16", "--repeats", "3")
    result["zero-shot"].append(100 * method(few, "zero-shot")["mean_test"])
    for row in few["methods"]:
        if row["method"].startswith("aTLAS"):
            result[f"{row['shots']} shots"].append(100 * row["mean_test"])
    for objective in ["entropy", "ufm"]:
        run = family.compose(others, "--data", f"{family.data}:{held}.test", "--objective", objective, "--rate", "1e-2")
        result[objective].append(100 * run["test"])


def say(name, values, digits=1):
    mean = statistics.mean(values)
    deviation = statistics.stdev(values) if len(values) > 1 else 0
    print(f"{name:24} {mean:7.{digits}f} ± {deviation:.{digits}f}   "
          + " ".join(f"{v:.{digits}f}" for v in values))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("zoo")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--setting", choices=SETTINGS, default="primary")
    parser.add_argument("--work", help="keep the families here")
    arguments = parser.parse_args()
    setting = SETTINGS[arguments.setting]
    from collections import defaultdict
    result = defaultdict(list)
    with tempfile.TemporaryDirectory() as temporary:
        for seed in range(arguments.seeds):
            folder = os.path.join(arguments.work or temporary, f"{arguments.setting}-{seed}")
            os.makedirs(folder, exist_ok=True)
            one_seed(Family(os.path.realpath(arguments.zoo), folder, setting, seed), setting["steps"], result)
            print(f"seed {seed} done", file=sys.stderr, flush=True)
    print(f"{arguments.setting}, {arguments.seeds} seeds, test accuracy in percent: mean ± sd, then by seed")
    for key, values in result.items():
        say(key, values, 3 if key in ("norm", "cosine", "alpha", "negation ratio", "negation search ratio") else 1)
    mean = {key: statistics.mean(values) for key, values in result.items()}
    for a, b in [("search", "pre"), ("atlas", "search"), ("atlas", "iso"), ("iso", "search"), ("entropy", "zero-shot"),
                 ("ufm", "zero-shot")]:
        say(f"{a} - {b}", [x - y for x, y in zip(result[a], result[b])])
    wins = sum(a > s for a, s in zip(result["atlas"], result["search"]))
    checks = [
        ("search >= pre + 3", mean["search"] >= mean["pre"] + 3),
        ("aTLAS >= search + 0.5", mean["atlas"] >= mean["search"] + 0.5),
        ("aTLAS >= isotropic + 0.3", mean["atlas"] >= mean["iso"] + 0.3),
        ("fine-tuned >= aTLAS + 5", mean["fine-tuned"] >= mean["atlas"] + 5),
        (f"aTLAS > search in 4 of 5 seeds ({wins} of {arguments.seeds})", wins >= 0.8 * arguments.seeds),
        ("matrices within 1 of aTLAS", abs(mean["matrices"] - mean["atlas"]) <= 1),
        ("negation lowers the target by 6", mean["negation base"] - mean["negation target"] >= 6),
        ("negation keeps 0.93 of the control", mean["negation ratio"] >= 0.93),
        ("16 shots above zero-shot", mean["16 shots"] > mean["zero-shot"]),
        ("16 shots above 1 shot", mean["16 shots"] > mean["1 shots"]),
    ] if arguments.setting == "primary" else [
        ("search >= pre + 1", mean["search"] >= mean["pre"] + 1),
        ("aTLAS >= search", mean["atlas"] >= mean["search"]),
    ]
    for text, holds in checks:
        print(f"{'holds' if holds else 'MISSED':6} {text}")
    sys.exit(0 if all(holds for _, holds in checks) else 1)


if __name__ == "__main__":
    main()
