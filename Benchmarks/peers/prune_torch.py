"""InfoNCE gradients and Fisher information of all-MiniLM-L6-v2 on pairs in micro-batches of 8: torch with transformers, and
`zoo prune score`, in the same run on the same batches; prints seconds per 64 pairs, the ratio, and how far both agree.

    scripts/fetch-minilm.sh
    python Benchmarks/peers/prune_torch.py [ZOO] [MODEL]

Both use two threads and keep gradients and their squares of all matrices of the encoder and their biases; embeddings and
norms are left out on both sides. Torch pads each micro-batch to its longest text and leaves out loading; Zoo is a whole
process that also sums inputs and writes its folder, so its time for 64 pairs is the difference between runs of many and of
few pairs, over two sides each; torch goes through the many pairs of both sides. Rounds alternate, medians are compared. The
process with everything is printed too.
"""
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import torch
from safetensors import safe_open
from transformers import AutoTokenizer, BertModel

ZOO = sys.argv[1] if len(sys.argv) > 1 else ".build/release/zoo"
MODEL = sys.argv[2] if len(sys.argv) > 2 else ".models/all-MiniLM-L6-v2"
FEW, MANY, BATCH, ROUNDS = 64, 192, 8, 5


class SplitMix:
    """The generator that draws Zoo's batches."""

    mask = (1 << 64) - 1

    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & self.mask
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & self.mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & self.mask
        return z ^ (z >> 31)

    def below(self, bound):
        threshold = (1 << 64) % bound
        while True:
            product = self.next() * bound
            if product & self.mask >= threshold:
                return product >> 64

    def permutation(self, count):
        order = list(range(count))
        for place in range(count - 1, 0, -1):
            other = self.below(place + 1)
            order[place], order[other] = order[other], order[place]
        return order


def pairs(count, seed):
    """Queries of a few words and answers of a sentence or two, of the model's own words."""
    words = [line.strip() for line in open(f"{MODEL}/vocab.txt", encoding="utf-8")][2000:12000]
    words = [word for word in words if word.isalpha() and len(word) > 2]
    draw = random.Random(seed)
    return [{"query": " ".join(draw.sample(words, draw.randint(2, 8))),
             "positive": " ".join(draw.sample(words, draw.randint(12, 36)))} for _ in range(count)]


def torch_pass(model, tokenizer, data):
    """Gradients and squares of all batches, in the order that Zoo draws."""
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    gradient = [torch.zeros_like(p) for _, p in named]
    fisher = [torch.zeros_like(p) for _, p in named]

    def embed(texts):
        tokens = tokenizer(texts, padding=True, truncation=True, max_length=128, return_tensors="pt")
        hidden = model(**tokens).last_hidden_state
        mask = tokens["attention_mask"].unsqueeze(-1).float()
        return torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1)

    order = SplitMix(0).permutation(len(data))
    batches = [order[start:start + BATCH] for start in range(0, len(data), BATCH)]
    for batch in batches:
        queries, positives = embed([data[i]["query"] for i in batch]), embed([data[i]["positive"] for i in batch])
        loss = torch.nn.functional.cross_entropy(20 * queries @ positives.T, torch.arange(len(batch)))
        for (_, p), g, f, value in zip(named, gradient, fisher, torch.autograd.grad(loss, [p for _, p in named])):
            g += value
            f += value * value
    return {name: (g / len(batches), f / len(batches)) for (name, _), g, f in zip(named, gradient, fisher)}


def zoo_pass(work, count):
    command = [ZOO, "prune", "score", MODEL, "--domain", f"{work}/domain-{count}.jsonl", "--general",
               f"{work}/general-{count}.jsonl", "--to", f"{work}/scores-{count}", "--quiet", "--json", "--jobs", "2"]
    shutil.rmtree(f"{work}/scores-{count}", ignore_errors=True)
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def main():
    torch.set_num_threads(2)
    model = BertModel.from_pretrained(MODEL, add_pooling_layer=False).eval()
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name.startswith("encoder.") and "LayerNorm" not in name
    domain, general = pairs(MANY, 1), pairs(MANY, 2)
    with tempfile.TemporaryDirectory() as work:
        for count in (FEW, MANY):
            for name, data in (("domain", domain), ("general", general)):
                with open(f"{work}/{name}-{count}.jsonl", "w") as file:
                    file.writelines(json.dumps(pair) + "\n" for pair in data[:count])
        expected = torch_pass(model, tokenizer, domain[:FEW])
        rounds = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            for side in (domain, general):
                torch_pass(model, tokenizer, side)
            peer = (time.perf_counter() - start) / (2 * MANY) * FEW
            few, many = zoo_pass(work, FEW), zoo_pass(work, MANY)
            rounds.append((peer, (many - few) / (2 * (MANY - FEW)) * FEW, few))
            print(f"torch {peer:.2f} s for {FEW} pairs, zoo {rounds[-1][1]:.2f} s", flush=True)
        peer, own, few = (statistics.median(r[k] for r in rounds) for k in range(3))
        worst = {"gradient": 0.0, "fisher": 0.0}
        with safe_open(f"{work}/scores-{FEW}/scores.safetensors", "pt") as scores:
            for name, values in expected.items():
                if name.endswith("key.bias"):
                    # Softmax does not change with it: its gradient is zero, and what is found is rounding.
                    continue
                for kind, value in zip(("gradient", "fisher"), values):
                    found = scores.get_tensor(f"domain.{kind}/{name}")
                    worst[kind] = max(worst[kind], ((found - value).abs().max() / value.abs().max()).item())
    print(f"medians: torch {peer:.2f} s for {FEW} pairs; zoo {own:.2f} s, {peer / own:.2f} times "
          f"(a whole process with two sides of {FEW} pairs {few:.2f} s)")
    print(f"largest difference over a tensor's largest value: gradient {worst['gradient']:.1e}, "
          f"Fisher {worst['fisher']:.1e}")


if __name__ == "__main__":
    main()
