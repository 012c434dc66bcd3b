"""Wanda, SparseGPT and anchored least squares in torch, independent of Zoo: what the method was chosen with.

    pip install torch tokenizers safetensors numpy
    python Benchmarks/pruning/anchored_torch.py .models/all-MiniLM-L6-v2 .models/prune-data --triplets 200

Prunes 70 % of the feed-forward weights on the domain's calibration triplets (at most 48 tokens), embeds the queries and
documents of a part of the data, and prints nDCG@10 and the paired difference to the first method with its standard
error. `uniform` is anchored with equal weights for all tokens.
"""

import argparse
import json
import math
import time

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch.nn import functional as F

LAYERS, WIDTH, HEADS = 6, 384, 12


def first(layer):
    return f"encoder.layer.{layer}.intermediate.dense"


def second(layer):
    return f"encoder.layer.{layer}.output.dense"


class Data:
    """Texts in batches of similar length."""

    def __init__(self, tokenizer, texts, longest, size=32):
        tokenizer.enable_truncation(longest)
        ids = [e.ids for e in tokenizer.encode_batch(texts)]
        order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
        self.count, self.batches = len(ids), []
        for start in range(0, len(order), size):
            members = order[start:start + size]
            tokens = torch.zeros(len(members), max(len(ids[i]) for i in members), dtype=torch.long)
            mask = torch.zeros(tokens.shape)
            for row, i in enumerate(members):
                tokens[row, :len(ids[i])] = torch.tensor(ids[i])
                mask[row, :len(ids[i])] = 1
            self.batches.append((members, tokens, mask))

    def pack(self, values):
        return torch.cat([x[mask > 0] for x, (_, _, mask) in zip(values, self.batches)])

    def lengths(self):
        return torch.cat([mask.sum(1, keepdim=True).expand_as(mask)[mask > 0] for _, _, mask in self.batches])


def norm(p, name, x):
    return F.layer_norm(x, (WIDTH,), p[name + ".weight"], p[name + ".bias"], 1e-12)


def linear(p, name, x):
    return F.linear(x, p[name + ".weight"], p[name + ".bias"])


def start(p, tokens):
    e = "embeddings."
    x = p[e + "word_embeddings.weight"][tokens] + p[e + "position_embeddings.weight"][:tokens.shape[1]]
    return norm(p, e + "LayerNorm", x + p[e + "token_type_embeddings.weight"][0])


def attend(p, layer, x, mask):
    a = f"encoder.layer.{layer}.attention."
    q, k, v = (linear(p, a + "self." + n, x).view(*x.shape[:2], HEADS, -1).transpose(1, 2)
               for n in ("query", "key", "value"))
    bias = ((1 - mask) * -1e9)[:, None, None, :]
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias).transpose(1, 2).reshape(x.shape)
    return norm(p, a + "output.LayerNorm", x + linear(p, a + "output.dense", out))


def hidden(p, layer, x):
    return F.gelu(linear(p, first(layer), x))


def leave(p, layer, total):
    return norm(p, f"encoder.layer.{layer}.output.LayerNorm", total)


def embed(p, data):
    out = torch.zeros(data.count, WIDTH)
    for members, tokens, mask in data.batches:
        x = start(p, tokens)
        for layer in range(LAYERS):
            x = attend(p, layer, x, mask)
            x = leave(p, layer, x + linear(p, second(layer), hidden(p, layer, x)))
        out[members] = F.normalize((x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True), dim=1)
    return out


def gains(queries, documents):
    s = queries @ documents.T
    own = s.diagonal()[:, None]
    rank = 1 + (s > own).sum(1) + 0.5 * ((s == own).sum(1) - 1)
    return torch.where(rank <= 10, 1 / torch.log2(rank + 1.0), torch.zeros(1))


def wanda(w, x, share):
    scores = w.abs() * x.pow(2).sum(0).sqrt()
    gone = scores.argsort(1)[:, :int(share * w.shape[1])]
    return w * torch.ones_like(w).scatter_(1, gone, 0)


def sparsegpt(w, x, share, width=128, damping=0.01):
    w, h = w.clone(), 2 * x.T @ x / len(x)
    dead = h.diagonal() == 0
    h[dead, dead] = 1
    w[:, dead] = 0
    h += torch.eye(len(h)) * damping * h.diagonal().mean()
    u = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(h)), upper=True)
    for i in range(0, w.shape[1], width):
        j = min(i + width, w.shape[1])
        block, ub = w[:, i:j].clone(), u[i:j, i:j]
        errors, scores = torch.zeros_like(block), (block / ub.diagonal()) ** 2
        mask = scores <= scores.flatten().kthvalue(int(scores.numel() * share)).values
        for c in range(j - i):
            kept = torch.where(mask[:, c], torch.zeros(1), block[:, c])
            errors[:, c] = (block[:, c] - kept) / ub[c, c]
            block[:, c] = kept
            block[:, c + 1:] -= errors[:, c, None] * ub[c, None, c + 1:]
        w[:, i:j] = block
        w[:, j:] -= errors @ u[i:j, j:]
    return w


def project(z, share):
    a = z.abs()
    return torch.where(a > a.flatten().kthvalue(int(share * a.numel())).values, z, torch.zeros(1))


def sparse_least_squares(h, g, w, share, rounds=40, refits=25):
    s = h.diagonal().sqrt()
    h, g, d = h / s[:, None] / s[None], g / s[None], w * s[None]
    values, q = torch.linalg.eigh(h)
    turned, rho, dual = g @ q, 0.1, torch.zeros_like(d)
    d = project(d, share)
    old = d != 0
    for round_ in range(rounds):
        w = ((turned + (rho * d - dual) @ q) / (values + rho)) @ q.T
        d = project(w + dual / rho, share)
        dual += rho * (w - d)
        if round_ % 3 == 2:
            changed, old = ((d != 0) != old).sum().item(), d != 0
            if changed == 0:
                break
            part = changed / old.sum().item()
            rho *= 1.3 if part > 0.1 else 1.2 if part > 0.005 else 1.1
    mask = (d != 0).float()
    r = (g - d @ h) * mask
    p, size = r.clone(), (r * r).sum(1, keepdim=True)
    for _ in range(refits):
        hp = p @ h
        a = size / ((p * hp).sum(1, keepdim=True) + 1e-30)
        d, r = d + a * p, r - a * hp * mask
        new = (r * r).sum(1, keepdim=True)
        p, size = r + new / (size + 1e-30) * p, new
    return d * mask / s[None]


def fit(dense, p, name, x, y, weights, share, damping=0.01):
    weights = (weights / weights.sum())[:, None]
    mx, my = (weights * x).sum(0), (weights * y).sum(0)
    x, y = x - mx, y - my
    h, g, w = x.T @ (weights * x), y.T @ (weights * x), dense[name + ".weight"]
    extra = damping * h.diagonal().mean()
    w = sparse_least_squares(h + extra * torch.eye(len(h)), g + extra * w, w, share)
    p[name + ".weight"], p[name + ".bias"] = w, my - w @ mx


def prune(dense, data, method, share):
    p, xs = dict(dense), [start(dense, t) for _, t, _ in data.batches]
    ds = [x.clone() for x in xs]
    weights = data.lengths() ** (0 if method == "uniform" else -1)
    rule = {"wanda": wanda, "sparsegpt": sparsegpt}.get(method)
    for layer in range(LAYERS):
        a, b = first(layer), second(layer)
        xs = [attend(p, layer, x, m) for x, (_, _, m) in zip(xs, data.batches)]
        ds = [attend(dense, layer, x, m) for x, (_, _, m) in zip(ds, data.batches)]
        sums = [x + linear(dense, b, hidden(dense, layer, x)) for x in ds]
        x = data.pack(xs)
        if rule:
            p[a + ".weight"] = rule(dense[a + ".weight"], x, share)
        else:
            fit(dense, p, a, x, linear(dense, a, data.pack(ds)), weights, share)
        hs = [hidden(p, layer, x) for x in xs]
        if rule:
            p[b + ".weight"] = rule(dense[b + ".weight"], data.pack(hs), share)
        else:
            fit(dense, p, b, data.pack(hs), data.pack(sums) - x, weights, share)
        xs = [leave(p, layer, x + linear(p, b, h)) for x, h in zip(xs, hs)]
        ds = [leave(dense, layer, s) for s in sums]
    return p


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("--triplets", type=int, default=800)
    parser.add_argument("--queries", type=int)
    parser.add_argument("--part", default="validation")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sparsity", type=float, default=0.7)
    parser.add_argument("--methods", default="sparsegpt,wanda,uniform,anchored,dense")
    a = parser.parse_args()
    torch.set_num_threads(2)
    tokenizer = Tokenizer.from_file(a.model + "/tokenizer.json")
    tokenizer.no_padding()
    dense = {k.removeprefix("bert."): v.float() for k, v in load_file(a.model + "/model.safetensors").items()}

    def rows(name, count):
        with open(f"{a.data}/{name}.jsonl", encoding="utf-8") as file:
            return [json.loads(line) for line in file][:count]

    calibration = rows(f"domain-calibration-{a.seed}", a.triplets)
    data = Data(tokenizer, [t[k] for t in calibration for k in ("query", "positive", "negative")], 48)
    held = rows(f"domain-{a.part}", a.queries)
    queries, documents = (Data(tokenizer, [t[k] for t in held], 128, 64) for k in ("query", "positive"))
    base = None
    for method in a.methods.split(","):
        begin = time.time()
        p = dense if method == "dense" else prune(dense, data, method, a.sparsity)
        names = [f(layer) + ".weight" for layer in range(LAYERS) for f in (first, second)]
        zeros = sum((p[n] == 0).sum().item() for n in names) / sum(p[n].numel() for n in names)
        found = gains(embed(p, queries), embed(p, documents))
        base = found if base is None else base
        d = found - base
        print(f"{method:10} zeros {zeros:.4f} ndcg@10 {found.mean():.4f} difference {d.mean():+.4f} "
              f"standard error {d.std() / math.sqrt(len(d)):.4f} ({time.time() - begin:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
