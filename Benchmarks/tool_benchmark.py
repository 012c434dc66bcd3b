"""Times the `zoo` tool beside what a user would run instead, both in this run, and prints a Markdown table.

    Benchmarks/run.sh .build/release/zoo tool

Rounds alternate between the two, so that a machine that slows down slows both; the smallest time of each counts.
ZOO_BENCH_BYTES sets the size of the files to average (default 500,000,000).
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
ZOO = sys.argv[1]


def seconds(command, **options):
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
    return time.perf_counter() - start


def reported(command):
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(output)["seconds"]


def peak_kilobytes(command):
    # From a small process of its own: a child inherits the high-water mark of the process that starts it.
    code = """
import os, sys
command = sys.argv[1:]
null = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_WRONLY, 0) for fd in (1, 2)]
child = os.posix_spawn(command[0], command, os.environ, file_actions=null)
_, status, usage = os.wait4(child, 0)
assert status == 0, command
print(usage.ru_maxrss)
"""
    return int(subprocess.run([sys.executable, "-c", code, *command], check=True, capture_output=True, text=True).stdout)


def row(work, zoo, peer, note=""):
    print(f"| {work} | {zoo * 1000:,.1f} ms | {peer * 1000:,.1f} ms | {peer / zoo:.1f} | {note} |", flush=True)


def many_trials(source, target, copies):
    """A zip with `copies` times the trials of another one, under new names."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for copy in range(copies):
            for info in old.infolist():
                if "NN_tune_trainable_" in info.filename and not info.is_dir():
                    name = info.filename.replace("NN_tune_trainable_", f"NN_tune_trainable_{copy:03}_")
                    new.writestr(name, old.read(info))


def index_rows(folder):
    sample = ROOT / "zoos/digits-cnn.zip"
    large = folder / "large.zip"
    many_trials(sample, large, 10)
    for path, label, rounds in ((sample, "452 checkpoints", 5), (large, "4,520 checkpoints", 2)):
        zoo, peer = [], []
        for _ in range(rounds):
            for stale in folder.glob("index.sqlite*"):
                stale.unlink()
            command = [ZOO, "index", str(path), "--catalog", str(folder / "index.sqlite"), "--json", "--quiet"]
            zoo.append(reported(command))
            peer.append(reported([sys.executable, str(ROOT / "Benchmarks/peers/index_zoo.py"), str(path), "1"]))
        row(f"index a zip of {label}", min(zoo), min(peer),
            "zipfile + json + torch.load, imports not counted; Zoo also hashes, checks for NaN and writes a catalog")


def read_and_sum(paths):
    """What the hardware gives: the same bytes, mapped and summed by C."""
    code = r"""
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
int main(int c, char **v) {
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    const float *p[64];
    size_t bytes = 0;
    for (int i = 1; i < c; i++) {
        struct stat s;
        int f = open(v[i], O_RDONLY);
        fstat(f, &s);
        bytes = s.st_size;
        p[i - 1] = mmap(0, bytes, PROT_READ, MAP_PRIVATE, f, 0);
    }
    float *out = malloc(1 << 20), kept = 0;
    for (size_t k = 0, n = bytes / 4; k < n; k += 1 << 18) {
        size_t e = n - k < (1 << 18) ? n - k : (1 << 18);
        for (size_t i = 0; i < e; i++) {
            float t = 0;
            for (int j = 0; j < c - 1; j++) t += p[j][k + i];
            out[i] = t;
        }
        kept += out[e / 2];
    }
    clock_gettime(CLOCK_MONOTONIC, &b);
    fprintf(stderr, "%g\n", kept);
    printf("{\"seconds\": %f}\n", (b.tv_sec - a.tv_sec) + 1e-9 * (b.tv_nsec - a.tv_nsec));
}
"""
    program = paths[0].parent / "read_and_sum"
    subprocess.run(["cc", "-O3", "-march=native", "-x", "c", "-", "-o", str(program)], input=code, text=True, check=True)
    return lambda: reported([str(program), *map(str, paths)])


def average_rows(folder):
    import numpy as np
    from safetensors.numpy import save_file

    size = int(os.environ.get("ZOO_BENCH_BYTES", 500_000_000))
    generator = np.random.default_rng(0)
    base = generator.standard_normal(size // 40, dtype=np.float32)
    paths = []
    for model in range(8):
        tensors = {f"layers.{layer}.weight": base * np.float32(1 + 0.01 * model + 0.1 * layer) for layer in range(10)}
        paths.append(folder / f"model{model}.safetensors")
        save_file(tensors, paths[-1])
    del tensors
    raw = read_and_sum(paths)
    peer_script = str(ROOT / "Benchmarks/peers/average.py")
    command = [ZOO, "average", *map(str, paths), "--to", str(folder / "zoo.safetensors"), "--quiet", "--json"]
    zoo, peer, floor = [], [], []
    for _ in range(3):
        zoo.append(seconds(command))
        peer.append(seconds([sys.executable, peer_script, str(folder / "numpy.safetensors"), *map(str, paths)]))
        floor.append(raw())
    memory = peak_kilobytes(command) / 1000
    row(f"average 8 × {size / 1e6:.0f} MB, written and synced", min(zoo), min(peer),
        f"NumPy whole process, not synced; Zoo's peak RSS {memory:.0f} MB")
    shared = pathlib.Path("/dev/shm")
    if shared.is_dir() and os.statvfs(shared).f_bavail * os.statvfs(shared).f_frsize > 3 * size:
        target = shared / "zoo-benchmark.safetensors"
        command[command.index("--to") + 1] = str(target)
        try:
            memory_times = [seconds(command) for _ in range(3)]
            row(f"average 8 × {size / 1e6:.0f} MB, output in memory", min(memory_times), min(floor),
                "a C loop that maps and sums the same bytes on one thread and writes nothing; 1.0 is its speed")
        finally:
            target.unlink(missing_ok=True)


def start_rows(folder):
    catalog = folder / "small.sqlite"
    seconds([ZOO, "index", str(ROOT / "zoos/digits-cnn.zip"), "--catalog", str(catalog)])
    query = [ZOO, "query", "lr < 0.01 and epoch = last", "--limit", "5", "--catalog", str(catalog)]
    for command, label in (([ZOO, "--help"], "zoo --help"), (query, "zoo query on a small catalog")):
        print(f"| {label} | {min(seconds(command) for _ in range(20)) * 1000:.1f} ms | – | – | whole process |", flush=True)


def main():
    print("| work | Zoo | peer | peer ÷ Zoo | |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as name:
        folder = pathlib.Path(name)
        start_rows(folder)
        index_rows(folder)
        average_rows(folder)


main()
