"""Writes the npy and npz fixtures with NumPy. Run in this folder; needs numpy."""

import io
import sys
import zipfile

sys.path.insert(0, "..")
import numpy as np
import oracle
from numpy.lib import format as npy

rng = np.random.default_rng(0)
arrays = {}
for code in ["?", "u1", "i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f2", "<f4", "<f8", "<c8", "<c16"]:
    values = rng.normal(size=(2, 3)) * 3
    arrays[f"t_{np.dtype(code).name}"] = values.astype(code) if code != "?" else values > 0
for code in [">i2", ">f4", ">f8", ">c8"]:
    arrays[f"big_{np.dtype(code).name}"] = (rng.normal(size=(2, 3)) * 3).astype(code)
arrays["fortran"] = np.asfortranarray(rng.normal(size=(3, 4, 2)).astype("f4"))
arrays["fortran_big"] = np.asfortranarray(rng.normal(size=(3, 4)).astype(">f8"))
arrays["row"] = np.asfortranarray(rng.normal(size=(1, 7)).astype("f4"))
arrays["scalar"] = np.float64(2.5)
arrays["empty"] = np.zeros((0, 3), "f4")
arrays["group/inner"] = np.arange(5)

files = {}
records = [oracle.record(name, array) for name, array in arrays.items()]
extra = {"text": np.array(["a", "bc"]), "objects": np.array([{}, None], dtype=object)}
np.savez("stored.npz", **arrays)
np.savez_compressed("deflated.npz", **arrays)
np.savez("refused.npz", weight=arrays["fortran"], **extra)
files["stored.npz"] = files["deflated.npz"] = records
files["refused.npz"] = [oracle.record("weight", arrays["fortran"])]

np.save("plain.npy", arrays["t_float32"])
np.save("fortran.npy", arrays["fortran"])
files["plain.npy"] = [oracle.record("plain", arrays["t_float32"])]
files["fortran.npy"] = [oracle.record("fortran", arrays["fortran"])]
for version in [(2, 0), (3, 0)]:
    name = f"version{version[0]}"
    with open(f"{name}.npy", "wb") as file:
        npy.write_array(file, arrays["t_float64"], version=version)
    files[f"{name}.npy"] = [oracle.record(name, arrays["t_float64"])]
oracle.save(".", files)
