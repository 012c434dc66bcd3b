"""Evaluates every checkpoint of zoos/digits-cnn.zip on the test split with PyTorch, one model after the other and all
of an activation at once (torch.func.vmap), and with `zoo eval` in the same run, taking turns; prints the medians, the
ratios, and the largest differences of loss and accuracy.

    python Benchmarks/peers/eval_zoo.py [ZOO]

The peer's time has two parts, stated apart: reading the weights (zipfile, torch.load) and the forward passes alone.
`zoo eval` is timed as a whole process, from start to printed table, on a catalog that `zoo index` made before.
"""
import io
import json
import subprocess
import sys
import tempfile
import time
import zipfile

import torch
from safetensors.torch import load_file

ZOO = sys.argv[1] if len(sys.argv) > 1 else ".build/release/zoo"
ARCHIVE = "zoos/digits-cnn.zip"
DATA = "zoos/data/digits.safetensors"
REPEATS = 7
ACTIVATIONS = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU, "gelu": torch.nn.GELU, "silu": torch.nn.SiLU}


class SmallCNN(torch.nn.Module):
    def __init__(self, activation):
        super().__init__()
        act = ACTIVATIONS[activation]
        self.module_list = torch.nn.ModuleList([
            torch.nn.Conv2d(1, 8, 5, padding=2), torch.nn.MaxPool2d(2), act(),
            torch.nn.Conv2d(8, 6, 5, padding=2), torch.nn.Identity(), act(),
            torch.nn.Conv2d(6, 4, 2), act(), torch.nn.Flatten(),
            torch.nn.Linear(36, 20), act(), torch.nn.Linear(20, 10)])

    def forward(self, x):
        for layer in self.module_list:
            x = layer(x)
        return x


def load():
    """(name, activation, state dict) of every checkpoint."""
    models = []
    with zipfile.ZipFile(ARCHIVE) as archive:
        configs = {name.rsplit("/", 1)[0]: json.loads(archive.read(name))
                   for name in archive.namelist() if name.endswith("/params.json")}
        for name in archive.namelist():
            if not name.endswith("/checkpoints"):
                continue
            trial = name.rsplit("/", 2)[0]
            state = torch.load(io.BytesIO(archive.read(name)), weights_only=True)
            epoch = int(name.split("checkpoint_")[1].split("/")[0])
            models.append((trial.rsplit("/", 1)[1], epoch, configs[trial]["model::nlin"], state))
    return models


def evaluate(models, x, y):
    networks = {name: SmallCNN(name).eval() for name in ACTIVATIONS}
    results = []
    with torch.inference_mode():
        for _, _, activation, state in models:
            network = networks[activation]
            network.load_state_dict(state)
            logits = network(x)
            loss = torch.nn.functional.cross_entropy(logits, y).item()
            results.append((loss, (logits.argmax(1) == y).float().mean().item()))
    return results


def evaluate_at_once(models, x, y):
    """The same by torch.func.vmap over the models of an activation; returns mean losses by place."""
    losses = {}
    with torch.inference_mode():
        for name in ACTIVATIONS:
            places = [place for place, model in enumerate(models) if model[2] == name]
            if not places:
                continue
            network = SmallCNN(name).eval()
            stacked = {key: torch.stack([models[place][3][key] for place in places]) for key in models[places[0]][3]}

            def loss(state):
                logits = torch.func.functional_call(network, state, (x,))
                return torch.nn.functional.cross_entropy(logits, y), (logits.argmax(1) == y).float().mean()

            found, _ = torch.func.vmap(loss, chunk_size=64)(stacked)
            losses.update(zip(places, found.tolist()))
    return losses


def timed(body):
    start = time.perf_counter()
    result = body()
    return time.perf_counter() - start, result


def medians(bodies):
    """The median time and the last result of each body; rounds take turns, so that all see the same machine."""
    times, results = [[] for _ in bodies], [None] * len(bodies)
    for _ in range(REPEATS):
        for place, body in enumerate(bodies):
            seconds, results[place] = timed(body)
            times[place].append(seconds)
    return [sorted(row)[len(row) // 2] for row in times], results


def main():
    data = load_file(DATA)
    x, y = data["x_test"], data["y_test"]
    models = load()
    with tempfile.TemporaryDirectory() as folder:
        catalog = f"{folder}/catalog.sqlite"
        subprocess.run([ZOO, "index", ARCHIVE, "--catalog", catalog, "--quiet"], check=True, stdout=subprocess.DEVNULL)
        command = [ZOO, "eval", "where:epoch >= 0", "--data", f"{DATA}:test", "--catalog", catalog, "--json", "--quiet"]
        times, results = medians([
            load, lambda: evaluate(models, x, y), lambda: evaluate_at_once(models, x, y),
            lambda: subprocess.run(command, check=True, capture_output=True)])
    (load_time, forward_time, vmap_time, zoo_time), (_, expected, _, run) = times, results
    found = {row["checkpoint"].split("/", 1)[1]: row for row in json.loads(run.stdout)}
    worst_loss, different = 0.0, 0
    for (trial, epoch, _, _), (loss, accuracy) in zip(models, expected):
        row = found[f"{trial}@{epoch}"]
        different += abs(row["accuracy"] - accuracy) > 1e-6
        if loss == loss:
            worst_loss = max(worst_loss, abs(row["loss"] - loss) / abs(loss))
    print(f"{len(models)} checkpoints, {len(y)} samples, torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"torch, reading              {load_time * 1e3:8.1f} ms")
    print(f"torch, evaluating           {forward_time * 1e3:8.1f} ms")
    print(f"torch.func.vmap, evaluating {vmap_time * 1e3:8.1f} ms")
    print(f"zoo eval, the whole process {zoo_time * 1e3:8.1f} ms")
    print(f"ratio, everything           {(load_time + forward_time) / zoo_time:8.2f}  (start of Python not counted)")
    print(f"ratio, torch evaluating only{forward_time / zoo_time:8.2f}")
    print(f"ratio, vmap and reading     {(load_time + vmap_time) / zoo_time:8.2f}")
    print(f"ratio, vmap alone           {vmap_time / zoo_time:8.2f}")
    print(f"largest relative difference of losses {worst_loss:.1e}, accuracies that differ: {different}")


if __name__ == "__main__":
    main()
