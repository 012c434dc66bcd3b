"""Trace of the Hessian of a ResNet-18 of width 64 on 32 x 32 images: PyHessian's products one by one, and `zoo landscape
--trace hutch++` (60 products, four a run) as a whole process, in the same run; prints seconds per product and the ratio.

    python -m pip install --no-deps pyhessian==0.1
    python Benchmarks/peers/landscape_resnet.py [ZOO] [SAMPLES]

Random weights and images; batch norm in evaluation mode; both use two threads. Zoo's seconds hold everything, from start to
printed table; PyHessian's leave out imports and the gradient that it keeps.
"""
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

import torchvision
from safetensors.torch import save_file

from pyhessian import hessian

ZOO = sys.argv[1] if len(sys.argv) > 1 else ".build/release/zoo"
SAMPLES = int(sys.argv[2]) if len(sys.argv) > 2 else 16


def main():
    torch.manual_seed(0)
    torch.set_num_threads(2)
    net = torchvision.models.resnet18(num_classes=10)
    net.conv1 = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    net.maxpool = torch.nn.Identity()
    net.eval()
    x, y = torch.randn(SAMPLES, 3, 32, 32), torch.randint(0, 10, (SAMPLES,))
    found = hessian(net, torch.nn.CrossEntropyLoss(), data=(x, y), cuda=False)
    start = time.perf_counter()
    trace = found.trace(maxIter=6, tol=0)
    peer = (time.perf_counter() - start) / len(trace)
    with tempfile.TemporaryDirectory() as work:
        save_file({k: v.contiguous() for k, v in net.state_dict().items()}, f"{work}/model.safetensors")
        save_file({"x_train": x, "y_train": y}, f"{work}/data.safetensors")
        command = [ZOO, "landscape", f"{work}/model.safetensors", "--data", f"{work}/data.safetensors:train", "--quiet",
                   "--json", "--jobs", "2", "--metrics"]
        start = time.perf_counter()
        subprocess.run(command + ["loss"], check=True, capture_output=True)
        base = time.perf_counter() - start
        start = time.perf_counter()
        subprocess.run(command + ["hessian_trace", "--trace", "hutch++"], check=True, capture_output=True)
        spent = time.perf_counter() - start
    products = 60
    own = spent / products
    print(f"PyHessian {peer:.2f} s a product ({len(trace)} products); zoo {own:.2f} s a product ({products} products in "
          f"{spent:.1f} s, start-up of {base:.1f} s included), {peer / own:.2f} times")


if __name__ == "__main__":
    main()
