"""Tiny networks of every family, computed by the libraries whose names Zoo reads.

    pip install torch torchvision timm transformers safetensors
    python make_architecture_oracles.py

Writes architectures/NAME/: `config.json` and `model.safetensors` as a user's folder holds them, and
`oracle.safetensors` with inputs, the outputs, a loss and the gradient of every parameter. All is computed in float64
on the stored float32 weights; outputs are kept in float64, gradients in float32 (relative error 6e-8).

Losses: `class` is the mean cross-entropy against `labels`; `next` the mean cross-entropy of the next real token;
`probe` the sum of output x probe. Batch norm is computed twice, with running and with batch statistics (`train.`); deep
networks over few samples amplify rounding there, so `train.rounding` says how far PyTorch's own float32 is from float64.

`windows` is no family: its graph is spelled out in `architecture.yaml`.
"""

import copy
import json
import math
import pathlib
import shutil

import torch
from safetensors.torch import save_file

# The CPU build of torch may lack torchvision's compiled detection operators; only its networks are needed here.
if not hasattr(torch.ops.torchvision, "nms"):
    detection = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        detection.define(operator + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import timm
import transformers
from torch import nn
from torch.nn import functional as F
from torchvision.models import resnet

HERE = pathlib.Path(__file__).parent / "architectures"


def randomise(model):
    """Non-trivial numbers everywhere: norms away from one, biases and statistics away from zero."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim >= 2:
                fan = p[0].numel() if p.ndim > 1 else p.numel()
                p.normal_(0, 0.9 / math.sqrt(max(fan, 4)))
            elif "norm" in name.lower() or ".bn" in name or name.startswith("bn") or "downsample.1" in name:
                p.normal_(1.0 if name.endswith("weight") else 0.0, 0.2)
            else:
                p.normal_(0, 0.3)
        for name, b in model.named_buffers():
            if name.endswith("running_mean"):
                b.normal_(0, 0.3)
            elif name.endswith("running_var"):
                b.uniform_(0.5, 1.6)
            elif name.endswith("num_batches_tracked"):
                b.fill_(7)
    return model.float()


def write(name, config, model, inputs, forward, loss, names=lambda n: n, output="logits", extra=None, modes=("",)):
    folder = HERE / name
    folder.mkdir(parents=True)
    state = {}
    seen = {}
    for key, value in model.state_dict().items():
        if value.data_ptr() in seen and value.numel() > 1:
            continue  # tied: stored once, as save_pretrained does
        seen[value.data_ptr()] = key
        if key.endswith(("position_ids", "inv_freq")):
            continue
        state[names(key)] = value.detach().clone().contiguous()
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    model = model.double()
    found = dict(inputs)
    original = {key: value.clone() for key, value in model.state_dict().items()}
    for mode in modes:
        model.load_state_dict(original)
        model.train(mode == "train.")
        model.zero_grad()
        result = forward(model)
        value = loss(result)
        value.backward()
        found[mode + "output." + output] = result.detach()
        found[mode + "loss"] = value.detach().reshape(1)
        for key, p in model.named_parameters():
            if p.grad is not None:
                found[mode + "grad." + names(key)] = p.grad.float()
        if mode == "train.":
            found["train.rounding"] = rounding(model, original, forward, loss, result)
    if extra:
        found.update(extra(model))
    save_file({k: v.detach().clone().contiguous() for k, v in found.items()}, folder / "oracle.safetensors",
              metadata={"loss": loss.kind, "output": output})


def rounding(model, original, forward, loss, result):
    """How far PyTorch's own float32 is from float64: of the largest output, of the largest entry of each gradient."""
    single = copy.deepcopy(model)
    single.load_state_dict(original)
    single = single.float().train()
    single.zero_grad()
    output = forward(single)
    loss(output).backward()
    whole = max(p.grad.abs().max().item() for p in model.parameters())
    worst = max(
        ((q.grad.double() - p.grad).abs().max() / max(p.grad.abs().max().item(), 0.05 * whole)).item()
        for p, q in zip(model.parameters(), single.parameters()))
    off = ((output.detach().double() - result.detach()).abs().max() / result.detach().abs().max()).item()
    return torch.tensor([off, worst], dtype=torch.float64)


def classes(labels):
    def loss(z):
        return F.cross_entropy(z, labels.long())
    loss.kind = "class"
    return loss


def probe(values):
    def loss(y):
        return (y * values.double()).sum()
    loss.kind = "probe"
    return loss


def following(tokens, mask):
    def loss(z):
        each = F.cross_entropy(z[:, :-1].reshape(-1, z.shape[-1]), tokens[:, 1:].reshape(-1).long(), reduction="none")
        weights = mask[:, 1:].reshape(-1).double()
        return (each * weights).sum() / weights.sum()
    loss.kind = "next"
    return loss


def perceptron(sizes, act):
    layers = []
    for i, o in zip(sizes, sizes[1:]):
        layers += [nn.Linear(i, o), act()]
    return nn.Sequential(*layers[:-1])


class Holder(nn.Module):
    def __init__(self, modules):
        super().__init__()
        self.module_list = nn.ModuleList(modules)

    def forward(self, x):
        for module in self.module_list:
            x = module(x)
        return x


def small_networks():
    x = torch.randn(16, 6)
    labels = torch.randint(0, 3, (16,), dtype=torch.int32)
    write("mlp-tanh", {"activation": "tanh"}, randomise(perceptron([6, 9, 5, 3], nn.Tanh)),
          {"input": x, "labels": labels}, lambda m: m(x.double()), classes(labels))
    acts = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "gelu": nn.GELU}
    image = torch.randn(8, 1, 16, 16)
    labels8 = torch.randint(0, 4, (8,), dtype=torch.int32)
    for word, act in acts.items():
        model = Holder([nn.Conv2d(1, 4, 5), nn.MaxPool2d(2, 2), act(), nn.Conv2d(4, 3, 3), nn.MaxPool2d(2, 2), act(),
                        nn.Flatten(), nn.Linear(12, 7), act(), nn.Linear(7, 4)])
        write(f"small-cnn-{word}", {"model::nlin": word}, randomise(model), {"input": image, "labels": labels8},
              lambda m: m(image.double()), classes(labels8))


def narrow(block, layers, width, stem):
    """torchvision's ResNet with fewer channels: its own blocks, names and initial stem."""
    model = resnet.ResNet(block, layers, num_classes=5)
    model.inplanes = width
    first = (7, 2, 3) if stem == "imagenet" else (3, 1, 1)
    model.conv1 = nn.Conv2d(3, width, *first, bias=False)
    model.bn1 = nn.BatchNorm2d(width)
    if stem != "imagenet":
        model.maxpool = nn.Identity()
    for stage, count in enumerate(layers):
        made = model._make_layer(block, width << stage, count, stride=1 if stage == 0 else 2)
        setattr(model, f"layer{stage + 1}", made)
    model.fc = nn.Linear((width << 3) * block.expansion, 5)
    return model


def residual_networks():
    for name, block, layers, stem, side in [
        ("resnet18", resnet.BasicBlock, [2, 2, 2, 2], "cifar", 16),
        ("resnet50", resnet.Bottleneck, [3, 4, 6, 3], "imagenet", 32),
    ]:
        image = torch.randn(6, 3, side, side)
        labels = torch.randint(0, 5, (6,), dtype=torch.int32)
        write(name, {"architecture": name}, randomise(narrow(block, layers, 2, stem)),
              {"input": image, "labels": labels}, lambda m: m(image.to(m.fc.weight.dtype)), classes(labels), modes=("", "train."))


def image_transformers():
    image = torch.randn(3, 3, 12, 12)
    labels = torch.randint(0, 5, (3,), dtype=torch.int32)
    vit = timm.models.vision_transformer.VisionTransformer(
        img_size=12, patch_size=4, embed_dim=16, depth=2, num_heads=4, num_classes=5)
    write("vit", {"architecture": "vit_tiny_patch4_12", "num_heads": 4}, randomise(vit),
          {"input": image, "labels": labels}, lambda m: m(image.double()), classes(labels))
    config = transformers.CLIPVisionConfig(
        hidden_size=16, intermediate_size=40, projection_dim=8, num_hidden_layers=2, num_attention_heads=4,
        image_size=12, patch_size=4, hidden_act="quick_gelu", attn_implementation="sdpa")
    clip = transformers.CLIPVisionModelWithProjection(config)
    values = torch.randn(3, 8)
    write("clip-vision", saved(config, "CLIPVisionModelWithProjection"), randomise(clip), {"input": image, "probe": values},
          lambda m: m(image.double()).image_embeds, probe(values), output="embedding")


def saved(config, architecture):
    out = json.loads(config.to_json_string(use_diff=False))
    keep = {k: v for k, v in out.items() if v is not None and not k.startswith("_") and k not in
            ("id2label", "label2id", "torch_dtype", "dtype", "transformers_version")}
    keep["architectures"] = [architecture]
    return keep


def texts(vocabulary, length=7):
    tokens = torch.randint(0, vocabulary, (3, length), dtype=torch.int32)
    mask = torch.ones(3, length)
    mask[1, 4:] = 0
    mask[2, 6:] = 0
    return tokens, mask


def language_models():
    tokens, mask = texts(31)
    whole = torch.ones_like(mask)
    config = transformers.GPT2Config(
        vocab_size=31, n_positions=12, n_embd=16, n_layer=2, n_head=4, attn_implementation="sdpa")
    write("gpt2", saved(config, "GPT2LMHeadModel"), randomise(transformers.GPT2LMHeadModel(config)),
          {"tokens": tokens, "mask": whole}, lambda m: m(tokens.long()).logits, following(tokens, whole))
    shared = dict(vocab_size=31, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
                  num_key_value_heads=2, max_position_embeddings=32, attn_implementation="sdpa")
    made = [
        ("llama", transformers.LlamaConfig(**shared, rope_theta=500.0), transformers.LlamaForCausalLM),
        ("llama-bias", transformers.LlamaConfig(**shared, attention_bias=True, mlp_bias=True, tie_word_embeddings=True),
         transformers.LlamaForCausalLM),
        ("qwen2", transformers.Qwen2Config(**shared, tie_word_embeddings=True, rope_theta=1000.0),
         transformers.Qwen2ForCausalLM),
        ("qwen3", transformers.Qwen3Config(**shared, head_dim=6, tie_word_embeddings=True),
         transformers.Qwen3ForCausalLM),
    ]
    for name, config, kind in made:
        write(name, saved(config, kind.__name__), randomise(kind(config)), {"tokens": tokens, "mask": mask},
              lambda m: m(tokens.long(), attention_mask=mask.long()).logits, following(tokens, mask))


def encoders():
    tokens, mask = texts(37)
    config = transformers.BertConfig(
        vocab_size=37, hidden_size=16, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=12, attn_implementation="sdpa")
    values = torch.randn(3, 7, 16)
    write("bert", saved(config, "BertModel"), randomise(transformers.BertModel(config)),
          {"tokens": tokens, "mask": mask, "probe": values},
          lambda m: m(tokens.long(), attention_mask=mask.long()).last_hidden_state, probe(values), output="tokens")
    pooled = torch.randn(3, 16)

    def sentence(m):
        hidden = m(tokens.long(), attention_mask=mask.long()).last_hidden_state
        real = mask.double()[:, :, None]
        return F.normalize((hidden * real).sum(1) / real.sum(1).clamp(min=1e-9), dim=1)

    write("minilm", saved(config, "BertModel"), randomise(transformers.BertModel(config)),
          {"tokens": tokens, "mask": mask, "probe": pooled}, sentence, probe(pooled), output="embedding")


class Windows(nn.Module):
    """Grouped, depthwise, dilated and strided convolutions, joined along channels and features."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.depthwise = nn.Conv2d(8, 16, 3, stride=2, padding=1, groups=8)
        self.dilated = nn.Conv2d(8, 6, 3, padding=2, dilation=2, bias=False)
        self.norm = nn.BatchNorm2d(22)
        self.both = nn.Conv2d(22, 6, 3, padding=3, dilation=3, groups=2)
        self.side = nn.Linear(6, 4)
        self.head = nn.Linear(10, 5)

    def forward(self, x):
        x = F.relu(self.stem(x))
        x = torch.cat([self.depthwise(x), F.max_pool2d(torch.tanh(self.dilated(x)), 2)], 1)
        x = F.gelu(self.both(F.relu(self.norm(x)))).mean((2, 3))
        return self.head(torch.cat([x, torch.sigmoid(self.side(x))], 1))


WINDOWS = """name: windows
inputs: [{name: image, kind: image, shape: [3, 10, 10]}]
nodes:
  - {name: stem, op: conv2d, parameters: {weight: stem.weight, bias: stem.bias}, padding: 1}
  - {name: stem.act, op: activation, kind: relu}
  - {name: depthwise, op: conv2d, parameters: {weight: depthwise.weight, bias: depthwise.bias}, stride: 2, padding: 1, groups: 8}
  - {name: dilated, op: conv2d, inputs: [stem.act], parameters: {weight: dilated.weight}, padding: 2, dilation: 2}
  - {name: dilated.act, op: activation, kind: tanh}
  - {name: dilated.pool, op: max_pool, kernel: 2}
  - {name: joined, op: concat, inputs: [depthwise, dilated.pool], axis: 0}
  - name: norm
    op: batch_norm
    parameters: {weight: norm.weight, bias: norm.bias, running_mean: norm.running_mean, running_var: norm.running_var, num_batches_tracked: norm.num_batches_tracked}
  - {name: norm.act, op: activation, kind: relu}
  - {name: both, op: conv2d, parameters: {weight: both.weight, bias: both.bias}, padding: 3, dilation: 3, groups: 2}
  - {name: both.act, op: activation, kind: gelu}
  - {name: pooled, op: global_average_pool}
  - {name: side, op: linear, parameters: {weight: side.weight, bias: side.bias}}
  - {name: side.act, op: activation, kind: sigmoid}
  - {name: features, op: concat, inputs: [pooled, side.act]}
  - {name: head, op: linear, parameters: {weight: head.weight, bias: head.bias}, head: true}
outputs: {features: features, logits: head}
"""


def windows():
    image = torch.randn(6, 3, 10, 10)
    labels = torch.randint(0, 5, (6,), dtype=torch.int32)
    write("windows", {"architecture": "windows"}, randomise(Windows()), {"input": image, "labels": labels},
          lambda m: m(image.to(m.stem.weight.dtype)), classes(labels), modes=("", "train."))
    (HERE / "windows" / "architecture.yaml").write_text(WINDOWS)


def pinn():
    """u_t + beta u_x = 0 on x in [0, 2 pi], periodic, u(x, 0) = sin x."""
    beta = 3.0
    model = randomise(perceptron([2, 8, 8, 1], nn.Tanh))
    inner = torch.rand(16, 2) * torch.tensor([2 * math.pi, 1.0])
    start = torch.cat([torch.rand(16, 1) * 2 * math.pi, torch.zeros(16, 1)], 1)
    times = torch.rand(16, 1)
    left = torch.cat([torch.zeros(16, 1), times], 1)
    right = torch.cat([torch.full((16, 1), 2 * math.pi), times], 1)
    target = torch.sin(start[:, :1])
    directions = {n: torch.randn_like(p) for n, p in model.named_parameters()}

    def parts(m):
        x = inner.double().requires_grad_()
        u = m(x)
        slope = torch.autograd.grad(u.sum(), x, create_graph=True)[0]
        residual = (slope[:, 1] + beta * slope[:, 0]).square().mean()
        initial = (m(start.double()) - target.double()).square().mean()
        boundary = (m(left.double()) - m(right.double())).square().mean()
        return torch.stack([residual, initial, boundary])

    def loss(p):
        return p.sum()
    loss.kind = "pinn"

    def products(m):
        ps = list(m.parameters())
        value = parts(m).sum()
        slopes = torch.autograd.grad(value, ps, create_graph=True)
        along = sum((g * directions[n].double()).sum() for g, (n, _) in zip(slopes, m.named_parameters()))
        return {"hvp." + n: h.float() for (n, _), h in zip(m.named_parameters(), torch.autograd.grad(along, ps))}

    write("pinn", {"architecture": "pinn", "beta": beta}, model,
          {"inner": inner, "initial": start, "left": left, "right": right, "target": target,
           **{"v." + n: d for n, d in directions.items()}},
          parts, loss, output="parts", extra=products)


if __name__ == "__main__":
    shutil.rmtree(HERE, ignore_errors=True)
    for place, family in enumerate(
        [small_networks, residual_networks, image_transformers, language_models, encoders, pinn, windows]
    ):
        torch.manual_seed(20 + place)
        family()
    print(sum(f.stat().st_size for f in HERE.rglob("*") if f.is_file()), "bytes")
