"""The peers of `zoo average`: NumPy over mapped safetensors files.

Reads each file through a memory map, sums tensor by tensor, divides, writes one safetensors file (no sync).
Prints one JSON object: seconds.
"""

import json
import sys
import time

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file


def average(paths, output):
    files = [safe_open(path, framework="np") for path in paths]
    result = {}
    for name in files[0].keys():
        total = np.array(files[0].get_tensor(name), dtype=np.float32)
        for other in files[1:]:
            total += other.get_tensor(name)
        total /= len(files)
        result[name] = total
    save_file(result, output)


if __name__ == "__main__":
    start = time.perf_counter()
    average(sys.argv[2:], sys.argv[1])
    print(json.dumps({"seconds": time.perf_counter() - start}))
