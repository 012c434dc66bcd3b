"""How near `zoo merge` and mergekit are to the truth and to each other, method by method.

    venv/bin/python Benchmarks/peers/merge_agreement.py .build/release/zoo [--hidden 512] [--vocab 1900] [--layers 2]
        [--methods linear,ties,…] [--folder DIR]

Writes synthetic models of a llama layout with continuous, heavy-tailed weights (a scale per row, Student t changes), runs
both tools on each recipe in float32, and computes every tensor in float64 with NumPy. Per method, all relative to the
largest element of a tensor: the largest differences Zoo - mergekit, Zoo - float64, mergekit - float64; how many elements
of the two tools differ by more than 1e-6; and the causes of those: `tie` when the change is exactly as large as the last
one kept (a trim must choose among equals: Zoo keeps the earliest, torch.topk and argsort promise no order), `edge` when a
score or a sum of signs is within float32 rounding of its threshold, `theirs` when Zoo is within 1e-7 of float64 and mergekit
is not (it sums norms and products of whole tensors in float32), `other` for the rest, which must be 0. `equals` counts
elements whose change is equal to the last one kept.

mergekit sorts a random sample of tensors above a million elements in arcee_fusion: choose sizes below.
"""

import argparse
import json
import os
import shutil
import subprocess

import numpy as np
import torch
import yaml
from safetensors.torch import load_file, save_file

import mergekit_yaml  # noqa: F401  (repairs mergekit's classes for a current transformers)
from mergekit.config import MergeConfiguration
from mergekit.merge_methods.registry import REGISTERED_MERGE_METHODS
from mergekit.merge import run_merge
from mergekit.options import MergeOptions

T = {"weight": 0.6}, {"weight": 0.4}, {"weight": 0.5}
METHODS = {
    # name: (parameters of the models, global parameters, base: None, "first" (a model) or "base")
    "linear": (T, {}, None),
    "slerp": (({}, {}), {"t": 0.4}, "first"),
    "nuslerp": (T[:2], {}, None),
    "multislerp": (T, {}, None),
    "karcher": (({}, {}, {}), {}, None),
    "task_arithmetic": (T, {}, "base"),
    "ties": ([{**t, "density": 0.5} for t in T], {}, "base"),
    "dare_linear": ([{**t, "density": 1.0} for t in T], {}, "base"),
    "dare_ties": ([{**t, "density": 1.0} for t in T], {}, "base"),
    "breadcrumbs": ([{**t, "density": 0.8, "gamma": 0.05} for t in T], {}, "base"),
    "breadcrumbs_ties": ([{**t, "density": 0.8, "gamma": 0.05} for t in T], {}, "base"),
    "della": ([{**t, "density": 1.0, "epsilon": 0.1} for t in T], {}, "base"),
    "della_linear": ([{**t, "density": 1.0, "epsilon": 0.1} for t in T], {}, "base"),
    "sce": (({}, {}, {}), {"select_topk": 0.5}, "base"),
    "ram": (({}, {}, {}), {}, "base"),
    "ramplus_tl": (({}, {}, {}), {"r": 0.05, "alpha": 1.0}, "base"),
    "model_stock": (({}, {}, {}), {}, "base"),
    "nearswap": (({},), {"t": 0.001}, "base"),
    "arcee_fusion": (({}, {}), {}, "first"),
    "passthrough": (({},), {}, None),
}


def layout(hidden, vocab, layers):
    mlp = hidden * 11 // 4
    shapes = {"model.embed_tokens.weight": (vocab, hidden), "model.norm.weight": (hidden,),
              "lm_head.weight": (vocab, hidden)}
    for layer in range(layers):
        prefix = f"model.layers.{layer}."
        for name in "qkvo":
            shapes[f"{prefix}self_attn.{name}_proj.weight"] = (hidden, hidden)
        shapes[prefix + "mlp.gate_proj.weight"] = (mlp, hidden)
        shapes[prefix + "mlp.up_proj.weight"] = (mlp, hidden)
        shapes[prefix + "mlp.down_proj.weight"] = (hidden, mlp)
        shapes[prefix + "input_layernorm.weight"] = (hidden,)
        shapes[prefix + "post_attention_layernorm.weight"] = (hidden,)
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": hidden,
              "intermediate_size": mlp, "num_hidden_layers": layers, "num_attention_heads": 8,
              "num_key_value_heads": 8, "vocab_size": vocab, "torch_dtype": "float32", "rms_norm_eps": 1e-5,
              "max_position_embeddings": 2048, "tie_word_embeddings": False}
    return shapes, config


def models(folder, count, shapes, config):
    """The base and its fine-tunings: names, paths, tensors."""
    result = {}
    for k in range(count):
        name = f"model{k}" if k else "base"
        rng = np.random.default_rng(1000 + k)
        common = np.random.default_rng(7)
        tensors = {}
        for key, shape in shapes.items():
            rows = np.exp(common.normal(-4, 0.3, shape[:1] + (1,) * (len(shape) - 1)))
            base = rows * common.standard_normal(shape) + (len(shape) == 1)
            change = 0.05 * rows * np.exp(rng.normal(0, 0.5, rows.shape)) * rng.standard_t(4, shape)
            tensors[key] = torch.from_numpy((base + (change if k else 0)).astype(np.float32))
        path = os.path.join(folder, name)
        os.makedirs(path, exist_ok=True)
        save_file(tensors, os.path.join(path, "model.safetensors"), metadata={"format": "pt"})
        with open(os.path.join(path, "config.json"), "w") as file:
            json.dump(config, file)
        result[name] = (path, {key: tensor.numpy() for key, tensor in tensors.items()})
    return result


# Each truth takes the models' tensors (float32), the base's, the parameters; gives the tensor in float64 and marks.

class Marks:
    """Elements whose treatment hangs on rounding."""

    def __init__(self, shape):
        self.tie, self.edge, self.equals = np.zeros(shape, bool), np.zeros(shape, bool), 0

    def threshold(self, magnitudes, value):
        same = magnitudes == value
        self.equals += int(same.sum())
        if same.sum() > 1:
            self.tie |= same


def d64(x, base):
    return x.astype(np.float64) - base.astype(np.float64)


def ranked(x, base):
    """Magnitudes of changes as float32 arithmetic sees them, and their order: descending, earlier first."""
    size = np.abs(x - base)
    return size, np.argsort(-size.ravel(), kind="stable")


def merged_signs(changes, weights, normalise, marks, consensus):
    weighted = [w * c for w, c in zip(weights, changes)]
    total = sum(weighted)
    if not consensus:
        return total / (sum(weights) if normalise else 1)
    scale = sum(np.abs(w) for w in weighted)
    marks.edge |= (np.abs(total) <= 4e-7 * scale) & (scale > 0)
    sign = np.where(total >= 0, 1.0, -1.0)
    agree = [np.sign(w) == sign for w in weighted]
    number = sum(a * w for a, w in zip(agree, weights))
    merged = sum(a * w for a, w in zip(agree, weighted))
    return merged / np.where(number == 0, 1, number) if normalise else merged


def task_family(xs, base, models, marks, trim=None, normalise=False, consensus=False):
    changes = []
    for x, p in zip(xs, models):
        change = d64(x, base)
        if trim and p["density"] < 1:
            size, order = ranked(x, base)
            n, flat = size.size, size.ravel()
            keep = np.zeros(n, bool)
            if trim == "magnitude":
                k = max(1, int(p["density"] * n))
                keep[order[:k]] = True
                marks.threshold(size, flat[order[k - 1]])
            else:
                top = int(p["gamma"] * n)
                bottom = max(0, n - int(p["density"] * n) - top)
                rising = np.argsort(flat, kind="stable")
                keep[rising[bottom:n - top]] = True
                marks.threshold(size, flat[rising[bottom]])
                if top:
                    marks.threshold(size, flat[rising[n - top - 1]])
            change = change * keep.reshape(change.shape)
        changes.append(change)
    return base + merged_signs(changes, [p["weight"] for p in models], normalise, marks, consensus)


def angle_mix(a, b, t, threshold=None):
    na, nb = np.linalg.norm(a), np.linalg.norm(b)
    dot = np.sum(a * b) / (na * nb)
    if threshold and abs(dot) > threshold:
        return (1 - t) * a + t * b
    omega = np.arccos(np.clip(dot, -1, 1))
    if abs(np.sin(omega)) < 1e-8:
        return (1 - t) * a + t * b
    return (np.sin((1 - t) * omega) * a + np.sin(t * omega) * b) / np.sin(omega)


def multislerp(xs, weights):
    xs = [x.astype(np.float64) for x in xs]
    weights = np.array(weights) / sum(weights)
    norms = [np.linalg.norm(x) for x in xs]
    units = [x / (n + 1e-8) for x, n in zip(xs, norms)]
    mean = sum(w * u for w, u in zip(weights, units))
    mean = mean / np.linalg.norm(mean)
    tangent = sum(w * (u - np.sum(u * mean) * mean) for w, u in zip(weights, units))
    size = np.linalg.norm(tangent) + 1e-8
    return (mean * np.cos(size) + tangent * np.sin(size) / size) * sum(w * n for w, n in zip(weights, norms))


def karcher(xs, steps=10, tolerance=1e-5):
    xs = [x.astype(np.float64) for x in xs]
    norms = [np.linalg.norm(x) for x in xs]
    units = [x / n for x, n in zip(xs, norms)]
    mean = sum(units) / np.linalg.norm(sum(units))
    for _ in range(steps):
        tangent = np.zeros_like(mean)
        for u in units:
            dot = np.clip(np.sum(mean * u), -1, 1)
            omega = np.arccos(dot)
            if omega >= tolerance:
                tangent += omega / np.sin(omega) * (u - dot * mean) / len(units)
        size = np.linalg.norm(tangent)
        if size < tolerance:
            break
        mean = np.cos(size) * mean + np.sin(size) * tangent / size
        mean /= np.linalg.norm(mean)
    return np.mean(norms) * mean


def sce(xs, base, marks, topk):
    changes = [d64(x, base) for x in xs]
    variance = np.var(changes, axis=0)
    k = int((variance != 0).sum() * topk)
    order = np.argsort(-variance.ravel(), kind="stable")
    keep = np.zeros(variance.size, bool)
    keep[order[:k]] = True
    last = variance.ravel()[order[k - 1]]
    marks.edge |= np.abs(variance - last) <= 1e-5 * last
    marks.equals += int((variance == last).sum())
    changes = [c * keep.reshape(c.shape) for c in changes]
    total = sum(changes)
    scale = sum(np.abs(c) for c in changes)
    marks.edge |= (np.abs(total) <= 4e-7 * scale) & (scale > 0)
    sign = np.where(total >= 0, 1.0, -1.0)
    energy = np.array([np.mean(c * c) for c in changes])
    weights = np.full(len(xs), 1 / len(xs)) if abs(energy.sum()) < 1e-6 else energy / energy.sum()
    agree = [np.sign(c) == sign for c in changes]
    number = sum(w * a for w, a in zip(weights, agree))
    return base + sum(w * a * c for w, a, c in zip(weights, agree, changes)) / np.maximum(number, 1e-6)


def ram(xs, base, plus=None, epsilon=1e-5):
    changes = [d64(x, base) for x in xs]
    active = [np.abs((x - base).astype(np.float32)) > np.float32(epsilon) for x in xs]
    count = sum(a.astype(int) for a in active)
    result = base.astype(np.float64)
    for change, a in zip(changes, active):
        unique, shared = a & (count == 1), a & (count > 1)
        factor = 1.0
        if plus:
            factor = 1 + plus["r"] * np.clip(shared.sum() / max(unique.sum(), epsilon), 0, plus["alpha"])
        result = result + change * (unique * factor + shared / np.maximum(count, 1))
    return result


def model_stock(xs, base):
    changes = [d64(x, base) for x in xs]
    cosines = []
    for i in range(len(xs)):
        for j in range(i + 1, len(xs)):
            product = np.linalg.norm(changes[i]) * np.linalg.norm(changes[j])
            cosines.append(np.clip(np.sum(changes[i] * changes[j]) / max(product, 1e-6), -1, 1))
    c, k = np.mean(cosines), len(xs)
    t = k * c / (1 + (k - 1) * c)
    return t * np.mean([x.astype(np.float64) for x in xs], axis=0) + (1 - t) * base


def arcee(a, b, marks):
    def softmax(x):
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)
    a, b = a.astype(np.float64), b.astype(np.float64)
    p, q = softmax(b) + 1e-8, softmax(a) + 1e-8
    importance = np.abs(b - a) * np.sum(p * np.log(p / q), axis=-1, keepdims=True)
    ordered = np.sort(importance.ravel())
    quantile = lambda x: ordered[int(x * (ordered.size - 1))]
    threshold = quantile(0.5) + 1.5 * (quantile(0.75) - quantile(0.25))
    # Sums over a row's softmax in float32 move the divergence by up to a percent where it is tiny.
    marks.edge |= np.abs(importance - threshold) <= 1e-2 * threshold
    return a + (importance >= threshold) * (b - a)


def truth(method, xs, base, models, parameters, marks):
    wide = [x.astype(np.float64) for x in xs]
    weights = [p.get("weight") for p in models]
    match method:
        case "linear": return sum(w * x for w, x in zip(weights, wide)) / sum(weights)
        case "slerp": return angle_mix(wide[0], wide[1], parameters["t"], 0.9995)
        case "nuslerp": return angle_mix(wide[0], wide[1], weights[1] / sum(weights))
        case "multislerp": return multislerp(xs, weights)
        case "karcher": return karcher(xs)
        case "task_arithmetic" | "dare_linear" | "della_linear": return task_family(xs, base, models, marks)
        case "ties": return task_family(xs, base, models, marks, "magnitude", True, True)
        case "dare_ties": return task_family(xs, base, models, marks, None, False, True)
        case "della": return task_family(xs, base, models, marks, None, True, True)
        case "breadcrumbs": return task_family(xs, base, models, marks, "outliers")
        case "breadcrumbs_ties": return task_family(xs, base, models, marks, "outliers", False, True)
        case "sce": return sce(xs, base, marks, parameters["select_topk"])
        case "ram": return ram(xs, base)
        case "ramplus_tl": return ram(xs, base, parameters)
        case "model_stock": return model_stock(xs, base)
        case "nearswap":
            t = np.clip(parameters["t"] / np.maximum(np.abs(d64(xs[0], base)), 1e-6), 0, 1)
            return t * wide[0] + (1 - t) * base
        case "arcee_fusion": return arcee(xs[0], xs[1], marks)
        case "passthrough": return wide[0]


def mergekit_methods():
    return set(REGISTERED_MERGE_METHODS)


def compare(method, options, folder, made):
    each, parameters, base = METHODS[method]
    names = list(made)[1:1 + len(each)]
    recipe = {"merge_method": method, "dtype": "float32",
              "models": [{"model": made[n][0], **({"parameters": p} if p else {})} for n, p in zip(names, each)]}
    if base:
        recipe["base_model"] = made["base" if base == "base" else names[0]][0]
    if parameters:
        recipe["parameters"] = parameters
    file, ours, theirs = (os.path.join(folder, name) for name in ("recipe.yaml", "out-zoo", "out-mergekit"))
    with open(file, "w") as handle:
        yaml.safe_dump(recipe, handle)
    for out in (ours, theirs):
        shutil.rmtree(out, ignore_errors=True)
    subprocess.run([options.zoo, "merge", file, ours, "--quiet"], check=True, stdout=subprocess.DEVNULL)
    zoo = load_file(os.path.join(ours, "model.safetensors"))
    has = method in mergekit_methods()
    if has:
        run_merge(MergeConfiguration.model_validate(recipe), theirs,
                  MergeOptions(allow_crimes=True, copy_tokenizer=False, quiet=True, write_model_card=False))
    kit = load_file(os.path.join(theirs, "model.safetensors")) if has else zoo
    row = {"method": method, "zoo-mergekit": 0.0, "zoo-float64": 0.0, "mergekit-float64": 0.0, "elements": 0,
           "beyond": 0, "tie": 0, "edge": 0, "theirs": 0, "other": 0, "equals": 0}
    for name in zoo:
        xs = [made[n][1][name] for n in names]
        start = made["base" if base == "base" else names[0]][1][name]
        marks = Marks(start.shape)
        exact = truth(method, xs, start, each, parameters, marks)
        x, y = (t[name].float().numpy().astype(np.float64) for t in (zoo, kit))
        scale = np.abs(exact).max()
        gap = np.abs(x - y) / scale
        row["zoo-mergekit"] = max(row["zoo-mergekit"], gap.max())
        row["zoo-float64"] = max(row["zoo-float64"], (np.abs(x - exact) / scale).max())
        row["mergekit-float64"] = max(row["mergekit-float64"], (np.abs(y - exact) / scale).max())
        beyond = gap > 1e-6
        row["elements"] += gap.size
        row["beyond"] += int(beyond.sum())
        row["tie"] += int((beyond & marks.tie).sum())
        row["edge"] += int((beyond & marks.edge & ~marks.tie).sum())
        exactly = np.abs(x - exact) <= 1e-7 * scale
        row["theirs"] += int((beyond & exactly & ~marks.edge & ~marks.tie).sum())
        row["other"] += int((beyond & ~exactly & ~marks.edge & ~marks.tie).sum())
        row["equals"] += marks.equals
    if not has:
        row.update({"zoo-mergekit": "not in this mergekit", "mergekit-float64": "-", "beyond": "-"})
    return row


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("zoo")
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--vocab", type=int, default=1900)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--folder", default="merge-agreement")
    options = parser.parse_args()
    os.makedirs(options.folder, exist_ok=True)
    made = models(options.folder, 4, *layout(options.hidden, options.vocab, options.layers))
    columns = None
    for method in options.methods.split(","):
        row = compare(method, options, options.folder, made)
        if columns is None:
            columns = list(row)
            print(" | ".join(columns))
        print(" | ".join(f"{v:.1e}" if isinstance(v, float) else str(v) for v in row.values()), flush=True)
    shutil.rmtree(options.folder, ignore_errors=True)


if __name__ == "__main__":
    main()
