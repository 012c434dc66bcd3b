"""PEFT reads what `zoo lora` writes, and makes the same of it.

    python Benchmarks/oracles/check_peft.py --zoo .build/release/zoo        # torch, peft, transformers, safetensors

Makes a tiny Llama, Qwen2 (biases in part) and GPT-2 (`[in, out]` weights) and a fine-tuning of each, extracts adapters
with `zoo lora extract`, loads them with `PeftModel.from_pretrained`, merges, and compares with `zoo lora merge` and (at
full rank) with the fine-tuned model. Prints the largest differences; fails when one exceeds 2e-6.
"""

import argparse
import os
import subprocess
import tempfile

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, Qwen2Config

COMMON = dict(vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
              num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=False)
MODELS = {
    "llama": LlamaConfig(**COMMON),
    "qwen2": Qwen2Config(**COMMON),
    "gpt2": GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=4, n_positions=64, tie_word_embeddings=False),
}
BIASES = {"llama": 0.0, "qwen2": 0.01, "gpt2": 0.01}


def pair(kind, config, folder):
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    base, tuned = os.path.join(folder, kind), os.path.join(folder, kind + "-tuned")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    model.save_pretrained(base)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.add_(torch.randn_like(parameter) * (BIASES[kind] if name.endswith("bias") else 0.02))
    model.save_pretrained(tuned)
    return base, tuned, {name: tensor.clone() for name, tensor in model.state_dict().items()}


def difference(left, right):
    return max(float((left[name] - right[name]).abs().max()) for name in right)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--zoo", default=".build/release/zoo")
    zoo = os.path.abspath(parser.parse_args().zoo)
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for kind, config in MODELS.items():
            base, tuned, state = pair(kind, config, folder)
            for rank, more in ((64, []), (4, []), (6, ["--embed-lora", "--no-distribute-scale"])):
                adapter = os.path.join(folder, f"{kind}-{rank}")
                run = [zoo, "lora", "extract", tuned, base, "--rank", str(rank), "--to", adapter, "--quiet", *more]
                subprocess.run(run, check=True, stdout=subprocess.DEVNULL)
                merged = os.path.join(folder, f"{kind}-{rank}-merged")
                subprocess.run([zoo, "lora", "merge", base, adapter, "--to", merged, "--quiet"], check=True,
                               stdout=subprocess.DEVNULL)
                ours = AutoModelForCausalLM.from_pretrained(merged).state_dict()
                model = AutoModelForCausalLM.from_pretrained(base)
                peft = PeftModel.from_pretrained(model, adapter)
                theirs = peft.merge_and_unload().state_dict()
                found = difference(ours, theirs)
                text = f"{kind} rank {rank}: zoo - PEFT {found:.1e}"
                worst = max(worst, found)
                if rank == 64:
                    found = difference(theirs, state)
                    worst = max(worst, found)
                    text += f", PEFT - fine-tuned {found:.1e}"
                print(text, flush=True)
    if worst > 2e-6:
        raise SystemExit(f"largest difference {worst:.1e}")


if __name__ == "__main__":
    main()
