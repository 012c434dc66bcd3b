"""Few shots and adaptation on zoos/digits-tasks: every task in turn is new, the other eight vectors are composed.

    python Benchmarks/experiments/atlas_tasks.py .build/release/zoo [--seeds 5] [--tasks mirror,dim,...]

Prints test accuracy in percent per task and the means: zero-shot; 1, 2, 4, 8, 16 shots (coefficients chosen on the
task's validation images, shots drawn by seed); adaptation to the unlabelled test images by entropy and UFM.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))
ZOO = "zoos/digits-tasks"
DATA = f"{ZOO}/data/zoo_c_data.safetensors"
NAMES = ["rot90", "rot180", "mirror", "invert", "dim", "shift", "occlude", "noise", "subset"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("zoo")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tasks", default=",".join(NAMES[:8]))
    arguments = parser.parse_args()

    def compose(task, *options, seed=0):
        command = [os.path.realpath(arguments.zoo), "compose", f"{ZOO}/pretrained.safetensors",
                   *(f"{ZOO}/tasks/{n}.safetensors" for n in NAMES), "--exclude", task, "--json", "--quiet",
                   "--seed", str(seed), *options]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)}\n{done.stderr}")
        return json.loads(done.stdout)["methods"]

    shots = [1, 2, 4, 8, 16]
    heads = ["zero-shot", *(f"{k} shots" for k in shots), "entropy", "ufm"]
    print(f"{'task':10}" + "".join(f"{h:>14}" for h in heads))
    rows, by_seed = [], {h: [[] for _ in range(arguments.seeds)] for h in heads}
    for task in arguments.tasks.split(","):
        values = {h: [] for h in heads}
        for seed in range(arguments.seeds):
            few = compose(task, "--data", f"{DATA}:{task}.train", "--validation", f"{DATA}:{task}.val", "--shots",
                          ",".join(map(str, shots)), seed=seed)
            values["zero-shot"].append(few[0]["mean_test"])
            for row in few[1:]:
                values[f"{row['shots']} shots"].append(row["mean_test"])
            for objective in ["entropy", "ufm"]:
                found = compose(task, "--data", f"{DATA}:{task}.test", "--objective", objective, "--rate", "1e-2",
                                "--strong", "noise=0.05", "--ufm-exponent", "0.5", seed=seed)
                values[objective].append(found[-1]["mean_test"])
        for h in heads:
            for seed, v in enumerate(values[h]):
                by_seed[h][seed].append(100 * v)
        rows.append([100 * statistics.mean(values[h]) for h in heads])
        print(f"{task:10}" + "".join(f"{v:14.1f}" for v in rows[-1]), flush=True)
    print(f"{'mean':10}" + "".join(f"{statistics.mean(c):14.1f}" for c in zip(*rows)))
    if arguments.seeds > 1:
        print(f"{'sd':10}" + "".join(
            f"{statistics.stdev([statistics.mean(s) for s in by_seed[h]]):14.1f}" for h in heads))


if __name__ == "__main__":
    main()
