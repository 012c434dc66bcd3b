"""Writes the HDF5 and Keras fixtures with h5py. Run in this folder; needs h5py, numpy.

Keras files have the groups, attributes and names that Keras 2 and 3 give them.
"""

import io
import json
import pathlib
import sys
import zipfile

sys.path.insert(0, "..")
import h5py
import numpy as np
import oracle

rng = np.random.default_rng(0)
files = {}


def normal(*shape, dtype="f4"):
    return (rng.normal(size=shape) * 3).astype(dtype)


# Plain: every element type and layout.
with h5py.File("types.h5", "w") as file:
    arrays = {}
    for code in ["<f4", "<f8", "<f2", ">f4", ">f8", ">i4", "i1", "u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<c8", "<c16"]:
        array = normal(3, 2, dtype=code) if "u" not in code else np.abs(normal(3, 2)).astype(code)
        arrays[f"numbers/{'big_' if '>' in code else ''}{np.dtype(code).name}"] = array
    arrays["numbers/bool"] = normal(3, 2) > 0
    arrays["scalar"] = np.float32(1.5)
    arrays["empty"] = np.zeros((0, 3), "f4")
    for name, array in arrays.items():
        file[name] = array
    packed = normal(50, 7)
    for name, options in {
        "packed/gzip": dict(compression="gzip", chunks=(8, 3)),
        "packed/shuffle": dict(compression="gzip", shuffle=True, chunks=(50, 7)),
        "packed/chunked": dict(chunks=(16, 7)),
        "packed/checked": dict(fletcher32=True, chunks=(10, 7)),
    }.items():
        file.create_dataset(name, data=packed, **options)
        arrays[name] = packed
    swapped = normal(5, 4, dtype=">f8")
    file.create_dataset("packed/swapped", data=swapped, compression="gzip")
    arrays["packed/swapped"] = swapped
    file.create_dataset("packed/never_written", shape=(3, 3), dtype="f4", fillvalue=2.0, chunks=(3, 3))
    arrays["packed/never_written"] = np.full((3, 3), 2.0, "f4")
    compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    compact.set_layout(h5py.h5d.COMPACT)
    space = h5py.h5s.create_simple((4,))
    small = np.arange(4, dtype="f4")
    h5py.h5d.create(file.id, b"compact", h5py.h5t.IEEE_F32LE, space, compact).write(h5py.h5s.ALL, h5py.h5s.ALL, small)
    arrays["compact"] = small
    file["refused/text"] = "hello"
    file["refused/texts"] = np.array([b"a", b"bc"])
    file["refused/compound"] = np.zeros(2, [("x", "f4"), ("y", "i4")])
    file.create_dataset("refused/lzf", data=packed, compression="lzf")
    file["refused/reference"] = np.array([file["scalar"].ref], dtype=h5py.ref_dtype)
    file["refused/nothing"] = h5py.Empty("f4")
    file["links/soft"] = h5py.SoftLink("/scalar")
    file["links/external"] = h5py.ExternalLink("/etc/passwd", "/")
    file["links/loop"] = file["links"]
    file.attrs["note"] = "plain"
    file.attrs["epoch"] = 12
    file.attrs["rate"] = 0.25
    file.attrs["list"] = [1, 2, 3]
    files["types.h5"] = [oracle.record(name, arrays[name]) for name in sorted(arrays)]

# After a user block, in the layouts that version 1.10 of the library brought.
with h5py.File("userblock.h5", "w", userblock_size=1024, libver=("v110", "v110")) as file:
    first, second = normal(4, 3), normal(6)
    file["a/weight"] = first
    file.create_dataset("a/zipped", data=second, compression="gzip")
    files["userblock.h5"] = [oracle.record("a/weight", first), oracle.record("a/zipped", second)]

# In order of creation.
with h5py.File("ordered.h5", "w", track_order=True) as file:
    values = {name: normal(2) for name in ["z", "a", "m"]}
    for name, value in values.items():
        file[name] = value
    files["ordered.h5"] = [oracle.record(name, value) for name, value in values.items()]


def keras2(file, layers, prefix=""):
    group = file.require_group(prefix) if prefix else file
    group.attrs["layer_names"] = np.array([layer.encode() for layer in layers])
    group.attrs["backend"] = "tensorflow"
    group.attrs["keras_version"] = "2.15.0"
    records = []
    for layer, weights in layers.items():
        inner = group.create_group(layer)
        inner.attrs["weight_names"] = np.array([name.encode() for name in weights])
        for name, value in weights.items():
            inner[name] = value
            records.append(oracle.record(name, value))
    return records


layers = {
    "input_1": {},
    "dense_10": {"dense_10/kernel:0": normal(4, 3), "dense_10/bias:0": normal(3)},
    "dense_2": {"dense_2/kernel:0": normal(3, 2), "dense_2/bias:0": normal(2)},
}
with h5py.File("keras2.h5", "w") as file:
    file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {"name": "tiny"}})
    files["keras2.h5"] = keras2(file, layers, "model_weights")
    optimizer = file.create_group("optimizer_weights")
    optimizer.attrs["weight_names"] = np.array([b"iterations:0"])
    optimizer["iterations:0"] = np.int64(5)
with h5py.File("keras2_weights.h5", "w") as file:
    files["keras2_weights.h5"] = keras2(file, layers)
# Two towers use one name; the list of layers is split as Keras splits long ones.
with h5py.File("keras2_shared.h5", "w") as file:
    left, right = normal(2), normal(2)
    file.attrs["layer_names0"] = np.array([b"left"])
    file.attrs["layer_names1"] = np.array([b"right"])
    for name, value in {"left": left, "right": right}.items():
        group = file.create_group(name)
        group.attrs["weight_names"] = np.array([b"kernel:0"])
        group["kernel:0"] = value
    files["keras2_shared.h5"] = [oracle.record("left/kernel:0", left), oracle.record("right/kernel:0", right)]


def keras3(file):
    values = {
        "layers/dense/vars/0": normal(4, 3), "layers/dense/vars/1": normal(3), "layers/dense_1/vars/0": normal(3, 2),
    }
    values |= {f"layers/many/vars/{i}": normal(2) for i in range(12)}
    for name, value in values.items():
        file[name] = value
    file["optimizer/vars/0"] = np.int64(3)
    return [oracle.record(name, value) for name, value in values.items()]


with h5py.File("keras3.weights.h5", "w") as file:
    files["keras3.weights.h5"] = keras3(file)
memory = io.BytesIO()
with h5py.File(memory, "w") as file:
    records = keras3(file)
for name, method in [("stored.keras", zipfile.ZIP_STORED), ("deflated.keras", zipfile.ZIP_DEFLATED)]:
    with zipfile.ZipFile(name, "w", method) as archive:
        for member, data in [
            ("metadata.json", json.dumps({"keras_version": "3.5.0"})),
            ("config.json", json.dumps({"class_name": "Sequential"})),
            ("model.weights.h5", memory.getvalue()),
        ]:
            archive.writestr(zipfile.ZipInfo(member), data, method)
    files[name] = records

with h5py.File("small.h5", "w") as file:
    file["w"] = np.arange(6, dtype="f4").reshape(2, 3)
    file.create_dataset("z", data=np.arange(8, dtype="f4"), compression="gzip")

# Files that attack a reader. None is read beyond its listing.
hostile = pathlib.Path("hostile")
hostile.mkdir(exist_ok=True)
with h5py.File(hostile / "external.h5", "w") as file:
    file.create_dataset("w", shape=(64,), dtype="u1", external=[("/etc/passwd", 0, 64)])
with h5py.File(hostile / "virtual.h5", "w") as file:
    layout = h5py.VirtualLayout(shape=(4,), dtype="f4")
    layout[:] = h5py.VirtualSource("/tmp/other.h5", "w", shape=(4,))
    file.create_virtual_dataset("w", layout)
with h5py.File(hostile / "unwritten.h5", "w") as file:
    file.create_dataset("chunked", shape=(10**6, 10**5), dtype="f4", chunks=(100, 100), compression="gzip")
    file.create_dataset("contiguous", shape=(10**6, 10**5), dtype="f4")
with h5py.File(hostile / "claims.h5", "w") as file:
    file.create_dataset("overflow", shape=(2**31, 2**31), maxshape=(None, None), dtype="f4", chunks=(1, 1))
with h5py.File(hostile / "deep.h5", "w", libver=("v110", "v110")) as file:
    group = file
    for _ in range(100):
        group = group.create_group("g")
    group["w"] = np.float32(1)
oracle.save(".", files)
