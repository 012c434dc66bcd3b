"""The peer of `zoo index`: a Python loop of zipfile + json + torch.load(weights_only=True).

It records what the catalog records of each checkpoint (names, shapes, dtypes) and every line of result.json.
Prints one JSON object: seconds (imports not counted), models, checkpoints, tensors.
"""

import io
import json
import sys
import time
import zipfile

import torch


def index(path):
    models, checkpoints, tensors = {}, [], 0
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            folder, _, name = info.filename.rpartition("/")
            if name == "params.json":
                models.setdefault(folder, {})["config"] = json.loads(archive.read(info))
            elif name == "result.json":
                lines = archive.read(info).splitlines()
                models.setdefault(folder, {})["results"] = [json.loads(line) for line in lines]
            elif name == "checkpoints":
                state = torch.load(io.BytesIO(archive.read(info)), map_location="cpu", weights_only=True)
                rows = [(key, tuple(value.shape), str(value.dtype)) for key, value in state.items()]
                tensors += len(rows)
                checkpoints.append((info.filename, rows))
    return models, checkpoints, tensors


if __name__ == "__main__":
    torch.set_num_threads(1)
    times = []
    for _ in range(int(sys.argv[2]) if len(sys.argv) > 2 else 3):
        start = time.perf_counter()
        models, checkpoints, tensors = index(sys.argv[1])
        times.append(time.perf_counter() - start)
    print(json.dumps({"seconds": min(times), "models": len(models), "checkpoints": len(checkpoints), "tensors": tensors}))
