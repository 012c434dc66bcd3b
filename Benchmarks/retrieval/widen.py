"""Repeats the models of a retrieval index under new names until there are COUNT: an index to time queries on.

    python3 Benchmarks/retrieval/widen.py INDEX OUTPUT COUNT
    zoo retrieve query --index OUTPUT --data digits-retrieval:test --classes 1,3,5,8 --shots 5 --json | grep milliseconds
"""
import json, random, struct, sys

source, target, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
with open(source, "rb") as file:
    size = struct.unpack("<Q", file.read(8))[0]
    table = json.loads(file.read(size))
    data = file.read()
metadata = table.pop("__metadata__")
header = json.loads(metadata["zoo.retrieval"])
part = lambda name: data[table[name]["data_offsets"][0]:table[name]["data_offsets"][1]]
models, width = header["models"], header["embedding"]
old = len(models)
vectors = struct.unpack(f"<{old * width}f", part("vectors"))
draw, rows, answers = random.Random(0), [], []
for place in range(count):
    base = place % old
    row = list(vectors[base * width:(base + 1) * width])
    model = dict(models[base])
    if place >= old:
        row = [x + draw.gauss(0, 0.05) for x in row]
        norm = sum(x * x for x in row) ** 0.5
        row = [x / norm for x in row]
        model["name"] += f" copy {place}"
        model["selector"], model["checkpoint"] = "", None
    rows.append(model)
    answers.append((f"answers.{place:07d}", f"answers.{base:07d}", row))
header["models"] = rows
blocks = [(name, table[name]["dtype"], table[name]["shape"], part(name)) for name in table
          if name != "vectors" and not name.startswith("answers.")]
blocks.append(("vectors", "F32", [count, width], b"".join(struct.pack(f"<{width}f", *row) for _, _, row in answers)))
blocks += [(new, table[old_]["dtype"], table[old_]["shape"], part(old_)) for new, old_, _ in answers]
offset, entries = 0, {"__metadata__": {"format": "zoo", "zoo.retrieval": json.dumps(header)}}
for name, dtype, shape, block in blocks:
    entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(block)]}
    offset += len(block)
text = json.dumps(entries).encode()
text += b" " * (-len(text) % 8)
with open(target, "wb") as file:
    file.write(struct.pack("<Q", len(text)) + text)
    for *_, block in blocks:
        file.write(block)
