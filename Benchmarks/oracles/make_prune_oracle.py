"""Fisher information, agreement of gradients and domain alignment importance of a tiny sentence embedder, by torch.

    pip install torch transformers safetensors
    python Benchmarks/oracles/make_prune_oracle.py

Reads Tests/ZooNNTests/Fixtures/architectures/minilm (a random BERT) and writes
Tests/ZooPruneTests/Fixtures/importance.safetensors: token ids of two batches of three triplets a side, and for the four
feed-forward matrices the losses, Fisher values (the mean over batches of the squared gradient of the batch's mean
loss), mean gradients, agreement by matrix, row and weight, and the scores. All is computed in float64 on the float32
weights by autograd and the formulas of GAPrune.

In the second batch of each side two triplets have the same positive: neither is the other's negative.
"""

import pathlib

import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "Tests/ZooNNTests/Fixtures/architectures/minilm"
TARGET = ROOT / "Tests/ZooPruneTests/Fixtures/importance.safetensors"
SCALE, ALPHA, GAMMA, EPSILON = 20.0, 0.2, 0.5, 1e-8


def triplets(generator, shared):
    """Three triplets of random token ids; 0 is padding and never drawn."""
    def text():
        length = int(torch.randint(3, 13, (1,), generator=generator))
        return torch.randint(1, 37, (length,), generator=generator).tolist()

    found = [[text(), text(), text()] for _ in range(3)]
    if shared:
        found[2][1] = found[0][1]
    return found


def embed(model, texts):
    longest = max(len(t) for t in texts)
    ids = torch.tensor([t + [0] * (longest - len(t)) for t in texts])
    mask = torch.tensor([[1] * len(t) + [0] * (longest - len(t)) for t in texts])
    hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
    pooled = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    return torch.nn.functional.normalize(pooled, dim=1)


def loss(model, batch):
    queries = embed(model, [t[0] for t in batch])
    documents = [t[1] for t in batch] + [t[2] for t in batch]
    scores = SCALE * queries @ embed(model, documents).T
    for row, triplet in enumerate(batch):
        for column, text in enumerate(documents):
            if column != row and text == triplet[1]:
                scores[row, column] = -torch.inf
    return torch.nn.functional.cross_entropy(scores, torch.arange(len(batch)))


def main():
    config = BertConfig.from_pretrained(MODEL)
    config._attn_implementation = "eager"
    model = BertModel(config)
    model.load_state_dict(load_file(MODEL / "model.safetensors"))
    model = model.double().eval()
    named = {n: p for n, p in model.named_parameters() if n.endswith("dense.weight") and "attention" not in n
             and "pooler" not in n}
    assert len(named) == 4
    generator = torch.Generator().manual_seed(11)
    out, fisher, gradient = {}, {}, {}
    for side in ("domain", "general"):
        losses = []
        squares = {n: torch.zeros_like(p) for n, p in named.items()}
        means = {n: torch.zeros_like(p) for n, p in named.items()}
        for number in range(2):
            batch = triplets(generator, shared=number == 1)
            out[f"{side}.{number}.tokens"] = torch.tensor([i for t in batch for text in t for i in text])
            out[f"{side}.{number}.lengths"] = torch.tensor([[len(text) for text in t] for t in batch])
            value = loss(model, batch)
            losses.append(float(value))
            for (n, _), g in zip(named.items(), torch.autograd.grad(value, list(named.values()))):
                squares[n] += g * g / 2
                means[n] += g / 2
        out[f"{side}.losses"] = torch.tensor(losses, dtype=torch.float64)
        fisher[side], gradient[side] = squares, means
        for n in named:
            out[f"{side}.fisher/{n}"] = squares[n]
            out[f"{side}.gradient/{n}"] = means[n]
    count = sum(p.numel() for p in named.values())
    c = sum(float((fisher["domain"][n] + fisher["general"][n]).sum()) / 2 for n in named) / count
    out["scale"] = torch.tensor([c], dtype=torch.float64)
    for n, p in named.items():
        w, a, b = p.detach().abs(), gradient["domain"][n], gradient["general"][n]
        tensor = (a * b).sum() / (a.norm() * b.norm() + EPSILON)
        row = (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1) + EPSILON)
        x, y = a / a.pow(2).mean().sqrt(), b / b.pow(2).mean().sqrt()
        element = torch.sign(x * y) * torch.minimum(x.abs(), y.abs()) / torch.maximum(x.abs(), y.abs())
        out[f"agreement.tensor/{n}"], out[f"agreement.row/{n}"] = tensor.reshape(1), row
        out[f"agreement.element/{n}"] = element
        size = GAMMA * w.sqrt()
        f = fisher["domain"][n] - fisher["general"][n]
        out[f"faithful.tensor/{n}"] = (f * w + size) * (1 + ALPHA * tensor)
        for name, beta, s in (("scaled.tensor", 0, tensor), ("scaled.row", 0, row[:, None]),
                              ("scaled.element", 0, element), ("scaled.beta1", 1, tensor)):
            bracket = (fisher["domain"][n] - beta * fisher["general"][n]) / c * w + size
            out[f"{name}/{n}"] = torch.where(bracket < 0, bracket / (1 + ALPHA * s), bracket * (1 + ALPHA * s))
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous() for key, value in out.items()}, TARGET)
    print(TARGET.name, TARGET.stat().st_size, "bytes; losses", out["domain.losses"].tolist(),
          out["general.losses"].tolist(), "scale", c)


if __name__ == "__main__":
    main()
