"""Writes the oracles of ZooTrainTests with PyTorch: python make_training_oracles.py (2.13 wrote the committed files).

optimisers.json    a few steps of every optimiser and schedule on given gradients, in float64 and float32
cnn.*, resnet.*, vit.*
                   initial and final state of three networks after 24 steps on given batches, the last of each epoch
                   incomplete
"""
import json
import os

import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

HERE = os.path.dirname(os.path.abspath(__file__))
DIGITS = os.path.join(HERE, "../../../zoos/data/digits.safetensors")
torch.set_num_threads(1)
STEPS_PER_EPOCH, EPOCHS = 3, 5
TOTAL = STEPS_PER_EPOCH * EPOCHS

OPTIMISERS = {
    "sgd": (torch.optim.SGD, dict(lr=0.1)),
    "sgd-decay": (torch.optim.SGD, dict(lr=0.1, weight_decay=0.05)),
    "sgd-momentum": (torch.optim.SGD, dict(lr=0.1, momentum=0.9, weight_decay=5e-4)),
    "sgd-dampening": (torch.optim.SGD, dict(lr=0.1, momentum=0.8, dampening=0.3)),
    "sgd-nesterov": (torch.optim.SGD, dict(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01)),
    "adam": (torch.optim.Adam, dict(lr=0.01)),
    "adam-decay": (torch.optim.Adam, dict(lr=0.01, betas=(0.8, 0.99), eps=1e-6, weight_decay=0.1)),
    "adamw": (torch.optim.AdamW, dict(lr=0.01)),
    "adamw-decay": (torch.optim.AdamW, dict(lr=0.02, weight_decay=0.2)),
}


def schedules(o, lr):
    s = torch.optim.lr_scheduler
    epochwise = {
        "constant": lambda: None,
        "step": lambda: s.StepLR(o, 2, gamma=0.5),
        "multistep": lambda: s.MultiStepLR(o, [1, 3], gamma=0.2),
        "cosine": lambda: s.CosineAnnealingLR(o, EPOCHS, eta_min=0.001),
    }
    stepwise = {
        "one-cycle": lambda: s.OneCycleLR(o, lr, total_steps=TOTAL),
        "warmup": lambda: s.LinearLR(o, start_factor=0.25, total_iters=2 * STEPS_PER_EPOCH),
    }
    return epochwise, stepwise


def optimiser_oracle():
    torch.manual_seed(1)
    start = torch.randn(7, dtype=torch.float64)
    gradients = torch.randn(TOTAL, 7, dtype=torch.float64)
    cases = []
    for name, (cls, kwargs) in OPTIMISERS.items():
        for schedule in ["constant", "step", "multistep", "cosine", "one-cycle", "warmup"]:
            if schedule == "one-cycle" and cls is torch.optim.SGD and "momentum" not in kwargs:
                continue
            case = {"optimiser": name, "kind": cls.__name__.lower(), "settings": kwargs, "schedule": schedule}
            for dtype in (torch.float64, torch.float32):
                p = nn.Parameter(start.to(dtype).clone())
                o = cls([p], **kwargs)
                epochwise, stepwise = schedules(o, kwargs["lr"])
                per_epoch = epochwise[schedule]() if schedule in epochwise else None
                per_step = stepwise[schedule]() if schedule in stepwise else None
                rates, momenta, values = [], [], []
                for t in range(TOTAL):
                    group = o.param_groups[0]
                    rates.append(group["lr"])
                    momenta.append(group["betas"][0] if "betas" in group else group["momentum"])
                    p.grad = gradients[t].to(dtype).clone()
                    o.step()
                    values.append(p.detach().double().tolist())
                    if per_step:
                        per_step.step()
                    if per_epoch and t % STEPS_PER_EPOCH == STEPS_PER_EPOCH - 1:
                        per_epoch.step()
                case["rates"], case["momenta"] = rates, momenta
                case[str(dtype)[6:]] = [values[0], values[1], values[TOTAL // 2], values[-1]]
            cases.append(case)
    json.dump(
        {"start": start.tolist(), "gradients": gradients.tolist(), "steps_per_epoch": STEPS_PER_EPOCH,
         "epochs": EPOCHS, "kept": [0, 1, TOTAL // 2, TOTAL - 1], "cases": cases},
        open(os.path.join(HERE, "optimisers.json"), "w"))


class CNN(nn.Module):
    def __init__(self):
        super().__init__()
        a = nn.Tanh
        self.module_list = nn.ModuleList([
            nn.Conv2d(1, 8, 5, padding=2), nn.MaxPool2d(2, 2), a(), nn.Conv2d(8, 6, 5, padding=2), nn.Identity(), a(),
            nn.Conv2d(6, 4, 2), a(), nn.Flatten(), nn.Linear(36, 20), a(), nn.Linear(20, 10)])

    def forward(self, x):
        for m in self.module_list:
            x = m(x)
        return x


class Block(nn.Module):
    def __init__(self, i, o, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(i, o, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(o)
        self.conv2 = nn.Conv2d(o, o, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(o)
        self.downsample = None
        if stride != 1 or i != o:
            self.downsample = nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (self.downsample(x) if self.downsample else x))


class ResNet(nn.Module):
    def __init__(self, w):
        super().__init__()
        self.conv1 = nn.Conv2d(1, w, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(w)
        self.layer1 = nn.Sequential(Block(w, w, 1))
        self.layer2 = nn.Sequential(Block(w, 2 * w, 2))
        self.fc = nn.Linear(2 * w, 10)

    def forward(self, x):
        x = self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x)))))
        return self.fc(x.mean((2, 3)))


class Attention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x):
        n, t, d = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, d))


class Perceptron(nn.Module):
    def __init__(self, dim, hidden):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class Encoder(nn.Module):
    def __init__(self, dim, heads, ratio):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Perceptron(dim, int(dim * ratio))

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Patches(nn.Module):
    def __init__(self, patch, dim):
        super().__init__()
        self.proj = nn.Conv2d(1, dim, patch, patch)

    def forward(self, x):
        return self.proj(x).flatten(2).transpose(1, 2)


class ViT(nn.Module):
    """The names and the order of timm's VisionTransformer."""

    def __init__(self, patch, dim, depth, heads, ratio):
        super().__init__()
        self.cls_token = nn.Parameter(1e-6 * torch.randn(1, 1, dim))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, (8 // patch) ** 2 + 1, dim))
        self.patch_embed = Patches(patch, dim)
        self.blocks = nn.ModuleList([Encoder(dim, heads, ratio) for _ in range(depth)])
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, 10)

    def forward(self, x):
        x = self.patch_embed(x)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


def network_oracle(name, model, make, batch, samples, smoothing):
    """Samples in their order, four epochs or more, until 24 steps are done."""
    data = load_file(DIGITS)
    x, y = data["x_train"][:samples], data["y_train"][:samples]
    save_file({k: v.clone() for k, v in model.state_dict().items()}, os.path.join(HERE, f"{name}-start.safetensors"))
    o = make(model.parameters())
    losses, model = [], model.train()
    while len(losses) < 24:
        for s in range(0, samples, batch):
            o.zero_grad()
            loss = F.cross_entropy(model(x[s:s + batch]), y[s:s + batch], label_smoothing=smoothing)
            loss.backward()
            o.step()
            losses.append(loss.item())
    save_file({k: v.clone() for k, v in model.state_dict().items()}, os.path.join(HERE, f"{name}-end.safetensors"))
    json.dump({"losses": losses, "batch": batch, "samples": samples, "smoothing": smoothing},
              open(os.path.join(HERE, f"{name}.json"), "w"))


if __name__ == "__main__":
    optimiser_oracle()
    torch.manual_seed(2)
    network_oracle("cnn", CNN(), lambda p: torch.optim.Adam(p, lr=1e-3, weight_decay=1e-4), 16, 60, 0.0)
    network_oracle("cnn-padded", CNN(), lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True), 20, 50, 0.1)
    network_oracle("resnet", ResNet(6), lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, weight_decay=5e-4), 16, 60, 0.0)
    network_oracle("resnet-padded", ResNet(6), lambda p: torch.optim.AdamW(p, lr=1e-3, eps=1e-4), 20, 50, 0.05)
    torch.manual_seed(3)
    network_oracle("vit", ViT(2, 12, 2, 3, 2), lambda p: torch.optim.AdamW(p, lr=1e-3, eps=1e-4, weight_decay=0.05), 16, 60, 0.0)
    network_oracle("vit-padded", ViT(4, 16, 1, 4, 1.5), lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9), 20, 50, 0.1)
