"""`zoo merge` beside mergekit: the same recipe over the same files in the same run.

    venv/bin/python merge_mergekit.py ZOO [--megabytes 500] [--models 2]
        [--dtype float32|bfloat16] [--methods linear,ties,…] [--folder DIR] [--repeat 1]

`--models` counts the models that are merged; a base comes beside them where a method takes one. Methods of two take two.
`--prepare` writes the models and stops. mergekit lives in a virtual environment of its own (Benchmarks/peers/mergekit.sh makes it). Writes synthetic models of
one llama layout, runs both tools on each recipe with warm files, prints seconds, ratio, peak resident memory of both
(as the system counts it, mapped file pages included) and the largest difference of any tensor relative to its largest
element.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

RECIPES = {
    "linear": ("weight: 0.5", "", False),
    "task_arithmetic": ("weight: 0.5", "", True),
    "ties": ("weight: 0.5, density: 0.5", "", True),
    "dare_ties": ("weight: 0.5, density: 0.5", "", True),
    "slerp": ("", "t: 0.4", True),
    "nuslerp": ("weight: 0.5", "", False),
    "breadcrumbs": ("weight: 0.5, density: 0.8, gamma: 0.05", "", True),
    "model_stock": ("", "", True),
    "sce": ("", "select_topk: 0.5", True),
    "karcher": ("", "", False),
    "multislerp": ("weight: 0.5", "", False),
    "della": ("weight: 0.5, density: 0.5, epsilon: 0.1", "", True),
    "nearswap": ("", "t: 0.001", True),
    "arcee_fusion": ("", "", True),
}
TWO = {"slerp", "nuslerp", "nearswap", "arcee_fusion"}
RANDOM = {"dare_ties", "della"}


def layout(megabytes, dtype):
    """Tensor shapes of a llama of about this size."""
    hidden, mlp, vocab = 1024, 2816, 16000
    size = torch.finfo(dtype).bits // 8
    per_layer = (4 * hidden * hidden + 3 * hidden * mlp + 2 * hidden) * size
    layers = max(1, int((megabytes * 1e6 - 2 * vocab * hidden * size) // per_layer))
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
              "intermediate_size": mlp, "num_hidden_layers": layers, "num_attention_heads": 16,
              "num_key_value_heads": 16, "vocab_size": vocab, "torch_dtype": str(dtype)[6:], "rms_norm_eps": 1e-5,
              "max_position_embeddings": 2048, "tie_word_embeddings": False}
    return shapes, config


def write_models(folder, count, shapes, config, dtype):
    paths = [os.path.join(folder, f"model{k}") for k in range(count)]
    for k, path in enumerate(paths):
        if os.path.exists(os.path.join(path, "config.json")):
            continue
        os.makedirs(path, exist_ok=True)
        tensors = {}
        for number, (name, shape) in enumerate(shapes.items()):
            base = torch.randn(shape, generator=torch.Generator().manual_seed(number)) * 0.02
            change = torch.randn(shape, generator=torch.Generator().manual_seed(1000 * k + number + 7)) * 0.002
            tensors[name] = (base + (change if k else 0)).to(dtype)
        save_file(tensors, os.path.join(path, "model.safetensors"), metadata={"format": "pt"})
        with open(os.path.join(path, "config.json"), "w") as file:
            json.dump(config, file)
    return paths


def recipe(method, paths, dtype):
    values, parameters, needs_base = RECIPES[method]
    models = paths[:2] if method in TWO else paths[1:]
    text = f"merge_method: {method}\ndtype: {dtype}\nmodels:\n"
    for path in models:
        text += f"- model: {path}\n" + (f"  parameters: {{{values}}}\n" if values else "")
    if needs_base:
        text += f"base_model: {paths[0]}\n"
    return text + (f"parameters: {{{parameters}}}\n" if parameters else "")


# A small process between: a child's peak memory starts from that of the process that started it.
LAUNCHER = """
import os, sys
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(pid, 0)
print("\\n@@", usage.ru_maxrss * 1024)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def timed(command):
    """Seconds and the peak resident bytes of a command."""
    start = time.perf_counter()
    run = subprocess.run([sys.executable, "-S", "-E", "-c", LAUNCHER, *command], capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if run.returncode != 0:
        sys.exit(f"{command}: {run.stderr[-2000:]}")
    return seconds, int(run.stdout.rsplit("@@", 1)[1])


def open_all(folder):
    result = {}
    for name in sorted(os.listdir(folder)):
        if name.endswith(".safetensors"):
            file = safe_open(os.path.join(folder, name), framework="pt")
            for key in file.keys():
                result[key] = file
    return result


def difference(left, right):
    """The largest difference of any tensor, relative to its largest element, where, and the share of elements that
    differ by more than 1e-6 of it."""
    a, b = open_all(left), open_all(right)
    assert set(a) == set(b), sorted(set(a) ^ set(b))[:3]
    worst = (0.0, "")
    beyond = total = 0
    for name in a:
        x, y = a[name].get_tensor(name).float(), b[name].get_tensor(name).float()
        distance = (x - y).abs() / y.abs().max()
        worst = max(worst, (float(distance.max()), name))
        beyond += int((distance > 1e-6).sum())
        total += y.numel()
    return (*worst, beyond / total)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("zoo")
    parser.add_argument("--megabytes", type=float, default=500)
    parser.add_argument("--models", type=int, default=2)
    parser.add_argument("--prepare", action="store_true")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--methods", default="linear,task_arithmetic,ties,dare_ties,slerp")
    parser.add_argument("--folder", default="merge-benchmark")
    parser.add_argument("--repeat", type=int, default=1)
    options = parser.parse_args()
    peer = [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "mergekit_yaml.py")]
    dtype = getattr(torch, options.dtype)
    shapes, config = layout(options.megabytes, dtype)
    folder = os.path.join(options.folder, f"{options.dtype}-{options.megabytes:g}")
    paths = write_models(folder, options.models + 1, shapes, config, dtype)
    if options.prepare:
        return
    for method in options.methods.split(","):
        text = recipe(method, paths, options.dtype)
        file = os.path.join(folder, f"{method}.yaml")
        with open(file, "w") as handle:
            handle.write(text)
        ours, theirs = os.path.join(folder, "out-zoo"), os.path.join(folder, "out-mergekit")
        count = 2 if method in TWO else options.models
        row = {"method": method, "models": count, "megabytes": options.megabytes, "dtype": options.dtype}
        times = {"zoo": [], "mergekit": []}
        for _ in range(options.repeat):
            for out in (ours, theirs):
                shutil.rmtree(out, ignore_errors=True)
            for name, command in (("mergekit", [*peer, file, theirs, "--allow-crimes", "--no-copy-tokenizer"]),
                                  ("zoo", [options.zoo, "merge", file, ours, "--quiet"])):
                seconds, peak = timed(command)
                times[name].append(seconds)
                row[f"{name}_peak_mb"] = round(peak / 1e6)
        for name in times:
            row[f"{name}_seconds"] = round(float(np.median(times[name])), 2)
        row["ratio"] = round(row["mergekit_seconds"] / row["zoo_seconds"], 1)
        if method not in RANDOM:
            row["difference"], row["where"], row["share_beyond_1e-6"] = difference(ours, theirs)
        print(json.dumps(row), flush=True)
    for out in (ours, theirs):
        shutil.rmtree(out, ignore_errors=True)


if __name__ == "__main__":
    main()
