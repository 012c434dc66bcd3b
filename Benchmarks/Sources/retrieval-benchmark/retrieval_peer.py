"""The search of retrieval-benchmark in NumPy: matmul over all vectors, argpartition, sort of what is left."""
import sys, time
import numpy as np

count, width, queries, top, runs = map(int, sys.argv[1:])
draw = np.random.default_rng(1)


def unit(n):
    x = draw.random((n, width), dtype=np.float32) * 2 - 1
    return x / np.linalg.norm(x, axis=1, keepdims=True)


vectors, asked = unit(count), unit(queries)


def nearest(q):
    scores = vectors @ q.T
    best = np.argpartition(-scores, top, axis=0)[:top]
    return np.take_along_axis(best, np.argsort(-np.take_along_axis(scores, best, 0), axis=0), 0)


single, batched = [], []
for run in range(runs):
    start = time.perf_counter()
    nearest(asked[run % queries][None])
    single.append(time.perf_counter() - start)
for _ in range(max(1, runs // 2)):
    start = time.perf_counter()
    for place in range(0, queries, 16):
        nearest(asked[place:place + 16])
    batched.append((time.perf_counter() - start) / queries)
print(f"  NumPy: one query {np.median(single) * 1e3:.1f} ms, each of {queries} {np.median(batched) * 1e3:.1f} ms")
