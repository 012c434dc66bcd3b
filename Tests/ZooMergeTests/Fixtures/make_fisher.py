"""Writes fisher.json: the exact and the empirical diagonal Fisher of one network of zoos/digits-tasks on the first 24
samples of clean.x_val, per example and in float64.

Run with PyTorch 2.13 from the repository's root: python Tests/ZooMergeTests/Fixtures/make_fisher.py.
"""
import json
import pathlib

import torch
from safetensors.torch import load_file

root = pathlib.Path("zoos/digits-tasks")
state = {k: v.double().requires_grad_() for k, v in load_file(root / "pretrained.safetensors").items()}
data = load_file(root / "data/zoo_c_data.safetensors")
x, y = data["clean.x_val"][:24].double(), data["clean.y_val"][:24]
names = list(state)
ARCH = json.load(open("zoos/architectures.json"))["TaskCNN-16-64"]


def forward(image):
    h = image
    for layer in ARCH["layers"]:
        op = layer["op"]
        p = layer.get("params")
        if op == "conv2d":
            h = torch.nn.functional.conv2d(h, state[p + ".weight"], state.get(p + ".bias"), layer.get("stride", 1), layer.get("padding", 0))
        elif op == "linear":
            h = torch.nn.functional.linear(h, state[p + ".weight"], state.get(p + ".bias"))
        elif op == "maxpool2d":
            h = torch.nn.functional.max_pool2d(h, layer["kernel"], layer["stride"])
        elif op == "flatten":
            h = h.flatten(1)
        elif op == "relu":
            h = torch.relu(h)
        elif op == "gelu":
            h = torch.nn.functional.gelu(h)
        else:
            raise SystemExit("unknown layer " + op)
    return h


exact = {n: torch.zeros_like(state[n]) for n in names}
empirical = {n: torch.zeros_like(state[n]) for n in names}
for image, label in zip(x, y):
    log_p = torch.log_softmax(forward(image[None]), 1)[0]
    for c in range(len(log_p)):
        grads = torch.autograd.grad(log_p[c], [state[n] for n in names], retain_graph=True)
        for n, g in zip(names, grads):
            exact[n] += log_p[c].exp().detach() * g**2 / len(x)
            if c == int(label):
                empirical[n] += g**2 / len(x)
out = {"meta": "float64, 24 samples of clean.x_val, pretrained.safetensors"}
for key, table in [("exact", exact), ("empirical", empirical)]:
    out[key] = {n: {"sum": float(t.sum()), "norm": float(t.norm()), "first": t.detach().flatten()[:6].tolist()} for n, t in table.items()}
pathlib.Path(__file__).with_name("fisher.json").write_text(json.dumps(out, indent=1) + "\n")
