"""Writes the GGUF fixtures and decodes them with the gguf package. Run in this folder; needs gguf, numpy."""

import sys

sys.path.insert(0, "..")
import gguf
import numpy as np
import oracle
from gguf import GGMLQuantizationType as Q

rng = np.random.default_rng(0)
writer = gguf.GGUFWriter("types.gguf", "llama")
writer.add_uint32("zoo.count", 7)
writer.add_int64("zoo.negative", -5)
writer.add_uint64("zoo.huge", 2**64 - 1)
writer.add_float32("zoo.rate", 0.5)
writer.add_bool("zoo.flag", True)
writer.add_string("zoo.text", "grüße")
writer.add_array("zoo.list", [1, 2, 3])
writer.add_array("zoo.tokens", [f"token{i}" for i in range(1500)])
writer.add_array("zoo.scores", [float(i) for i in range(1200)])
records = []
for name, dtype in [("f32", "f4"), ("f16", "f2"), ("f64", "f8"), ("i8", "i1"), ("i16", "i2"), ("i32", "i4"), ("i64", "i8")]:
    array = (rng.normal(size=(3, 2, 4)) * 5).astype(dtype)
    writer.add_tensor(f"plain.{name}", array)
    records.append(oracle.record(f"plain.{name}", array))


def blocks(kind, count):
    """Random packed bytes with ordinary scales (a random half may be NaN)."""
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    data = rng.integers(0, 256, size=(count, size), dtype=np.uint8)
    scale = {Q.Q2_K: [80, 82], Q.Q3_K: [108], Q.Q6_K: [208]}.get(kind, [0, 2])
    for at in scale if kind not in (Q.Q4_0, Q.Q5_0, Q.Q8_0) else [0]:
        data[:, at : at + 2] = rng.normal(size=(count, 1)).astype("f2").view(np.uint8)
    return data


for kind in [Q.BF16, Q.Q4_0, Q.Q4_1, Q.Q5_0, Q.Q5_1, Q.Q8_0, Q.Q2_K, Q.Q3_K, Q.Q4_K, Q.Q5_K, Q.Q6_K]:
    name = f"packed.{kind.name.lower()}"
    if kind == Q.BF16:
        packed = gguf.quants.quantize(rng.normal(size=(2, 8)).astype("f4"), kind)
        record = {"name": name, "dtype": "bfloat16", "shape": [2, 8], "digest": oracle.digest(packed.tobytes())}
        raw = packed
    else:
        raw = blocks(kind, 4)
        values = gguf.quants.dequantize(raw, kind).reshape(2, -1)
        record = oracle.record(name, values)
        raw = raw.reshape(2, -1)
    writer.add_tensor(name, raw, raw_dtype=kind)
    records.append(record)
writer.add_tensor("refused.iq4", blocks(Q.IQ4_NL, 2).reshape(2, -1), raw_dtype=Q.IQ4_NL)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
oracle.save(".", {"types.gguf": records})

small = gguf.GGUFWriter("small.gguf", "test")
small.add_tensor("a.weight", np.arange(6, dtype="f4").reshape(2, 3))
small.add_tensor("b.q8_0", gguf.quants.quantize(rng.normal(size=(1, 32)).astype("f4"), Q.Q8_0), raw_dtype=Q.Q8_0)
small.write_header_to_file()
small.write_kv_data_to_file()
small.write_tensors_to_file()
small.close()
