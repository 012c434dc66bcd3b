"""Times PyTorch eager on the engine benchmark's work; prints one JSON object of milliseconds.

    python engine_peer.py small|large|text|minilm
    python engine_peer.py memory resnet18|encoder|minilm     # peak resident bytes, and those before there was a network
"""

import json
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F


def median(action, repeats):
    for _ in range(max(1, repeats // 10)):
        action()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2] * 1e3


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 8, 5, padding=2), nn.MaxPool2d(2), nn.Tanh(),
        nn.Conv2d(8, 6, 5, padding=2), nn.Tanh(), nn.Conv2d(6, 4, 2), nn.Tanh(),
        nn.Flatten(), nn.Linear(36, 20), nn.Tanh(), nn.Linear(20, 10))


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.down = None
        if stride > 1 or inputs != outputs:
            self.down = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.down is None else self.down(x)))


def resnet(width):
    layers = [nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    inputs = width
    for stage in range(4):
        outputs = width << stage
        layers += [Block(inputs, outputs, 1 if stage == 0 else 2), Block(outputs, outputs, 1)]
        inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 10))


def small():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = cnn()
    parameters = list(model.parameters())
    optimizer = torch.optim.SGD(parameters, lr=1e-3)
    x, y = torch.randn(32, 1, 8, 8), torch.randint(0, 10, (32,))
    direction = [torch.randn_like(p) for p in parameters]

    def forward():
        with torch.no_grad():
            model(x)

    def step():
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()

    def product():
        gradient = torch.autograd.grad(F.cross_entropy(model(x), y), parameters, create_graph=True)
        torch.autograd.grad(gradient, parameters, grad_outputs=direction)

    return {"cnn_forward": median(forward, 500), "cnn_step": median(step, 300), "cnn_hvp": median(product, 200)}


def on_threads(name, gradient):
    result = {}
    for threads in (1, 2):
        torch.set_num_threads(threads)
        result[f"{name}_{threads}_threads"] = median(gradient, 5)
    return result


def resnet18_gradient():
    model = resnet(64).eval()
    parameters = list(model.parameters())
    x, y = torch.randn(128, 3, 32, 32), torch.randint(0, 10, (128,))
    return lambda: torch.autograd.grad(F.cross_entropy(model(x), y), parameters)


class EncoderBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-12), nn.LayerNorm(width, eps=1e-12)

    def forward(self, x):
        n, t, w = x.shape
        q, k, v = (m(x).view(n, t, self.heads, -1).transpose(1, 2) for m in (self.query, self.key, self.value))
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, w)
        x = self.norm1(x + self.out(mixed))
        return self.norm2(x + self.down(F.gelu(self.up(x))))


def encoder_gradient():
    model = nn.Sequential(EncoderBlock(384, 12), EncoderBlock(384, 12))
    parameters = list(model.parameters())
    x = torch.randn(64, 64, 384)
    return lambda: torch.autograd.grad((model(x) - 0.1).square().mean(), parameters)


def minilm_gradient():
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=30522, hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)
    model = BertModel(config, add_pooling_layer=False).eval()
    parameters = list(model.parameters())
    ids = torch.arange(64 * 64).reshape(64, 64) * 7 % 10
    mask = torch.ones(64, 64, dtype=torch.long)

    def gradient():
        states = model(input_ids=ids, attention_mask=mask).last_hidden_state
        torch.autograd.grad((states - 0.1).square().mean(), parameters)

    return gradient


GRADIENTS = {"resnet18": resnet18_gradient, "encoder": encoder_gradient, "minilm": minilm_gradient}


def large():
    return on_threads("resnet18", resnet18_gradient())


def text():
    return on_threads("encoder", encoder_gradient())


def minilm():
    return on_threads("minilm", minilm_gradient())


def peak():
    """Not of getrusage: there a process starts with the peak of the one that made it."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) * 1024


def memory(name):
    torch.set_num_threads(1)
    if name == "minilm":
        import transformers  # noqa: F401  (its own memory is part of the start)
    start = peak()
    gradient = GRADIENTS[name]()
    for _ in range(2):
        gradient()
    return {"peak": peak(), "start": start}


torch.manual_seed(0)
if sys.argv[1] == "memory":
    print(json.dumps(memory(sys.argv[2])))
else:
    print(json.dumps({"small": small, "large": large, "text": text, "minilm": minilm}[sys.argv[1]]()))
