"""The PyTorch side of kernel-benchmark: one case per line on standard input, seconds of its best run on standard output.

A line is `KIND NUMBERS...`; the same case is timed again each time it is asked for, so that both sides alternate.
"""

import sys
import time

import torch
import torch.nn.functional as F

torch.set_num_threads(1)
torch.manual_seed(0)
backward = torch.ops.aten.convolution_backward


def convolution(kind, images, ins, outs, size, kernel, padding):
    x, w, b = torch.randn(images, ins, size, size), torch.randn(outs, ins, kernel, kernel), torch.randn(outs)
    dy = torch.randn_like(F.conv2d(x, w, b, padding=padding))
    if kind == "conv":
        return lambda: F.conv2d(x, w, b, padding=padding)
    mask = [kind == "conv-input", kind == "conv-weight", kind == "conv-weight"]
    return lambda: backward(dy, x, w, [outs], [1, 1], [padding] * 2, [1, 1], False, [0, 0], 1, mask)


def linear(kind, samples, ins, outs):
    x, w, b, dy = torch.randn(samples, ins), torch.randn(outs, ins), torch.randn(outs), torch.randn(samples, outs)
    if kind == "linear":
        return lambda: F.linear(x, w, b)
    return (lambda: dy @ w) if kind == "linear-input" else lambda: (dy.T @ x, dy.sum(0))


def elementwise(kind, count):
    x, g, y = torch.randn(count), torch.randn(count), torch.empty(count)
    aten = torch.ops.aten
    return {
        "exp": lambda: torch.exp(x, out=y),
        "tanh": lambda: torch.tanh(x, out=y),
        "sigmoid": lambda: torch.sigmoid(x, out=y),
        "gelu": lambda: F.gelu(x),
        "gelu-gradient": lambda: aten.gelu_backward(g, x),
        "silu": lambda: F.silu(x),
        "log": lambda: torch.log(x, out=y),
        "erf": lambda: torch.erf(x, out=y),
        "sin": lambda: torch.sin(x, out=y),
    }[kind]


def other(kind, n):
    aten = torch.ops.aten
    if kind == "max-pool":
        x = torch.randn(n[0], n[1], n[2], n[2])
        return lambda: F.max_pool2d(x, 2)
    if kind == "cross-entropy":
        x, labels = torch.randn(n[0], n[1]), torch.randint(n[1], (n[0],))

        def run():
            logs = torch.log_softmax(x, 1)
            F.nll_loss(logs, labels)
            return logs.exp()

        return run
    if kind == "layer-norm":
        x, gamma, beta = torch.randn(n[0], n[1]), torch.randn(n[1]), torch.randn(n[1])
        return lambda: F.layer_norm(x, (n[1],), gamma, beta)
    if kind == "layer-norm-gradient":
        x, gamma, beta, dy = torch.randn(n[0], n[1]), torch.randn(n[1]), torch.randn(n[1]), torch.randn(n[0], n[1])
        _, mean, rstd = aten.native_layer_norm(x, [n[1]], gamma, beta, 1e-5)
        return lambda: aten.native_layer_norm_backward(dy, x, [n[1]], mean, rstd, gamma, beta, [True] * 3)
    if kind == "softmax-rows":
        x = torch.randn(n[0], n[1])
        return lambda: torch.softmax(x * 0.125, 1)
    if kind == "batch-moments":
        x = torch.randn(n[0], n[1], n[2], n[2])
        return lambda: torch.var_mean(x, (0, 2, 3), correction=0)
    dtype = {"mean-f32": torch.float32, "mean-bf16": torch.bfloat16, "mean-f16": torch.float16}[kind]
    inputs = [torch.randn(n[1]).to(dtype) for _ in range(n[0])]

    def mean():
        total = inputs[0].float()
        total = total.clone() if total is inputs[0] else total
        for one in inputs[1:]:
            total.add_(one)
        return total.div_(n[0]).to(dtype)

    return mean


def build(kind, n):
    if kind.startswith("conv"):
        return convolution(kind, *n)
    if kind.startswith("linear"):
        return linear(kind, *n)
    return elementwise(kind, n[0]) if len(n) == 1 else other(kind, n)


def best_of(run, seconds):
    best, end, repeat = float("inf"), time.perf_counter() + seconds, 1
    with torch.no_grad():
        while time.perf_counter() < end:
            start = time.perf_counter()
            for _ in range(repeat):
                run()
            spent = time.perf_counter() - start
            best = min(best, spent / repeat)
            if spent < 2e-4:
                repeat *= 2
    return best


def main():
    print(f"PyTorch {torch.__version__}", flush=True)
    name, case = None, None
    for line in sys.stdin:
        kind, seconds, *numbers = line.split()
        if (kind, numbers) != name:
            name, case = (kind, numbers), build(kind, [int(v) for v in numbers])
        print(best_of(case, float(seconds)), flush=True)


if __name__ == "__main__":
    main()
