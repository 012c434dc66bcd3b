"""Writes LoRA adapters with PEFT, and what PEFT makes of them, for AdapterTests and AdapterCombinationTests.

    python make_adapters.py          # torch, peft, transformers, safetensors

One small network with every kind of layer; adapters of every kind over it, saved by `save_pretrained`; beside each the
network after `merge_and_unload`. `pair/` holds two adapters and what `add_weighted_adapter` makes of them.
"""

import os
import shutil

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from torch import nn
from transformers.pytorch_utils import Conv1D

HERE = os.path.dirname(os.path.abspath(__file__))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(11, 6)
        self.block = nn.ModuleDict({
            "q": nn.Linear(6, 8), "k": nn.Linear(6, 8, bias=False), "down": nn.Linear(8, 6), "norm": nn.LayerNorm(6),
        })
        self.conv = nn.Conv2d(3, 6, 3)
        self.pointwise = nn.Conv2d(6, 4, 1)
        self.line = nn.Conv1d(4, 6, 5)
        self.head = nn.Linear(6, 3)


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.h = nn.ModuleList([nn.ModuleDict({"c_attn": Conv1D(12, 4), "c_proj": Conv1D(4, 4)}) for _ in range(2)])


def randomised(model, seed, bias=False):
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "lora_magnitude_vector" in name:
            parameter.data *= 1 + 0.2 * torch.randn(parameter.shape, generator=generator)
        elif "lora_" in name or "modules_to_save" in name or bias and name.endswith("bias"):
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3
    return model


def base(kind, seed=0):
    torch.manual_seed(seed)
    return kind()


CASES = {
    "plain": (Net, dict(r=3, lora_alpha=5, target_modules=["q", "k", "down", "conv", "pointwise", "line", "embed"],
                        rank_pattern={"block.q": 2, r"c.nv": 4}, alpha_pattern={"k": 7, r"b[lm]ock\.q": 1.5})),
    "stabilised": (Net, dict(r=4, lora_alpha=2, target_modules=["q", "k"], use_rslora=True)),
    "dora": (Net, dict(r=2, lora_alpha=3, target_modules=["q", "k", "conv", "pointwise", "line", "embed"],
                       use_dora=True)),
    "biased": (Net, dict(r=2, lora_alpha=3, target_modules=["q", "down"], lora_bias=True)),
    "saved": (Net, dict(r=2, lora_alpha=3, target_modules=["q", "k"], modules_to_save=["head", "norm"], bias="all")),
    "transposed": (GPT, dict(r=2, lora_alpha=3, target_modules=["c_attn"], fan_in_fan_out=True)),
    "transposed-dora": (GPT, dict(r=2, lora_alpha=3, target_modules=["c_attn", "c_proj"], fan_in_fan_out=True,
                                  use_dora=True)),
}


def merged(model):
    return {name: tensor.detach().contiguous().clone() for name, tensor in model.state_dict().items()}


def main():
    for kind in (Net, GPT):
        save_file(merged(base(kind)), os.path.join(HERE, f"{kind.__name__.lower()}.safetensors"))
    for seed, (name, (kind, options)) in enumerate(CASES.items()):
        folder = os.path.join(HERE, name)
        shutil.rmtree(folder, ignore_errors=True)
        config = LoraConfig(init_lora_weights=False, **options)
        model = randomised(get_peft_model(base(kind), config), seed + 1, options.get("bias") == "all")
        model.save_pretrained(folder)
        if name == "stabilised":
            model.save_pretrained(folder, safe_serialization=False)
            os.remove(os.path.join(folder, "adapter_model.safetensors"))
        save_file(merged(model.merge_and_unload()), os.path.join(folder, "merged.safetensors"))
    pair()
    for root, _, files in os.walk(HERE):
        for file in files:
            if file == "README.md":
                os.remove(os.path.join(root, file))


NAMES = ["first", "second"]
COMBINATIONS = {
    "cat": {}, "linear": {}, "svd": {"svd_rank": 3}, "svd-clamped": {"svd_rank": 3, "svd_clamp": 0.9},
    "ties": {"density": 0.6}, "ties-frequency": {"density": 0.6, "majority_sign_method": "frequency"},
    "magnitude_prune": {"density": 0.4}, "ties_svd": {"density": 0.5, "svd_rank": 2},
    "magnitude_prune_svd": {"density": 0.5},
}


def pair():
    """Two adapters of equal ranks, one module of each its own, and their combinations with the weights 0.7 and -0.4."""
    targets = [["q", "down", "conv", "embed"], ["q", "k", "conv", "embed"]]
    folder = os.path.join(HERE, "pair")
    shutil.rmtree(folder, ignore_errors=True)
    model = None
    for name, modules in zip(NAMES, targets):
        config = LoraConfig(init_lora_weights=False, r=3, lora_alpha=4 if name == NAMES[0] else 6, target_modules=modules)
        model = get_peft_model(base(Net), config, adapter_name=name) if model is None else model
        if name == NAMES[1]:
            model.add_adapter(name, config)
    randomised(model, 40)
    model.save_pretrained(folder, selected_adapters=NAMES)
    results = {}
    for name, options in COMBINATIONS.items():
        model.add_weighted_adapter(NAMES, [0.7, -0.4], name, combination_type=name.split("-")[0], **options)
        for key, value in model.state_dict().items():
            parts = key.split(".")
            if "lora_" in key and name in parts:
                parts.remove(name)
                results[name + "/" + ".".join(parts)] = value.contiguous().clone()
    save_file(results, os.path.join(folder, "combined.safetensors"))


if __name__ == "__main__":
    main()
