"""What the format fixtures' scripts share: the record of each tensor that the tests compare with."""

import json
import pathlib


def digest(data: bytes) -> str:
    """64-bit FNV-1a."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def record(name, array, dtype=None):
    """A row-major little-endian array as the tests see it."""
    import numpy as np

    array = np.asarray(array)
    little = array.astype(array.dtype.newbyteorder("<"))
    return {
        "name": name,
        "dtype": dtype or array.dtype.newbyteorder("=").name,
        "shape": list(array.shape),
        "digest": digest(little.tobytes(order="C")),
    }


def save(folder, files):
    """Writes `oracle.json`: file name -> list of records in the order a reader lists them."""
    path = pathlib.Path(folder) / "oracle.json"
    path.write_text(json.dumps(files, indent=1) + "\n")
