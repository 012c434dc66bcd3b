"""Linear CKA of all pairs of 100 networks of zoos/digits-cnn.zip on the 500 test images: NumPy with centred Gram matrices,
and `zoo landscape --metrics cka` as a whole process, in the same run; prints the ratio and the largest difference.

    python Benchmarks/peers/landscape_cka.py [ZOO]

NumPy's time leaves out reading and running the networks; zoo's holds everything, from start to printed table.
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
from safetensors.torch import load_file

sys.path.insert(0, os.path.dirname(__file__))
from eval_zoo import ARCHIVE, DATA, SmallCNN, load  # noqa: E402

ZOO = sys.argv[1] if len(sys.argv) > 1 else ".build/release/zoo"


def gram_cka(outputs):
    """All pairs by the Gram-matrix form: tr(K L) / (|K| |L|) of centred Gram matrices, in float64."""
    grams = []
    for x in outputs:
        x = x - x.mean(0)
        grams.append(x @ x.T)
    norms = [np.linalg.norm(k) for k in grams]
    return {(i, j): float(np.vdot(grams[i], grams[j]) / (norms[i] * norms[j]))
            for i in range(len(grams)) for j in range(i + 1, len(grams))}


def main():
    x = load_file(DATA)["x_test"]
    with tempfile.TemporaryDirectory() as work:
        environment = dict(os.environ, ZOO_CATALOG=f"{work}/catalog.sqlite")
        subprocess.run([ZOO, "index", ARCHIVE, "--quiet"], env=environment, check=True, capture_output=True)
        rows = json.loads(subprocess.run(
            [ZOO, "query", "zoo = 'digits-cnn' and diverged = 0 and epoch >= 20", "--columns", "id,model,epoch", "--limit",
             "100", "--json"], env=environment, check=True, capture_output=True).stdout)
        ids = [row["id"] for row in rows]
        states = {(name, epoch): (act, state) for name, epoch, act, state in load()}
        outputs = []
        for row in rows:
            activation, state = states[(row["model"], row["epoch"])]
            net = SmallCNN(activation)
            net.load_state_dict(state)
            net.eval()
            with torch.no_grad():
                outputs.append(net(x).double().numpy())
        command = [ZOO, "landscape", *map(str, ids), "--data", DATA + ":test", "--metrics", "cka", "--no-record", "--json",
                   "--quiet"]
        peer, own = [], []
        for _ in range(5):
            start = time.perf_counter()
            expected = gram_cka(outputs)
            peer.append(time.perf_counter() - start)
            start = time.perf_counter()
            text = subprocess.run(command, env=environment, check=True, capture_output=True).stdout
            own.append(time.perf_counter() - start)
    found = [r["value"] for r in json.loads(text)]
    difference = max(abs(a - b) for a, b in zip(found, expected.values()))
    peer, own = statistics.median(peer), statistics.median(own)
    print(f"{len(expected)} pairs of {len(ids)} networks: NumPy {peer * 1e3:.0f} ms, zoo {own * 1e3:.0f} ms, "
          f"{peer / own:.1f} times; largest difference {difference:.1e}")


if __name__ == "__main__":
    main()
