"""Writes engine_goldens.json and engine_goldens.bin: a few trained networks, one batch each, and what PyTorch computed.

    python make_engine_goldens.py --zoos DIR --goldens DIR

DIR of --zoos holds zoo_a.zip (CNN-s on 8x8 digits, four activations), zoo_b.tar.gz (residual networks with batch norm)
and zoo_c (the task CNN); DIR of --goldens holds zoo_{a,b,c}_gradients.json, which PyTorch 2.13 wrote in float64 from the
float32 weights: loss, gradient and Hessian-vector product (v = ones / sqrt(n)) of the first 32 training samples, per
parameter tensor its norm, sum and first five entries. The zoos were trained for this project on scikit-learn's digits
(CC BY 4.0). The .bin is little-endian float32: for each model its tensors in order, then the images; labels are in the
JSON.
"""

import argparse
import io
import json
import pathlib
import tarfile
import zipfile

import torch
from safetensors.torch import load_file


def read_member(archive, suffix):
    if isinstance(archive, zipfile.ZipFile):
        name = next(n for n in archive.namelist() if n.endswith(suffix))
        return archive.read(name)
    member = next(m for m in archive.getmembers() if m.name.endswith(suffix))
    return archive.extractfile(member).read()


def states(zoos, kind, golden):
    """Yields name, architecture, state dict and expected numbers of each golden model."""
    if kind == "a":
        with zipfile.ZipFile(zoos / "zoo_a.zip") as archive:
            for trial, epochs in golden["models"].items():
                activation = trial.split("model_nlin=")[1].split(",")[0]
                for epoch, expected in epochs.items():
                    member = f"{trial}/checkpoint_{int(epoch):06d}/checkpoints"
                    state = torch.load(io.BytesIO(read_member(archive, member)), weights_only=True)
                    yield f"cnn_{activation}", {"family": "cnn", "activation": activation}, state, expected
    elif kind == "b":
        with tarfile.open(zoos / "zoo_b.tar.gz") as archive:
            names = [m.name for m in archive.getmembers() if m.name.endswith("/checkpoints")]
            for trial, expected in golden["models"].items():
                width = int(trial.split("model_width=")[1].split(",")[0])
                member = next(n for n in sorted(names) if trial in n)
                state = torch.load(io.BytesIO(read_member(archive, member)), weights_only=True)
                yield f"resnet_{width}", {"family": "resnet"}, state, expected
    else:
        for name, expected in golden["models"].items():
            path = next((zoos / "zoo_c").rglob(f"{name}*.safetensors"))
            yield name.replace("/", "_"), {"family": "task"}, load_file(path), expected


def batch(zoos, kind, name):
    digits = load_file(zoos / "data" / "digits.safetensors")
    if kind == "a":
        return digits["x_train"][:32], digits["y_train"][:32]
    if kind == "b":
        return digits["x_train"][:32], digits["y_train_noisy"][:32]
    data = load_file(next((zoos / "zoo_c").rglob("zoo_c_data.safetensors")))
    task = "clean" if name == "pretrained" else "soup"
    return data[f"{task}.x_train"][:32], data[f"{task}.y_train"][:32]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--zoos", type=pathlib.Path, required=True)
    parser.add_argument("--goldens", type=pathlib.Path, required=True)
    options = parser.parse_args()
    here = pathlib.Path(__file__).parent
    models, blob = [], bytearray()
    for kind in "abc":
        golden = json.loads((options.goldens / f"zoo_{kind}_gradients.json").read_text())
        for name, about, state, expected in states(options.zoos, kind, golden):
            tensors = []
            for key, tensor in state.items():
                if not tensor.is_floating_point():
                    continue
                tensors.append({"name": key, "shape": list(tensor.shape)})
                blob += tensor.float().contiguous().numpy().tobytes()
            images, labels = batch(options.zoos, kind, name)
            blob += images.float().contiguous().numpy().tobytes()
            models.append(
                about
                | {"name": name, "tensors": tensors, "images": list(images.shape), "labels": labels.tolist()}
                | {"expected": expected}
            )
    (here / "engine_goldens.json").write_text(json.dumps({"about": __doc__, "models": models}, indent=0) + "\n")
    (here / "engine_goldens.bin").write_bytes(blob)


if __name__ == "__main__":
    main()
