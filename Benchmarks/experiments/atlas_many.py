"""Few shots from 37 task vectors of a network of 2.2 million parameters: memory and accuracy by what is held.

    python Benchmarks/experiments/atlas_many.py .build/release/zoo [--seed 0] [--work FOLDER]

Eleven of the twelve tasks of `atlas_family.py`, each fine-tuned three times in another order of its samples, and four of
them once more: 37 vectors of one base (MLP 64-1024-1024-1024-10 under a frozen head). The twelfth task is new and has no
vector of its own: sixteen samples of each class teach 37 x 8 coefficients, or those of the vectors that a budget
leaves. Every run is a process of its own; its peak of resident memory is what the tool reports of itself.
"""
import argparse
import glob
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
from safetensors.numpy import load_file, save_file

from atlas_family import TASKS, make_data

NEW = "turned-inverted"

ARCHITECTURE = "{family: mlp, hidden: [1024, 1024, 1024], activation: relu}"


def run(zoo, *arguments):
    done = subprocess.run([zoo, *arguments, "--quiet", "--catalog", "none.sqlite"], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(arguments)}\n{done.stderr}")
    return done.stdout


def train(zoo, name, split, body, seeds):
    with open(f"{name}.yaml", "w") as file:
        file.write(f"id: {name}\ndata: {{path: data.safetensors, train: {split}}}\nbatch_size: 32\n"
                   f"architecture: {ARCHITECTURE}\nseeds: {seeds}\ncheckpoints: {{format: safetensors}}\n{body}")
    run(zoo, "train", f"{name}.yaml", "--to", ".")
    folders = sorted(glob.glob(f"{name}/*/"))
    return [sorted(glob.glob(f"{folder}checkpoint_*/model.safetensors"))[-1] for folder in folders]


def make(zoo, seed):
    """Base and 37 fine-tuned networks in the working folder."""
    make_data("data.safetensors", 60, seed)
    data = load_file("data.safetensors")
    flat = {k: v.reshape(len(v), 64) if ".x_" in k else v for k, v in data.items()}
    save_file(flat, "data.safetensors")
    base = train(zoo, "base", "mix.train", "optimizer: {name: adam, lr: 1.0e-3}\nepochs: 10\nlabel_smoothing: 0.1\n",
                 [seed])[0]
    state = load_file(base)
    head = next(n for n, v in state.items() if n.endswith("weight") and v.shape[0] == 10)[:-7]
    body = (f"base: {base}\nfreeze: [\"{head}.*\"]\noptimizer: {{name: adam, lr: 2.0e-4}}\nepochs: 1\n")
    vectors = []
    for place, task in enumerate(t for t in TASKS if t != NEW):
        found = train(zoo, task, f"{task}.train", body, list(range(4 if place < 4 else 3)))
        vectors += [f"{task}_{seed}={path}" for seed, path in enumerate(found)]
    return base, vectors, sum(v.size for v in state.values())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("zoo")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", help="keep what is grown here")
    a = parser.parse_args()
    zoo = os.path.realpath(a.zoo)
    with tempfile.TemporaryDirectory() as folder:
        folder = os.path.realpath(a.work) if a.work else folder
        os.makedirs(folder, exist_ok=True)
        os.chdir(folder)
        if not os.path.exists("made.json"):
            with open("made.json.part", "w") as file:
                json.dump(make(zoo, a.seed), file)
            os.rename("made.json.part", "made.json")
        with open("made.json") as file:
            base, vectors, parameters = json.load(file)
        print(f"{len(vectors)} vectors of {parameters:,} parameters", flush=True)
        print("| held | vectors, MB | peak, MB | seconds | validation | test |\n| --- | --- | --- | --- | --- | --- |")
        budgets = [("all 37", [])] + [
            (f"{b}, {s}", ["--budget", str(b), "--select", s])
            for b in [4, 1] for s in ["gradient-blockwise", "gradient-whole", "random"]]
        seen = {}
        for name, options in budgets:
            for memory in [[], ["--low-memory"]]:
                if memory and "whole" in name or memory and "random" in name:
                    continue
                found = json.loads(run(
                    zoo, "compose", base, *vectors, "--data", f"data.safetensors:{NEW}.train", "--validation",
                    f"data.safetensors:{NEW}.val", "--shots", "16", "--rate", "1e-2", "--set", "activation=relu", "--seed",
                    str(a.seed), "--json", *options, *memory))
                last = found["methods"][-1]
                if not memory and not options:
                    print(f"| zero-shot | | | | | {100 * found['methods'][0]['mean_test']:.1f} |")
                held = found["memory"]["vectors_held"]
                label = name + (", low memory" if memory else "")
                print(f"| {label} | {held / 1e6:.1f} | {found['peak_bytes'] / 1e6:.0f} | {found['seconds']:.1f} | "
                      f"{100 * last['mean_validation']:.1f} | {100 * last['mean_test']:.1f} |", flush=True)
                # What is held changes nothing of the result.
                if seen.setdefault(name, found["coefficients"]) != found["coefficients"]:
                    sys.exit(f"{name}: --low-memory gives other coefficients")


if __name__ == "__main__":
    main()
