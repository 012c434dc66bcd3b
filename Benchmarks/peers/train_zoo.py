"""Trains the same trials with zoo and with PyTorch: do both reach the same accuracy, and how long do they take?

    python Benchmarks/peers/train_zoo.py .build/release/zoo [--seeds 5] [--epochs N]

Same architecture, data, optimiser, schedule, initialisation (as distributions) and batch size; the random numbers
differ, so means over seeds are compared (Welch's t-test). Both run on one thread.
"""
import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time

import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import load_file

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))
sys.path.insert(0, os.path.join(ROOT, "Tests/ZooTrainTests/Fixtures"))
from make_training_oracles import CNN, ResNet  # noqa: E402

DATA = os.path.join(ROOT, "zoos/data/digits.safetensors")
CASES = {
    "cnn, adam": dict(
        epochs=25, batch=16, model=CNN,
        yaml="""architecture: {family: small-cnn, channels: [8, 6, 4], kernels: [5, 5, 2], padding: [2, 2, 0],
  pool: [true, false, false], hidden: 20, activation: tanh}
optimizer: {name: adam, lr: 0.001, weight_decay: 1.0e-4}
""",
        optimizer=lambda p, steps: (torch.optim.Adam(p, lr=1e-3, weight_decay=1e-4), None)),
    "resnet width 8, sgd one-cycle": dict(
        epochs=20, batch=32, model=lambda: ResNet(8),
        yaml="""architecture: {family: resnet, width: 8, blocks: [1, 1]}
optimizer: {name: sgd, lr: 0.05, momentum: 0.9, weight_decay: 5.0e-4}
schedule: one-cycle
""",
        optimizer=lambda p, steps: one_cycle(torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=5e-4), steps)),
}


def one_cycle(optimizer, steps):
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=steps)


def evaluate(model, x, y):
    with torch.no_grad():
        return (model.eval()(x).argmax(1) == y).float().mean().item()


def with_torch(case, seed, epochs, data):
    torch.manual_seed(seed)
    x, y = data["x_train"], data["y_train"]
    model, batch = case["model"](), case["batch"]
    steps = epochs * math.ceil(len(x) / batch)
    optimizer, schedule = case["optimizer"](model.parameters(), steps)
    for _ in range(epochs):
        model.train()
        order = torch.randperm(len(x))
        for places in order.split(batch):
            optimizer.zero_grad()
            F.cross_entropy(model(x[places]), y[places]).backward()
            optimizer.step()
            if schedule:
                schedule.step()
        accuracy = evaluate(model, data["x_test"], data["y_test"])
    return accuracy


def with_zoo(zoo, case, seeds, epochs, folder):
    manifest = os.path.join(folder, "peer.yaml")
    text = f"id: peer\ndata: {{path: {DATA}, test: test}}\nepochs: {epochs}\nbatch_size: {case['batch']}\nseeds: {seeds}\n"
    with open(manifest, "w") as file:
        file.write(text + case["yaml"])
    start = time.perf_counter()
    subprocess.run([zoo, "train", manifest, "--to", folder, "--jobs", "1", "--no-index", "--quiet"], check=True,
                   stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    found = []
    for trial in sorted(os.listdir(os.path.join(folder, "peer"))):
        with open(os.path.join(folder, "peer", trial, "result.json")) as file:
            found.append(json.loads(file.readlines()[-1])["test_acc"])
    return found, seconds


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("zoo")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = load_file(DATA)
    for name, case in CASES.items():
        epochs = options.epochs or case["epochs"]
        with tempfile.TemporaryDirectory() as folder:
            ours, our_seconds = with_zoo(os.path.realpath(options.zoo), case, options.seeds, epochs, folder)
        start = time.perf_counter()
        theirs = [with_torch(case, seed, epochs, data) for seed in range(options.seeds)]
        their_seconds = time.perf_counter() - start
        mean, other = statistics.mean(ours), statistics.mean(theirs)
        spread, other_spread = statistics.stdev(ours), statistics.stdev(theirs)
        error = math.sqrt((spread**2 + other_spread**2) / options.seeds)
        t = (mean - other) / error if error > 0 else 0.0
        try:
            from scipy.stats import ttest_ind
            p = f"p = {ttest_ind(ours, theirs, equal_var=False).pvalue:.2f}"
        except ImportError:
            p = "p needs scipy"
        print(f"{name}, {options.seeds} seeds, {epochs} epochs: test accuracy zoo {mean:.4f} ± {spread:.4f}, "
              f"torch {other:.4f} ± {other_spread:.4f}, t = {t:+.2f}, {p}; "
              f"zoo {our_seconds:.2f} s, torch {their_seconds:.2f} s, ratio {their_seconds / our_seconds:.1f}")


if __name__ == "__main__":
    main()
