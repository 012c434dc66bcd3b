"""How long `zoo merge --dry-run` takes to validate a recipe over models of many shards.

    python3 merge_plan.py ZOO [--shards 200] [--tensors 1000] [--models 3] [--repeat 5]

Writes sparse safetensors files (headers and holes: planning reads headers only) with an index, as a model of a trillion
parameters has them, and prints the median time of `--dry-run` and of the run with a fault in every model. It must stay
under two seconds.
"""

import argparse
import json
import os
import shutil
import statistics
import struct
import subprocess
import tempfile
import time


def write_model(folder, shards, tensors):
    os.makedirs(folder)
    hidden = 4096
    names = ["model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"]
    parts = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj",
             "mlp.up_proj", "mlp.down_proj", "input_layernorm", "post_attention_layernorm"]
    layers = max(1, (tensors - 3) // len(parts))
    names += [f"model.layers.{layer}.{part}.weight" for layer in range(layers) for part in parts]
    shapes = {name: [hidden] if "norm" in name else [hidden, hidden] for name in names}
    names.sort()
    weight_map = {}
    for shard in range(shards):
        chosen = names[len(names) * shard // shards:len(names) * (shard + 1) // shards]
        file = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        header, offset = {"__metadata__": {"format": "pt"}}, 0
        for name in chosen:
            size = 2
            for side in shapes[name]:
                size *= side
            header[name] = {"dtype": "BF16", "shape": shapes[name], "data_offsets": [offset, offset + size]}
            offset += size
            weight_map[name] = file
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with open(f"{folder}/{file}", "wb") as handle:
            handle.write(struct.pack("<Q", len(text)) + text)
            handle.truncate(8 + len(text) + offset)
    with open(f"{folder}/model.safetensors.index.json", "w") as handle:
        json.dump({"metadata": {}, "weight_map": weight_map}, handle)
    with open(f"{folder}/config.json", "w") as handle:
        json.dump({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "num_hidden_layers": layers,
                   "vocab_size": hidden, "torch_dtype": "bfloat16"}, handle)
    return len(names)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("zoo")
    parser.add_argument("--shards", type=int, default=200)
    parser.add_argument("--tensors", type=int, default=1000)
    parser.add_argument("--models", type=int, default=3)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="zoo-plan-")
    try:
        count = 0
        for model in range(options.models):
            count = write_model(f"{folder}/m{model}", options.shards, options.tensors)
        text = f"merge_method: ties\nbase_model: {folder}/m0\nmodels:\n"
        for model in range(1, options.models):
            text += f"- {{model: {folder}/m{model}, parameters: {{weight: [0.2, 0.8], density: 0.5}}}}\n"
        recipe = f"{folder}/r.yaml"
        with open(recipe, "w") as handle:
            handle.write(text)
        times = []
        for _ in range(options.repeat):
            start = time.perf_counter()
            run = subprocess.run([options.zoo, "merge", recipe, "--dry-run", "--json"], capture_output=True, text=True)
            times.append(time.perf_counter() - start)
            report = json.loads(run.stdout)
            assert run.returncode == 0 and report["problems"] == [] and report["tensors"] == count, run.stderr
        print(json.dumps({"models": options.models, "shards": options.shards, "tensors": count,
                          "bytes": report["bytes"], "seconds": round(statistics.median(times), 3)}))
        assert statistics.median(times) < 2
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
