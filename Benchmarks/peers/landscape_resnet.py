"""Top eigenvalue and trace of the Hessian of a ResNet-18 of width 64 on 32 x 32 images, PyHessian and `zoo landscape` in the
same run; prints seconds per product, the whole time, and the ratios.

    python -m pip install --no-deps pyhessian==0.1
    python Benchmarks/peers/landscape_resnet.py [ZOO] [SAMPLES] [PRODUCTS] [LIMIT]

The same estimators on both sides: power iteration and Hutchinson's trace with PyHessian's stopping rules, at most PRODUCTS
products with the Hessian for each; products are counted. Random weights and images, 64 of them unless said otherwise; batch
norm in evaluation mode; two threads each. Zoo's seconds are those of the whole process, from start to printed table, and
those less the same process measuring the loss alone; PyHessian's are those of its three calls, imports left out. At last
`zoo landscape` does the work by its own rules (Lanczos, and the trace beside it), with LIMIT products at most for each.
"""
import json
import re
import subprocess
import sys
import tempfile
import time

import torch

# The CPU build of torch may lack torchvision's compiled detection operators; only its networks are needed here.
if not hasattr(torch.ops.torchvision, "nms"):
    detection = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        detection.define(operator + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import pyhessian
import torchvision
from safetensors.torch import save_file

ZOO = sys.argv[1] if len(sys.argv) > 1 else ".build/release/zoo"
SAMPLES = int(sys.argv[2]) if len(sys.argv) > 2 else 64
PRODUCTS = int(sys.argv[3]) if len(sys.argv) > 3 else 6
LIMIT = int(sys.argv[4]) if len(sys.argv) > 4 else 16
counted = {"products": 0, "seconds": 0.0}


def counting(function):
    def product(*arguments):
        start = time.perf_counter()
        result = function(*arguments)
        counted["products"] += 1
        counted["seconds"] += time.perf_counter() - start
        return result
    return product


def zoo(command, *more):
    """Seconds of the process, its rows by metric, and the products that each took."""
    start = time.perf_counter()
    done = subprocess.run(command + list(more), check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    counts = {name: int(number) for name, number in re.findall(r": (\w+) took (\d+) products", done.stderr)}
    return seconds, {row["metric"]: row for row in json.loads(done.stdout)}, counts


def main():
    torch.manual_seed(0)
    torch.set_num_threads(2)
    net = torchvision.models.resnet18(num_classes=10)
    net.conv1 = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    net.maxpool = torch.nn.Identity()
    net.eval()
    x, y = torch.randn(SAMPLES, 3, 32, 32), torch.randint(0, 10, (SAMPLES,))
    # The package has a class of the module's name in the module's place.
    module = sys.modules["pyhessian.hessian"]
    module.hessian_vector_product = counting(module.hessian_vector_product)
    start = time.perf_counter()
    found = module.hessian(net, torch.nn.CrossEntropyLoss(), data=(x, y), cuda=False)
    values, _ = found.eigenvalues(maxIter=PRODUCTS)
    power = counted["products"]
    trace = found.trace(maxIter=PRODUCTS)
    peer = time.perf_counter() - start
    products = counted["products"]
    del found
    print(f"PyHessian, {SAMPLES} images: {power} + {products - power} products in {peer:.1f} s, "
          f"{counted['seconds'] / products:.3f} s a product; top {values[0]:.4g}, trace {sum(trace) / len(trace):.4g}",
          flush=True)
    with tempfile.TemporaryDirectory() as work:
        save_file({k: v.contiguous() for k, v in net.state_dict().items()}, f"{work}/model.safetensors")
        save_file({"x_train": x, "y_train": y}, f"{work}/data.safetensors")
        command = [ZOO, "landscape", f"{work}/model.safetensors", "--data", f"{work}/data.safetensors:train", "--verbose",
                   "--json", "--jobs", "2"]
        base, _, _ = zoo(command, "--metrics", "loss")
        whole, rows, counts = zoo(command, "--metrics", "hessian_power,hessian_trace", "--trace", "pyhessian", "--most-products",
                          str(PRODUCTS))
        own = [counts["hessian_power"], counts["hessian_trace"]]
        each = (whole - base) / sum(own)
        print(f"zoo, the same estimators: {own[0]} + {own[1]} products in {whole:.1f} s ({base:.1f} s of them to start and "
              f"read), {each:.3f} s a product; top {rows['hessian_power']['value']:.4g}, trace "
              f"{rows['hessian_trace']['value']:.4g}", flush=True)
        print(f"PyHessian / zoo: {counted['seconds'] / products / each:.2f} a product, "
              f"{(peer / products) / (whole / sum(own)):.2f} with everything", flush=True)
        whole, rows, counts = zoo(command, "--metrics", "hessian_top,hessian_trace", "--most-products", str(LIMIT))
        top, trace = rows["hessian_top"], rows["hessian_trace"]
        print(f"zoo, its own rules: {counts['hessian_top']} + {counts['hessian_trace']} products in {whole:.1f} s; top {top['value']:.4g} "
              f"(bound {top['error']:.2g}), trace {trace['value']:.4g} (standard error {trace['error']:.2g})")


if __name__ == "__main__":
    main()
