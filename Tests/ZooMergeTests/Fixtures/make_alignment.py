"""Writes alignment.json: linear assignments solved by SciPy.

Run with SciPy 1.17: python make_alignment.py. Costs are made by the same SplitMix64 sequence as in the tests
(SeededGenerator), top 53 bits over 2^53, so only seeds and results are stored.
"""
import json
import pathlib

import numpy as np
from scipy.optimize import linear_sum_assignment

MASK = (1 << 64) - 1


def splitmix(seed, count):
    state, out = seed, []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        out.append(((z ^ (z >> 31)) >> 11) / 2**53)
    return out


cases = []
for seed, size, levels in [(1, 12, 0), (2, 33, 0), (3, 64, 0), (4, 100, 0), (5, 40, 5), (6, 80, 3), (7, 200, 0)]:
    costs = np.array(splitmix(seed, size * size)).reshape(size, size)
    if levels:  # many equal costs
        costs = np.floor(costs * levels)
    rows, columns = linear_sum_assignment(costs)
    cases.append({"seed": seed, "size": size, "levels": levels, "total": float(costs[rows, columns].sum()),
                  "columns": None if levels else columns.tolist()})
pathlib.Path(__file__).with_name("alignment.json").write_text(json.dumps({"assignments": cases}, indent=1) + "\n")
