"""Writes adamerging.json: AdaMerging (arXiv 2310.02575) of two tasks of zoos/digits-tasks by PyTorch, in float64: the
coefficients at some steps, the loss of each step, and the classes predicted at the end.

Run with PyTorch 2.13 from the repository's root: python Tests/ZooMergeTests/Fixtures/make_adamerging.py. A step takes two
batches of 16 samples of each task; sample i of batch b of task t at step s is (37 s + 16 b + 5 i + 11 t) mod n.
"""
import json
import pathlib

import torch
from safetensors.torch import load_file
from torch.nn import functional as F

ROOT = pathlib.Path("zoos/digits-tasks")
TASKS = ["rot90", "invert"]
STEPS, REPORTED = 500, [1, 2, 5, 20, 100, 500]
ARCH = json.load(open("zoos/architectures.json"))["TaskCNN-16-64"]
base = {k: v.double() for k, v in load_file(ROOT / "pretrained.safetensors").items()}
data = load_file(ROOT / "data/zoo_c_data.safetensors")
samples = [data[f"{task}.x_val"].double() for task in TASKS]
vectors = [{k: v.double() - base[k] for k, v in load_file(ROOT / f"tasks/{task}.safetensors").items()} for task in TASKS]
names = list(base)


def forward(state, h):
    for layer in ARCH["layers"]:
        op, p = layer["op"], layer.get("params")
        if op == "conv2d":
            h = F.conv2d(h, state[p + ".weight"], state.get(p + ".bias"), layer.get("stride", 1), layer.get("padding", 0))
        elif op == "linear":
            h = F.linear(h, state[p + ".weight"], state.get(p + ".bias"))
        elif op == "maxpool2d":
            h = F.max_pool2d(h, layer["kernel"], layer["stride"])
        elif op == "flatten":
            h = h.flatten(1)
        elif op in ("relu", "gelu"):
            h = getattr(F, op)(h)
        else:
            raise SystemExit("unknown layer " + op)
    return h


def composed(coefficients):
    scales = coefficients.clamp(0, 1)
    return {n: base[n] + sum(scales[row, t] * vectors[t][n] for t in range(2)) for row, n in enumerate(names)}


coefficients = torch.full((len(names), 2), 0.3, dtype=torch.float64, requires_grad=True)
optimiser = torch.optim.Adam([coefficients], lr=1e-3, betas=(0.9, 0.999), weight_decay=0)
losses, reported = [], {}
for step in range(STEPS):
    state = composed(coefficients)
    loss = 0
    for task, x in enumerate(samples):
        for batch in range(2):
            places = [(37 * step + 16 * batch + 5 * i + 11 * task) % len(x) for i in range(16)]
            logits = forward(state, x[places])
            loss = loss - (logits.softmax(1) * logits.log_softmax(1)).sum(1).mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    losses.append(float(loss))
    if step + 1 in REPORTED:
        reported[step + 1] = coefficients.detach().tolist()
with torch.no_grad():
    state = composed(coefficients)
    counts = [torch.bincount(forward(state, x).argmax(1), minlength=10).tolist() for x in samples]
    right = [float((forward(state, data[f"{t}.x_test"].double()).argmax(1) == data[f"{t}.y_test"]).double().mean()) for t in TASKS]
out = {"names": names, "coefficients": reported, "losses": [losses[i - 1] for i in REPORTED], "predictions": counts, "accuracy": right,
       "size": {t: float(sum(v.square().sum() for v in vec.values()).sqrt() / sum(v.square().sum() for v in base.values()).sqrt())
                for t, vec in zip(TASKS, vectors)}}
pathlib.Path(__file__).with_name("adamerging.json").write_text(json.dumps(out) + "\n")
print(out["losses"], counts, right, out["size"])
