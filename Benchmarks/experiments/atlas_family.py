"""All recipes of aTLAS on a family of twelve tasks that `zoo train` grows: four geometries times three tones.

    python Benchmarks/experiments/atlas_family.py .build/release/zoo [--seeds 0,1,2] [--network resnet|vit] [--parts ...]

Tasks: 8x8 digits as they are, turned by a quarter, mirrored, transposed (mirrored and turned), each plain, inverted and
faint with noise. A new task shares its geometry with two other tasks and its tone with three: vectors know something of
it, as those of the paper's 22 data sets do of each other. Per seed a base is trained on few images of every task, its
head is frozen, and every task is fine-tuned from it on 1,000 images. Then, with test images (500 a task) looked at once
per method:

- addition: all twelve vectors, learned and chosen on validation images;
- few shots and adaptation: one task per geometry in turn is new, the other eleven vectors are composed;
- negation: four tasks in turn are forgotten, control are all others; held against the one scale that has the same
  control accuracy on test data.

Prints means and standard deviations over seeds, and values by seed.
"""
import argparse
import glob
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
from safetensors.numpy import load_file, save_file

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))
GEOMETRIES = {
    "plain": lambda x: x, "turned": lambda x: np.rot90(x, 1, axes=(1, 2)), "mirrored": lambda x: x[:, :, ::-1],
    "transposed": lambda x: x.transpose(0, 2, 1),
}
TONES = ["", "-inverted", "-faint"]
TASKS = [g + t for g in GEOMETRIES for t in TONES]
NEW = ["plain-faint", "turned-inverted", "mirrored-inverted", "transposed-faint"]
NETWORKS = {
    "vit": dict(body="{family: vit, patch: 2, dim: 64, depth: 2, heads: 4, mlp_ratio: 2}\ninit: xavier_uniform",
                options=["--set", "heads=4"]),
    "resnet": dict(body="{family: resnet, width: 32, blocks: [1, 1]}", options=[]),
}


def make_data(path, images, seed):
    digits = load_file(os.path.join(ROOT, "zoos/data/digits.safetensors"))
    random = np.random.default_rng(seed)
    out, mixture = {}, []
    for geometry, move in GEOMETRIES.items():
        for tone in TONES:
            task = geometry + tone
            for split in ["train", "val", "test"]:
                x = np.ascontiguousarray(move(digits[f"x_{split}"][:, 0]))[:, None]
                if tone == "-inverted":
                    x = 1 - x
                if tone == "-faint":
                    x = 0.3 * x + 0.35 + 0.05 * random.standard_normal(x.shape)
                out[f"{task}.x_{split}"] = np.ascontiguousarray(x, dtype=np.float32)
                out[f"{task}.y_{split}"] = digits[f"y_{split}"]
            chosen = random.permutation(1000)[:images]
            mixture.append((out[f"{task}.x_train"][chosen], out[f"{task}.y_train"][chosen]))
    out["mix.x_train"] = np.concatenate([m[0] for m in mixture])
    out["mix.y_train"] = np.concatenate([m[1] for m in mixture])
    for task in NEW:
        for split in ["val", "test"]:
            rest = [t for t in TASKS if t != task]
            out[f"not_{task}.x_{split}"] = np.concatenate([out[f"{t}.x_{split}"] for t in rest])
            out[f"not_{task}.y_{split}"] = np.concatenate([out[f"{t}.y_{split}"] for t in rest])
    save_file(out, path)


class Family:
    def __init__(self, zoo, folder, seed, a):
        self.zoo, self.folder, self.seed, self.a = zoo, folder, seed, a
        self.network = NETWORKS[a.network]
        self.data = f"{folder}/data.safetensors"
        if not os.path.exists(self.data):
            make_data(self.data, a.base_images, seed)
        self.base = self.train("base", "mix.train",
                               f"optimizer: {{name: adam, lr: {a.base_rate:.1e}}}\nepochs: {a.base_epochs}\n"
                               f"label_smoothing: {a.smoothing}\naugment: {{noise: {a.noise}}}\n")
        state = load_file(self.base)
        # The head is the layer with ten outputs.
        self.head = next(n for n, v in state.items() if n.endswith("weight") and v.shape[0] == 10)[:-7]
        self.parameters = sum(v.size for v in state.values())
        self.tasks = {t: self.train(t, f"{t}.train", f"base: {self.base}\nfreeze: [\"{self.head}.*\"]\noptimizer: "
                                    f"{{name: adam, lr: {a.rate:.1e}}}\nepochs: {a.epochs}\n") for t in TASKS}

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
                       f"architecture: {self.network['body']}\nseeds: [{self.seed}]\n"
                       f"checkpoints: {{format: safetensors}}\n{body}")
        self.run("train", manifest, "--to", self.folder)
        return sorted(glob.glob(f"{self.folder}/{name}/*/checkpoint_*/model.safetensors"))[-1]

    def compose(self, tasks, *options):
        named = [f"{t}={self.tasks[t]}" for t in tasks]
        return json.loads(self.run("compose", self.base, *named, "--json", *self.network["options"], *options))

    def accuracy(self, model, task):
        rows = json.loads(self.run("eval", model, "--data", f"{self.data}:{task}.test", "--json",
                                   *self.network["options"]))
        return 100 * rows[0]["accuracy"]


def method(report, name):
    return next(m for m in report["methods"] if m["method"].startswith(name))


def percent(report, name):
    return 100 * method(report, name)["mean_test"]


def addition(f, add):
    full = f.compose(TASKS, "--data", f"{f.data}:{{task}}.val", "--baselines", "--rate", "1e-2", "--steps", "200",
                     "--evaluate-every", "20", *f.a.compose.split())
    for row in full["methods"]:
        add(f"addition: {row['method']}", 100 * row["mean_test"])
    add("addition: chosen scale", float(method(full, "task arithmetic")["detail"]))


def few_shots(f, add):
    shots = [1, 2, 4, 8, 16]
    found = {}
    for task in NEW:
        others = [t for t in TASKS if t != task]
        run = f.compose(others, "--data", f"{f.data}:{task}.train", "--validation", f"{f.data}:{task}.val", "--shots",
                        ",".join(map(str, shots)), *f.a.few.split(), *f.a.compose.split())
        for row in run["methods"]:
            key = row["method"] + (f", {row['shots']} shots" if row["shots"] else "")
            found.setdefault(key, []).append(100 * row["mean_test"])
    for key, values in found.items():
        add(f"few: {key}", statistics.mean(values))


def adaptation(f, add):
    found = {}
    for task in NEW:
        others = [t for t in TASKS if t != task]
        for objective in ["entropy", "ufm"]:
            options = f.a.ufm.split() if objective == "ufm" else f.a.entropy.split()
            # Adapted to the task's training images, whose labels nobody looks at; scored on its test images.
            run = f.compose(others, "--data", f"{f.data}:{task}.train", "--objective", objective, "--test",
                            f"{f.data}:{task}.test", *options, *f.a.compose.split())
            found.setdefault("zero-shot", []).append(percent(run, "zero-shot"))
            found.setdefault(objective, []).append(percent(run, "aTLAS"))
        print(f"    {task}: " + ", ".join(f"{k} {v[-1]:.1f}" for k, v in found.items()), flush=True)
    for key, values in found.items():
        add(f"adaptation: {key}", statistics.mean(values))


def scale_curve(f, task):
    """(control, target) accuracy on test data of scales 0.02 apart: known only to whoever looks at test data.

    Statistics of batch norm are the base's, as in what it is held against.
    """
    base, tuned = load_file(f.base), load_file(f.tasks[task])
    for name in tuned:
        if "running" in name or name.endswith("num_batches_tracked"):
            tuned[name] = base[name]
    moved = f"{f.folder}/moved.safetensors"
    save_file(tuned, moved)
    curve = json.loads(f.run(
        "task-vector", "search", f.base, f"{task}={moved}", "--data", f"{f.data}:{task}.test", "--control",
        f"{f.data}:not_{task}.test", "--test", "none", "--grid", ",".join(f"{0.02 * k:.2f}" for k in range(61)), "--json",
        *f.network["options"]))["scores"]
    return [(100 * c["accuracy"]["control"], 100 * c["accuracy"][task]) for c in curve]


def one_scale(points, control):
    """Target accuracy that one scale has where its control accuracy is `control`, linear between two scales."""
    # The last crossing: the furthest scale that still has this control.
    for (c0, t0), (c1, t1) in reversed(list(zip(points, points[1:]))):
        if c1 <= control <= c0:
            return t0 + (t1 - t0) * ((c0 - control) / (c0 - c1) if c0 > c1 else 0)
    return points[-1][1] if control < points[-1][0] else points[0][1]


def negation(f, add):
    found = {}
    for task in NEW:
        curve = scale_curve(f, task)
        data = ["--data", f"{f.data}:{task}.val", "--control", f"{f.data}:not_{task}.val"]
        # One scale, the losses as published, the control loss weighted, and that with tensors in parts.
        for name, options in [("", f.a.published + " --baselines"), (", weighted", f.a.negate),
                              (f", weighted, x{f.a.parts_of}", f"{f.a.negate} --partitions {f.a.parts_of}")]:
            run = f.compose([task], *data, *options.split(), *f.a.compose.split())
            for row in ["aTLAS"] if name else ["pre-trained", "search", "aTLAS"]:
                test = method(run, row)["test"]
                found.setdefault(f"{row}{name}, target", []).append(100 * test[task])
                found.setdefault(f"{row}{name}, control", []).append(100 * test["control"])
            found.setdefault(f"  one scale there{name}", []).append(one_scale(curve, 100 * test["control"]))
    for key, values in found.items():
        add(f"negation: {key}", statistics.mean(values))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("zoo")
    parser.add_argument("--seeds", default="0,1,2", help="seeds, separated by commas")
    parser.add_argument("--network", choices=NETWORKS, default="resnet")
    parser.add_argument("--parts", default="addition,few,adaptation,negation")
    parser.add_argument("--work", help="keep what is grown here")
    parser.add_argument("--base-images", type=int, default=60)
    parser.add_argument("--base-epochs", type=int, default=20)
    parser.add_argument("--base-rate", type=float, default=1e-3)
    parser.add_argument("--smoothing", type=float, default=0.1, help="of the base's labels: it must know its doubts")
    parser.add_argument("--noise", type=float, default=0.1, help="on the base's images, drawn anew each epoch")
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--few", default="--rate 1e-2")
    parser.add_argument("--ufm", default="--rate 3e-3 --epochs 8 --strong noise=0.1 --ufm-exponent 0.5")
    parser.add_argument("--entropy", default="--rate 1e-3 --epochs 8")
    parser.add_argument("--published", default="--rate 3e-3 --steps 400 --evaluate-every 4", help="negation, weight 1")
    parser.add_argument("--negate", default="--rate 3e-3 --steps 1200 --evaluate-every 4 --control-weight 3")
    parser.add_argument("--parts-of", type=int, default=16, help="a tensor, in negation's last row")
    parser.add_argument("--compose", default="--statistics base", help="more options for every composition")
    a = parser.parse_args()
    parts = {"addition": addition, "few": few_shots, "adaptation": adaptation, "negation": negation}
    results, began = {}, time.time()
    for seed in map(int, a.seeds.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            if a.work:
                folder = os.path.realpath(f"{a.work}/{a.network}-{seed}")
                os.makedirs(folder, exist_ok=True)
            family = Family(os.path.realpath(a.zoo), folder, seed, a)
            tuned = statistics.mean(family.accuracy(family.tasks[t], t) for t in NEW)
            base = statistics.mean(family.accuracy(family.base, t) for t in NEW)
            print(f"seed {seed}: {family.parameters:,} parameters, base {base:.1f}, fine-tuned {tuned:.1f}, "
                  f"{time.time() - began:.0f} s", flush=True)
            for part in a.parts.split(","):
                if part:
                    parts[part](family, lambda key, value: results.setdefault(key, []).append(value))
                    print(f"  {part}, {time.time() - began:.0f} s", flush=True)
        show(results)


def show(results):
    for key, values in results.items():
        spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
        print(f"{key:44} {statistics.mean(values):6.1f}{spread:8}   " + " ".join(f"{v:.1f}" for v in values))


if __name__ == "__main__":
    main()
