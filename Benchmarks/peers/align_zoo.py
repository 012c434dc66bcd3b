"""Weight matching in NumPy and SciPy, next to `zoo align` on the same two files.

    OPENBLAS_NUM_THREADS=1 python Benchmarks/peers/align_zoo.py [--width 64] [--zoo .build/release/zoo] [--repeat 3]

Makes two random residual networks (torchvision's ResNet-18 names, any width), the second a permuted and noisy copy of
the first, matches them with a plain NumPy implementation of weight matching (arXiv 2209.04836, algorithm 1; float32
products, scipy.optimize.linear_sum_assignment in float64) and with `zoo align`, and prints both times, the final objective
of each and the ratio. Both times are of whole processes' work: reading the files and matching; zoo's also has the start of the
process and the check of equal outputs.
"""
import argparse
import json
import pathlib
import subprocess
import tempfile
import time

import numpy as np
from safetensors.numpy import load_file, save_file
from scipy.optimize import linear_sum_assignment


def spec(width):
    """Tensor → permutation of each axis; the shapes beside it."""
    axes, shapes = {}, {}

    def conv(name, out, inp, po, pi, k):
        axes[name + ".weight"], shapes[name + ".weight"] = (po, pi, None, None), (out, inp, k, k)

    def norm(name, n, p):
        for role in ("weight", "bias", "running_mean", "running_var"):
            axes[f"{name}.{role}"], shapes[f"{name}.{role}"] = (p,), (n,)

    conv("conv1", width, 3, "p0", None, 3)
    norm("bn1", width, "p0")
    before, channels = "p0", width
    for stage in range(4):
        out, p = width << stage, f"p{stage}"
        for block in range(2):
            name = f"layer{stage + 1}.{block}"
            inner = name + ".inner"
            conv(name + ".conv1", out, channels, inner, before, 3)
            norm(name + ".bn1", out, inner)
            conv(name + ".conv2", out, out, p, inner, 3)
            norm(name + ".bn2", out, p)
            if channels != out:
                conv(name + ".downsample.0", out, channels, p, before, 1)
                norm(name + ".downsample.1", out, p)
            before, channels = p, out
    axes["fc.weight"], shapes["fc.weight"] = (None, before), (10, channels)
    axes["fc.bias"], shapes["fc.bias"] = (None,), (10,)
    return axes, shapes


def permuted(tensor, axes, perms, leave=None):
    for axis, p in enumerate(axes):
        if p is not None and axis != leave:
            tensor = np.take(tensor, perms[p], axis)
    return tensor


def match(a, b, axes, rng):
    members = {}
    for name, spaces in axes.items():
        for axis, p in enumerate(spaces):
            if p is not None:
                members.setdefault(p, []).append((name, axis))
    sizes = {p: a[m[0][0]].shape[m[0][1]] for p, m in members.items()}
    perms = {p: np.arange(n) for p, n in sizes.items()}
    for sweep in range(100):
        progress = False
        for p in rng.permutation(list(members)):
            n = sizes[p]
            values = np.zeros((n, n))
            for name, axis in members[p]:
                left = np.moveaxis(a[name], axis, 0).reshape(n, -1)
                right = np.moveaxis(permuted(b[name], axes[name], perms, axis), axis, 0).reshape(n, -1)
                values += left @ right.T
            _, new = linear_sum_assignment(values, maximize=True)
            if values[np.arange(n), new].sum() > values[np.arange(n), perms[p]].sum() + 1e-12:
                progress = progress or not np.array_equal(new, perms[p])
                perms[p] = new
        if not progress:
            break
    return perms, sweep + 1


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--zoo", default=".build/release/zoo")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    axes, shapes = spec(options.width)
    a = {n: (rng.standard_normal(s) / np.sqrt(max(1, np.prod(s[1:])))).astype(np.float32) for n, s in shapes.items()}
    for name in a:
        if name.endswith("running_var"):
            a[name] = np.abs(a[name]) + 0.5
    perms = {p: rng.permutation(a[n].shape[i]) for n, s in axes.items() for i, p in enumerate(s) if p is not None}
    b = {n: permuted(t, axes[n], perms) for n, t in a.items()}
    for n, t in b.items():
        noise = rng.standard_normal(t.shape) * t.std() * 0.5
        b[n] = (np.abs(t + noise) + 0.1 if n.endswith("running_var") else t + noise).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(pathlib.Path(folder) / f"{x}.safetensors") for x in "ab"]
        for path, model in zip(paths, (a, b)):
            save_file({n: np.ascontiguousarray(t) for n, t in model.items()}, path)
        peer, ours = [], []
        for _ in range(options.repeat):
            start = time.perf_counter()
            left, right = load_file(paths[0]), load_file(paths[1])
            found, sweeps = match(left, right, axes, np.random.default_rng(1))
            peer.append(time.perf_counter() - start)
            start = time.perf_counter()
            run = subprocess.run(
                [options.zoo, "align", *paths, "--set", "input=[3,32,32]", "--json", "--quiet"],
                capture_output=True, text=True, check=False)
            ours.append(time.perf_counter() - start)
            if run.returncode:
                raise SystemExit(run.stderr)
        report = json.loads(run.stdout)
    moving = [n for n, s in axes.items() if any(s)]
    objective = sum(float((left[n].astype(np.float64) * permuted(right[n], axes[n], found)).sum()) for n in moving)
    best, mine = min(peer), min(ours)
    print(f"width {options.width}: numpy+scipy {best:.3f} s ({sweeps} sweeps, objective {objective:.6g}), "
          f"zoo align {mine:.3f} s ({report['sweeps']} sweeps, objective {report['objective'][-1]:.6g}), "
          f"ratio {best / mine:.2f}")


if __name__ == "__main__":
    main()
