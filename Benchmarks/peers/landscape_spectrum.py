"""All eigenvalues of the Hessian of a 2,464-parameter network of zoos/digits-cnn.zip on 64 training images: torch.func
hessian and torch.linalg.eigvalsh, and `zoo landscape --metrics full_spectrum` as a whole process, in the same run; prints
the ratio and the differences.

    python Benchmarks/peers/landscape_spectrum.py [ZOO]
"""
import json
import os
import subprocess
import sys
import tempfile
import time

import torch
from safetensors.torch import load_file, save_file
from torch.func import functional_call, hessian

sys.path.insert(0, os.path.dirname(__file__))
from eval_zoo import DATA, SmallCNN, load  # noqa: E402

ZOO = sys.argv[1] if len(sys.argv) > 1 else ".build/release/zoo"


def main():
    data = load_file(DATA)
    x, y = data["x_train"][:64], data["y_train"][:64].long()
    name, _, activation, state = next(item for item in load() if item[1] == 25 and item[2] == "tanh")
    net = SmallCNN(activation)
    net.load_state_dict(state)
    net.eval()
    names = [key for key, _ in net.named_parameters()]
    shapes = [p.shape for p in net.parameters()]
    flat = torch.cat([p.detach().flatten() for p in net.parameters()])

    def loss(vector):
        pieces = torch.split(vector, [s.numel() for s in shapes])
        parameters = {n: p.view(s) for n, p, s in zip(names, pieces, shapes)}
        return torch.nn.functional.cross_entropy(functional_call(net, parameters, (x,)), y)

    start = time.perf_counter()
    matrix = hessian(loss)(flat)
    values = torch.linalg.eigvalsh(matrix)
    peer = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as work:
        save_file({key: value.contiguous() for key, value in state.items()}, f"{work}/model.safetensors")
        save_file({"x_train": x.contiguous(), "y_train": y.contiguous()}, f"{work}/data.safetensors")
        start = time.perf_counter()
        out = subprocess.run(
            [ZOO, "landscape", f"{work}/model.safetensors", "--data", f"{work}/data.safetensors:train", "--architecture",
             "CNN-s-8x8", "--set", f"model::nlin={activation}", "--metrics", "full_spectrum", "--json", "--quiet"], check=True,
            capture_output=True).stdout
        own = time.perf_counter() - start
    found = {row["metric"]: row["value"] for row in json.loads(out)}
    print(f"torch {peer:.2f} s, zoo {own:.2f} s, {peer / own:.1f} times; "
          f"top {found['full_top']:.6f} beside {values[-1].item():.6f}, trace {found['full_trace']:.6f} beside "
          f"{matrix.trace().item():.6f}")


if __name__ == "__main__":
    main()
