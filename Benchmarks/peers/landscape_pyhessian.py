"""Top eigenvalue and trace of every final model of zoos/digits-cnn.zip on 64 training images: PyHessian at its defaults,
one model after the other, and `zoo landscape` with the same stopping rules, in the same run; prints the ratio.

    python -m pip install --no-deps pyhessian==0.1
    python Benchmarks/peers/landscape_pyhessian.py [ZOO]

`zoo landscape` is timed as a whole process on a catalog made before; PyHessian's time leaves out imports and reading.
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import torch
from safetensors.torch import load_file

sys.path.insert(0, os.path.dirname(__file__))
from eval_zoo import ARCHIVE, DATA, SmallCNN, load  # noqa: E402

from pyhessian import hessian  # noqa: E402

ZOO = sys.argv[1] if len(sys.argv) > 1 else ".build/release/zoo"


def main():
    data = load_file(DATA)
    x, y = data["x_train"][:64], data["y_train"][:64]
    models = [(name, act, state) for name, epoch, act, state in load() if epoch == 25
              and all(torch.isfinite(t).all() for t in state.values())]
    loss = torch.nn.CrossEntropyLoss()
    peer, products = 0.0, []
    for _, activation, state in models:
        net = SmallCNN(activation)
        net.load_state_dict(state)
        net.eval()
        start = time.perf_counter()
        found = hessian(net, loss, data=(x, y), cuda=False)
        found.eigenvalues()
        products.append(len(found.trace()))
        peer += time.perf_counter() - start
    with tempfile.TemporaryDirectory() as work:
        environment = dict(os.environ, ZOO_CATALOG=f"{work}/catalog.sqlite")
        subprocess.run([ZOO, "index", ARCHIVE, "--quiet"], env=environment, check=True, capture_output=True)
        command = [ZOO, "landscape", "where:zoo = 'digits-cnn' and epoch = 25 and diverged = 0", "--data", DATA + ":train",
                   "--subset", "64", "--no-record", "--json", "--quiet"]
        times = {}
        for label, more in [("PyHessian's rules", ["--metrics", "hessian_power,hessian_trace", "--trace", "pyhessian"]),
                            ("own rules", ["--metrics", "hessian_top,hessian_trace"])]:
            rounds = []
            for _ in range(3):
                start = time.perf_counter()
                out = subprocess.run(command + more, env=environment, check=True, capture_output=True).stdout
                rounds.append(time.perf_counter() - start)
            rows = json.loads(out)
            times[label] = (statistics.median(rounds), len({r["checkpoint"] for r in rows}))
    print(f"PyHessian: {len(models)} models in {peer:.2f} s, {peer / len(models) * 1e3:.1f} ms a model, "
          f"{statistics.mean(products):.0f} trace products a model")
    for label, (seconds, count) in times.items():
        ratio = (peer / len(models)) / (seconds / count)
        print(f"zoo, {label}: {count} models in {seconds:.2f} s, {seconds / count * 1e3:.1f} ms a model, {ratio:.1f} times")


if __name__ == "__main__":
    main()
