"""Writes batch_norm.safetensors: a small trained-looking residual network and its running statistics as PyTorch
recomputes them (momentum=None, one pass over 100 samples in batches of 32, 32, 32, 4, and in one batch).

Run with PyTorch 2.13: python make_batch_norm.py. Everything is computed in float64 and stored as float32.
"""
import pathlib

import torch
from safetensors.torch import save_file
from torch import nn

torch.manual_seed(7)


class Block(nn.Module):
    def __init__(self, width, out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(width, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.downsample = None
        if stride != 1 or width != out:
            self.downsample = nn.Sequential(nn.Conv2d(width, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.layer1 = nn.Sequential(Block(4, 4, 1))
        self.layer2 = nn.Sequential(Block(4, 8, 2))
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        x = self.layer2(self.layer1(torch.relu(self.bn1(self.conv1(x)))))
        return self.fc(x.mean((2, 3)))


net = Net().double()
with torch.no_grad():
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.copy_(torch.rand_like(module.weight) + 0.5)
            module.bias.copy_(torch.randn_like(module.bias) * 0.3)
            module.running_mean.copy_(torch.randn_like(module.running_mean))
            module.running_var.copy_(torch.rand_like(module.running_var) + 0.1)
            module.num_batches_tracked.fill_(9)
    for tensor in net.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(tensor.float().double())
x = torch.randn(100, 1, 8, 8).float().double() * 1.7 + 0.4
out = {"model." + k: v.float() if v.is_floating_point() else v for k, v in net.state_dict().items()}
out["x_train"] = x.float()
out["y_train"] = torch.zeros(100, dtype=torch.int64)


def recompute(batch):
    bns = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    for m in bns:
        m.reset_running_stats()
        m.momentum = None
    net.train()
    with torch.no_grad():
        for part in x.split(batch):
            net(part)
    return {k: v.float() for k, v in net.state_dict().items() if "running_" in k}


for label, batch in [("batch32.", 32), ("whole.", 100)]:
    out.update({label + k: v.clone() for k, v in recompute(batch).items()})
save_file({k: v.contiguous() for k, v in out.items()}, str(pathlib.Path(__file__).with_name("batch_norm.safetensors")))
