"""100 coefficient steps of aTLAS: `zoo compose` beside the reference recipe in PyTorch, same networks, same batch sizes.

    python Benchmarks/peers/compose_torch.py .build/release/zoo [--rounds 3] [--only mlp]

The recipe composes every parameter from the task vectors with one learnable coefficient each, calls the network with
torch.func.functional_call, and steps AdamW with clipped gradients. Both sides take 100 steps and evaluate twice on the
validation images (before and after); the time is from the end of the first evaluation to the end of the second. Each
side runs in a process of its own; memory is the peak resident size of the process. The median of the rounds counts.
"""
import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))
ZOO = os.path.join(ROOT, "zoos/digits-tasks")
DATA = os.path.join(ZOO, "data/zoo_c_data.safetensors")
NAMES = ["rot90", "rot180", "mirror", "invert", "dim", "shift", "occlude", "noise"]


def task_names(count):
    """More tasks than there are take the data of the first ones again."""
    return [NAMES[i % 8] + (f"-{i // 8}" if i >= 8 else "") for i in range(count)]


def cnn(torch):
    nn = torch.nn

    class TaskCNN(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.ModuleDict(dict(
                conv1=nn.Conv2d(1, 16, 3, padding=1), conv2=nn.Conv2d(16, 32, 3, padding=1),
                conv3=nn.Conv2d(32, 32, 3, padding=1), fc=nn.Linear(128, 64)))
            self.classifier = nn.Linear(64, 10)

        def forward(self, x):
            f, e = torch.nn.functional, self.encoder
            x = f.max_pool2d(f.relu(e["conv2"](f.relu(e["conv1"](x)))), 2)
            x = f.max_pool2d(f.relu(e["conv3"](x)), 2)
            return self.classifier(f.relu(e["fc"](x.flatten(1))))

    return TaskCNN()


def mlp(torch, width):
    nn = torch.nn
    sizes = [64, width, width, width, 10]
    layers = []
    for i in range(4):
        layers += [nn.Linear(sizes[i], sizes[i + 1])] + ([nn.ReLU()] if i < 3 else [])
    return nn.Sequential(nn.Flatten(), *layers)


def reference(case, base, tasks, batch):
    """One process: 100 steps in PyTorch."""
    import torch
    from safetensors.torch import load_file
    model = cnn(torch) if case == "cnn" else mlp(torch, int(case.split("-")[1]))
    state = load_file(base)
    model.load_state_dict(state)
    model.eval()
    names = list(state)
    theta = [state[n] for n in names]
    vectors = [[v[n] - state[n] for n in names] for v in map(load_file, tasks)]
    coefficients = torch.nn.Parameter(torch.zeros(len(tasks), len(names)))
    optimizer = torch.optim.AdamW([coefficients], lr=1e-2, weight_decay=0.1)
    data = load_file(DATA)
    x = [data[f"{NAMES[i % 8]}.x_val"] for i in range(len(tasks))]
    y = [data[f"{NAMES[i % 8]}.y_val"] for i in range(len(tasks))]
    share = batch // len(tasks)
    if case != "cnn":
        x = [v.flatten(1) for v in x]

    def parameters():
        moved = []
        for j, start in enumerate(theta):
            moved.append(start + sum(coefficients[i, j] * vectors[i][j] for i in range(len(vectors))))
        return dict(zip(names, moved))

    def evaluate():
        with torch.no_grad():
            composed = parameters()
            return [(torch.func.functional_call(model, composed, (a,)).argmax(1) == b).float().mean().item()
                    for a, b in zip(x, y)]

    evaluate()
    start = time.perf_counter()
    for _ in range(100):
        places = [torch.randperm(len(b))[:share] for b in y]
        images = torch.cat([a[p] for a, p in zip(x, places)])
        logits = torch.func.functional_call(model, parameters(), (images,)).split(share)
        loss = sum(torch.nn.functional.cross_entropy(z, b[p]) for z, b, p in zip(logits, y, places))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([coefficients], 1.0)
        optimizer.step()
    evaluate()
    seconds = time.perf_counter() - start
    print(json.dumps(dict(seconds=seconds, peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)))


def run_zoo(zoo, base, tasks, batch, low_memory, data):
    command = [zoo, "compose", base, *tasks, "--data", data + ":{task}.val", "--test", "none", "--steps", "100",
               "--evaluate-every", "100", "--rate", "1e-2", "--batch", str(batch), "--set", "activation=relu", "--json",
               "--quiet"] + (["--low-memory"] if low_memory else [])
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout)
    history = found["history"]
    return history[-1]["seconds"] - history[0]["seconds"], found["peak_bytes"]


def make_family(folder, width, count=8):
    """A base and networks beside it; the coefficients of such networks are as much work as of real ones."""
    import torch
    from safetensors.torch import load_file, save_file
    torch.manual_seed(0)
    base = mlp(torch, width).state_dict()
    save_file(base, f"{folder}/base.safetensors")
    for name in task_names(count):
        moved = {k: v + 0.02 * v.std() * torch.randn_like(v) for k, v in base.items()}
        save_file(moved, f"{folder}/{name}.safetensors")
    data = f"{folder}/data.safetensors"
    if not os.path.exists(data):
        given = load_file(DATA)
        flat = {}
        for i, name in enumerate(task_names(count)):
            flat[f"{name}.x_val"] = given[f"{NAMES[i % 8]}.x_val"].flatten(1).clone()
            flat[f"{name}.y_val"] = given[f"{NAMES[i % 8]}.y_val"].clone()
        save_file(flat, data)


def main():
    if len(sys.argv) > 1 and sys.argv[1] == "--reference":
        return reference(sys.argv[2], sys.argv[3], sys.argv[5:], int(sys.argv[4]))
    if len(sys.argv) > 1 and sys.argv[1] == "--family":
        return make_family(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    parser = argparse.ArgumentParser()
    parser.add_argument("zoo")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="cases whose name has this in it")
    arguments = parser.parse_args()
    zoo = os.path.realpath(arguments.zoo)
    print("case                   batch  torch s  zoo s  ratio  low-memory s  ratio  torch MB  zoo MB  low-memory MB  share")
    with tempfile.TemporaryDirectory() as folder:
        for case, batch, count in [
            ("cnn", 64, 8), ("cnn", 128, 8), ("mlp-256", 64, 8), ("mlp-1024", 64, 8), ("mlp-1024", 128, 37),
        ]:
            if arguments.only and arguments.only not in case:
                continue
            if case == "cnn":
                base, data = f"{ZOO}/pretrained.safetensors", DATA
                tasks = [f"{ZOO}/tasks/{n}.safetensors" for n in NAMES]
            else:
                own = f"{folder}/{case}-{count}"
                os.makedirs(own, exist_ok=True)
                # In a process of its own: a child's peak of memory begins with what its parent holds.
                subprocess.run([sys.executable, __file__, "--family", own, case.split("-")[1], str(count)], check=True)
                base, data = f"{own}/base.safetensors", f"{own}/data.safetensors"
                tasks = [f"{own}/{name}.safetensors" for name in task_names(count)]
            torch_runs, plain, low = [], [], []
            for _ in range(arguments.rounds):
                command = [sys.executable, __file__, "--reference", case, base, str(batch), *tasks]
                found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                torch_runs.append((found["seconds"], found["peak_bytes"]))
                plain.append(run_zoo(zoo, base, tasks, batch, False, data))
                low.append(run_zoo(zoo, base, tasks, batch, True, data))
            t, p, l = ([statistics.median(r[i] for r in runs) for i in (0, 1)] for runs in (torch_runs, plain, low))
            print(f"{f'{case}, {count} vectors':22} {batch:5} {t[0]:8.2f} {p[0]:6.2f} {t[0] / p[0]:6.1f} {l[0]:13.2f} "
                  f"{t[0] / l[0]:6.1f} {t[1] / 1e6:9.0f} {p[1] / 1e6:7.0f} {l[1] / 1e6:14.0f} {l[1] / t[1]:6.2f}")


if __name__ == "__main__":
    main()
