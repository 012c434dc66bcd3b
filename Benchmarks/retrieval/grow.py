"""Writes the training manifests of the retrieval protocol for one seed (docs/retrieval.md).

    python3 Benchmarks/retrieval/grow.py SEED FOLDER [--tasks 20]

FOLDER/retrieval-mlp-SEED.yaml: 60 tasks (20 random sets of 4 digits x identity, quarter turn, inversion) x 3 perceptrons.
FOLDER/retrieval-gallery-SEED.yaml: the same tasks x a fourth perceptron, which no encoder sees in training.
FOLDER/retrieval-mixed-SEED.yaml: the same tasks x a small convolutional network.
FOLDER/retrieval-mixed-vit-SEED.yaml: the same tasks x a small vision transformer.
"""
import argparse, random

arguments = argparse.ArgumentParser()
arguments.add_argument("seed", type=int)
arguments.add_argument("folder")
arguments.add_argument("--tasks", type=int, default=20)
options = arguments.parse_args()
draw = random.Random(options.seed)
subsets = set()
while len(subsets) < options.tasks:
    subsets.add(tuple(sorted(draw.sample(range(10), 4))))
classes = "[" + ", ".join(str(list(s)) for s in sorted(subsets)) + "]"

HEAD = """# Written by Benchmarks/retrieval/grow.py {seed}
id: {id}
title: {title}
data:
  path: manifests/datasets/digits-retrieval.yaml
  test: val
architecture:
{architecture}
optimizer: {{name: adam, lr: {rate}}}
{schedule}epochs: {epochs}
batch_size: 32
relabel: true
seeds: [{seed}]
grid:
  classes: {classes}
  transform: [[], rot90, invert]
{grid}checkpoints: {{format: safetensors}}
"""
MLP = "  name: mlp\n  family: mlp\n  hidden: $hidden\n  activation: relu"
CNN = ("  name: cnn\n  family: small-cnn\n  channels: [8, 12]\n  kernels: [3, 3]\n  padding: [1, 1]\n"
       "  pool: [true, true]\n  hidden: 16\n  activation: relu")
VIT = "  name: vit\n  family: vit\n  patch: 2\n  dim: 32\n  depth: 2\n  heads: 4\n  mlp_ratio: 2"
# timm's own beginning, standard deviation 0.02, is slow at this width: xavier_uniform is what its jax mode has.
SLOWLY = "schedule: {name: cosine, warmup: 3}\ninit: xavier_uniform\n"
for name, title, architecture, epochs, grid, rate, schedule in [
    ("mlp", "Perceptrons of 60 digit tasks", MLP, 60, "  hidden: [[32], [64], [64, 32]]\n", "5e-3", ""),
    ("gallery", "A fourth perceptron of the 60 tasks", MLP, 60, "  hidden: [[24, 16]]\n", "5e-3", ""),
    ("mixed", "A convolutional network of the 60 tasks", CNN, 30, "", "5e-3", ""),
    ("mixed-vit", "A vision transformer of the 60 tasks", VIT, 40, "", "3e-3", SLOWLY),
]:
    identifier = f"retrieval-{name}-{options.seed}"
    with open(f"{options.folder}/{identifier}.yaml", "w") as file:
        file.write(HEAD.format(
            id=identifier, title=title, architecture=architecture, epochs=epochs, grid=grid, seed=options.seed,
            classes=classes, rate=rate, schedule=schedule))
