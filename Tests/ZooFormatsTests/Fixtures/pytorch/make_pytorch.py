"""Writes the PyTorch fixtures and, in oracle.json, what torch.load finds in each of them.

Run with PyTorch 2.13 and NumPy 2 in this folder: python make_pytorch.py
"""

import argparse
import collections
import datetime
import hashlib
import io
import json
import pathlib
import pickle
import warnings
import zipfile

import numpy as np
import torch

warnings.filterwarnings("ignore")
torch.manual_seed(7)
oracle = {}


def digest(tensor):
    tensor = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    data = tensor.flatten().view(torch.uint8) if tensor.numel() else tensor.flatten()
    return hashlib.sha256(data.numpy().tobytes() if tensor.numel() else b"").hexdigest()


def entry(name, value):
    if isinstance(value, np.ndarray):
        raw = np.ascontiguousarray(value).astype(value.dtype.newbyteorder("<")).tobytes()
        return dict(name=name, dtype=value.dtype.name, shape=list(value.shape), sha256=hashlib.sha256(raw).hexdigest())
    dtype = str(value.dtype).removeprefix("torch.")
    return dict(name=name, dtype=dtype, shape=list(value.shape), sha256=digest(value))


def expect(file, tensors, **facts):
    oracle[file] = dict(tensors=[entry(n, t) for n, t in tensors], **facts)


def save(file, value, tensors, kind="stateDict", legacy=False, **facts):
    torch.save(value, file, _use_new_zipfile_serialization=not legacy)
    expect(file, tensors, kind=kind, **facts)


def repickled(file, protocol):
    """The archive `file` with its data.pkl written again in another protocol by Python's own pickler."""

    class Storage:
        def __init__(self, pid):
            self.pid = pid

    class Reader(pickle.Unpickler):
        def persistent_load(self, pid):
            return Storage(pid)

        def find_class(self, module, name):
            if name.startswith("_rebuild"):
                return Function(module, name)
            return super().find_class(module, name)

    class Function:
        def __init__(self, module, name):
            self.real = getattr(__import__(module, fromlist=[name]), name)

        def __call__(self, *arguments):
            return Call(self.real, tuple(a.real if isinstance(a, Function) else a for a in arguments))

    class Call:
        def __init__(self, function, arguments):
            self.call = function, arguments

        def __reduce__(self):
            return self.call

    class Writer(pickle.Pickler):
        def persistent_id(self, value):
            return value.pid if isinstance(value, Storage) else None

    source = zipfile.ZipFile(file)
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w") as target:
        for info in source.infolist():
            data = source.read(info)
            if info.filename.endswith("/data.pkl"):
                buffer = io.BytesIO()
                Writer(buffer, protocol).dump(Reader(io.BytesIO(data)).load())
                data = buffer.getvalue()
            target.writestr(zipfile.ZipInfo(info.filename, (1980, 1, 1, 0, 0, 0)), data)
    return output.getvalue()


class Opaque:
    def __init__(self, note):
        self.note = note


class Doubled(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(3, 2)
        self.norm = torch.nn.BatchNorm1d(2)
        self.head = torch.nn.Linear(2, 2, bias=False)
        self.register_buffer("scale", torch.arange(2.0))
        self.register_buffer("hidden", torch.ones(2), persistent=False)

    def forward(self, x):
        return self.head(self.norm(self.first(x))) * self.scale + self.hidden


# Element types

def every_dtype():
    state = collections.OrderedDict()
    for dtype in (
        torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int8, torch.int16, torch.int32, torch.int64,
        torch.uint8, torch.bool, torch.complex64, torch.complex128, torch.uint16, torch.uint32, torch.uint64,
        torch.float8_e4m3fn, torch.float8_e5m2,
    ):
        state[str(dtype).removeprefix("torch.")] = (torch.arange(6).reshape(2, 3) - 0).to(torch.float32).to(dtype)
    return state


types = every_dtype()
save("dtypes.pt", types, types.items())
save("dtypes_legacy.pt", types, types.items(), legacy=True)

# Views

base = torch.arange(12.0).reshape(3, 4)
tied = torch.randn(3, 2)
views = collections.OrderedDict(
    transposed=base.t(),
    slice=torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.bfloat16)[1:],
    channels_last=torch.randn(2, 3, 2, 2).to(memory_format=torch.channels_last),
    expanded=torch.tensor([[1.0], [2.0]]).expand(2, 5),
    steps=torch.arange(20, dtype=torch.int16)[3::4],
    scalar=torch.tensor(3.5),
    empty=torch.zeros(0, 4),
    embed=tied,
    head=tied,
    diagonal=torch.arange(16, dtype=torch.float64).reshape(4, 4).diagonal(),
    permuted=torch.arange(24, dtype=torch.uint8).reshape(2, 3, 4).permute(2, 0, 1),
    conj=torch.tensor([1 + 2j, 3 - 4j]).conj(),
    neg=torch.tensor([1 + 2j, 3 - 4j]).conj().imag,
    ones=torch.randn(1, 3, 1).transpose(0, 2),
    parameter=torch.nn.Parameter(torch.randn(2, 2)),
    buffer=torch.nn.Buffer(torch.randn(2)),
)
save("views.pt", views, views.items())
save("views_legacy.pt", {k: v for k, v in views.items() if k not in ("conj", "neg")},
     [(k, v) for k, v in views.items() if k not in ("conj", "neg")], legacy=True)

# State dicts as training scripts save them

model = Doubled()
state = model.state_dict()
save("metadata.pt", state, state.items(), metadata={"_metadata": json.loads(json.dumps(state._metadata))})
parallel = collections.OrderedDict(("module." + k, v) for k, v in state.items())
save("module_prefix.pt", parallel, parallel.items())

sgd = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
adam = torch.optim.Adam(model.parameters(), lr=1e-3)
for optimizer in (sgd, adam):
    optimizer.zero_grad()
    model(torch.randn(5, 3)).square().sum().backward()
    optimizer.step()


def optimizer_tensors(optimizer, prefix="optimizer"):
    for index, slots in optimizer.state_dict()["state"].items():
        for slot, value in slots.items():
            if isinstance(value, torch.Tensor):
                yield f"{prefix}.state.{index}.{slot}", value


for name, optimizer in (("sgd", sgd), ("adam", adam)):
    save(f"{name}.pt", optimizer.state_dict(), [], kind="optimizer")
    oracle[f"{name}.pt"]["optimizer"] = [entry(n, t) for n, t in optimizer_tensors(optimizer)]
save("adam_legacy.pt", adam.state_dict(), [], kind="optimizer", legacy=True)
oracle["adam_legacy.pt"]["optimizer"] = [entry(n, t) for n, t in optimizer_tensors(adam)]

wrapped = {
    "epoch": 12, "arch": "tiny", "state_dict": model.state_dict(), "optimizer": adam.state_dict(),
    "best_acc": np.float64(0.75), "best_loss": torch.tensor(0.5), "seed": np.int64(3), "resumed": False,
    "args": argparse.Namespace(lr=0.1, out=pathlib.PurePosixPath("/runs/a")), "note": None,
    "kind": "training", "when": datetime.date(2020, 1, 2), "big": 2**70,
    "history": [0.5, 0.25], "ema_state": {"w": torch.ones(2)},
}
expected = {
    "epoch": 12, "arch": "tiny", "best_acc": 0.75, "best_loss": 0.5, "seed": 3, "resumed": False,
    "args": {"lr": 0.1, "out": "/runs/a"}, "note": None, "file.kind": "training", "history": [0.5, 0.25],
    "kind": "stateDict", "wrapper": "state_dict",
}
for legacy in (False, True):
    save("wrapped_legacy.pt" if legacy else "wrapped.pt", wrapped, model.state_dict().items(), legacy=legacy,
         metadata=expected, skipped=["ema_state"])
    oracle["wrapped_legacy.pt" if legacy else "wrapped.pt"]["optimizer"] = [
        entry(n, t) for n, t in optimizer_tensors(adam)]

torch.save({"model": model, "epoch": 1}, "module.pt")
expect("module.pt", model.state_dict().items(), kind="stateDict", metadata={"class": "__main__.Doubled", "epoch": 1})

# Other containers

nested = {"netG": {"conv": {"weight": torch.randn(2)}, 0: torch.ones(1)}, "netD": {"weight": torch.randn(3)}}
save("nested.pt", nested, [
    ("netG.conv.weight", nested["netG"]["conv"]["weight"]), ("netG.0", nested["netG"][0]),
    ("netD.weight", nested["netD"]["weight"])])
listed = [torch.randn(2), (torch.ones(1), {"x": torch.zeros(3)})]
save("list.pt", listed, [("0", listed[0]), ("1.0", listed[1][0]), ("1.1.x", listed[1][1]["x"])], kind="other")
save("tensor.pt", base, [("tensor", base)], kind="other")
save("opaque.pt", {"weight": base, "config": Opaque("tensors beside"), "when": datetime.datetime(2020, 1, 2)},
     [("weight", base)], metadata={"unexecuted": ["__main__.Opaque", "datetime.datetime"]})
dataset = {"trainset": torch.utils.data.TensorDataset(torch.randn(4, 2), torch.arange(4))}
save("dataset.pt", dataset, [(f"trainset.tensors.{i}", t) for i, t in enumerate(dataset["trainset"].tensors)],
     kind="other")

arrays = {
    "c": np.arange(6, dtype=np.float32).reshape(2, 3), "f": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big": np.arange(4, dtype=">i4"), "half": np.arange(3, dtype=np.float16), "bool": np.array([True, False]),
    "empty": np.zeros((0, 2), dtype=np.int8), "scalar": np.float32(1.5),
}
save("numpy.pt", arrays, [(k, v) for k, v in arrays.items() if k != "scalar"], metadata={"scalar": 1.5})

# Locations and protocols

torch.save({"w": base}, "cuda.pt")
located = pathlib.Path("cuda.pt").read_bytes()
source = zipfile.ZipFile(io.BytesIO(located))
with zipfile.ZipFile("cuda.pt", "w") as target:
    for info in source.infolist():
        data = source.read(info)
        if info.filename.endswith("/data.pkl"):
            data = data.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
        compress = zipfile.ZIP_DEFLATED if "/data/" in info.filename else zipfile.ZIP_STORED
        target.writestr(zipfile.ZipInfo(info.filename, (1980, 1, 1, 0, 0, 0)), data, compress_type=compress)
expect("cuda.pt", [("w", base)], kind="stateDict")

torch.save(views, "buffer.tmp")
for protocol in (1, 3, 4, 5):
    pathlib.Path(f"protocol{protocol}.pt").write_bytes(repickled("buffer.tmp", protocol))
    assert list(torch.load(f"protocol{protocol}.pt", weights_only=False)) == list(views)
    expect(f"protocol{protocol}.pt", views.items(), kind="stateDict")
torch.save({"w": base, "a": arrays["c"], "n": np.float64(0.5)}, "numpy5.pt", pickle_protocol=5)
expect("numpy5.pt", [("w", base), ("a", arrays["c"])], kind="stateDict", metadata={"n": 0.5})
torch.save({"w": base, "a": arrays["c"]}, "legacy4.pt", pickle_protocol=4, _use_new_zipfile_serialization=False)
expect("legacy4.pt", [("w", base), ("a", arrays["c"])], kind="stateDict")
pathlib.Path("buffer.tmp").unlink()

# Most significant byte first: the same archive with the bytes of each element reversed.
big = {"w": base, "h": torch.tensor([1.0, -2.0], dtype=torch.float16), "z": torch.tensor([1 + 2j]),
       "b": torch.tensor([True])}
torch.save(big, "big_endian.pt")
widths = {"0": 4, "1": 2, "2": 4, "3": 1}
source = zipfile.ZipFile(io.BytesIO(pathlib.Path("big_endian.pt").read_bytes()))
with zipfile.ZipFile("big_endian.pt", "w") as target:
    for info in source.infolist():
        data = source.read(info)
        if info.filename.endswith("/byteorder"):
            data = b"big"
        if "/data/" in info.filename:
            width = widths[info.filename.rsplit("/", 1)[1]]
            data = np.frombuffer(data, np.uint8).reshape(-1, width)[:, ::-1].tobytes()
        target.writestr(zipfile.ZipInfo(info.filename, (1980, 1, 1, 0, 0, 0)), data)
for name, tensor in torch.load("big_endian.pt").items():
    assert torch.equal(tensor, big[name])
expect("big_endian.pt", big.items(), kind="stateDict")

# What is not read

odd = {"weight": base, "sparse": torch.eye(2).to_sparse(), "meta": torch.empty(2, device="meta"),
       "quantised": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
       "chalf": torch.zeros(2, dtype=torch.complex32)}
save("unread.pt", odd, [("weight", base)], skipped=["sparse", "meta", "quantised", "chalf"])

# TorchScript

scripted = torch.jit.script(Doubled().eval())


class Shared(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = torch.nn.ModuleList([torch.nn.Conv2d(1, 2, 3), torch.nn.Conv2d(2, 2, 3, bias=False)])
        self.again = self.blocks[0]
        self.loose = torch.ones(3)
        self.names = ["a", "b"]

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x + torch.tensor([2.0]) + self.loose[0]


def script(file, module):
    torch.jit.save(module, file)
    loaded = torch.jit.load(file)
    named = list(loaded.named_parameters(remove_duplicate=False)) + list(loaded.named_buffers(remove_duplicate=False))
    rows = dict(named)
    order = list(loaded.state_dict())
    assert sorted(order) == sorted(rows), (order, list(rows))
    expect(file, [(n, rows[n]) for n in order], kind="torchscript")


script("script.pt", scripted)
script("script_shared.pt", torch.jit.script(Shared()))
script("traced.pt", torch.jit.trace(Doubled().eval(), torch.randn(1, 3)))
torch.jit.save(torch.jit.freeze(torch.jit.script(Doubled().eval())), "frozen.pt")

pathlib.Path("oracle.json").write_text(json.dumps(oracle, indent=1) + "\n")
