"""Writes the safetensors fixtures with the reference library. Run in this folder; needs torch, safetensors."""

import json
import pathlib
import sys

sys.path.insert(0, "..")
import numpy as np
import oracle
import torch
from safetensors.torch import save_file

torch.manual_seed(0)
here = pathlib.Path(".")


def record(name, tensor):
    raw = tensor.contiguous().view(torch.uint8) if tensor.dim() else tensor.reshape(1).view(torch.uint8)
    names = {"float8_e4m3fn": "float8_e4m3fn", "float8_e5m2": "float8_e5m2"}
    name_of = str(tensor.dtype).split(".")[1]
    return {
        "name": name,
        "dtype": names.get(name_of, name_of),
        "shape": list(tensor.shape),
        "digest": oracle.digest(raw.numpy().tobytes()),
    }


files = {}
types = [
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int8, torch.int16, torch.int32, torch.int64,
    torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.bool, torch.complex64, torch.float8_e4m3fn,
    torch.float8_e5m2,
]
tensors = {}
for number, dtype in enumerate(types):
    values = torch.randn(3, 2) * 3
    if dtype == torch.bool:
        values = values > 0
    elif not dtype.is_floating_point and not dtype.is_complex:
        values = values.abs().round()
    tensors[f"t{number:02d}.{str(dtype).split('.')[1]}"] = values.to(dtype)
tensors["scalar"] = torch.tensor(1.5)
tensors["empty"] = torch.zeros(0, 4)
tensors['quoted "name" \\ ü\n'] = torch.arange(4, dtype=torch.float32)
save_file(tensors, "types.safetensors", {"format": "pt"})


def order(path):
    raw = path.read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    return [name for name in header if name != "__metadata__"]


files["types.safetensors"] = [record(name, tensors[name]) for name in order(here / "types.safetensors")]

model = {f"layer.{i}.weight": torch.randn(4, 3) for i in range(4)} | {"head.bias": torch.randn(5)}
shards = {"model-00001-of-00002.safetensors": list(model)[:3], "model-00002-of-00002.safetensors": list(model)[3:]}
folder = here / "sharded"
folder.mkdir(exist_ok=True)
files["sharded"] = []
for shard, names in shards.items():
    save_file({name: model[name] for name in names}, folder / shard, {"format": "pt"})
    files["sharded"] += [record(name, model[name]) for name in order(folder / shard)]
index = {
    "metadata": {"total_size": sum(t.numel() * 4 for t in model.values())},
    "weight_map": {name: shard for shard, names in shards.items() for name in names},
}
(folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")
oracle.save(".", files)
