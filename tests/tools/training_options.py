"""A small network and what PyTorch makes of it in float64 under the options of `trainer train`.

    python tests/tools/training_options.py > tests/data/training_options.json

tests/e2e/test_training_options.py trains the same with tlc and compares.  Only this program needs
torch; the test imports the network, the samples and the cases from here.
"""
import json

import numpy as np

N, BATCH, EPOCHS, SEED, CLASSES = 26, 4, 3, 5, 3
SHAPES = {"conv.weight": (4, 2, 3, 3), "conv.bias": (4,), "hidden.weight": (8, 36), "hidden.bias": (8,)}

# name: (optimizer that is compiled, are gradients kept, options of `trainer train`)
CASES = {
    "weights": ("sgd", True, {"lr": 0.1, "class-weights": "1,2.5,0.5", "weight-decay": 0.01}),
    "clip": ("sgd", True, {"lr": 0.1, "momentum": 0.9, "clip-norm": 0.25, "weight-decay": 0.01}),
    "accumulate": ("sgd", True, {"lr": 0.1, "momentum": 0.9, "accumulate": 3}),
    "all": ("sgd", True, {"lr": 0.1, "momentum": 0.9, "accumulate": 2, "clip-norm": 0.5, "class-weights": "balanced",
                          "lr-backbone": 0.05, "head-epochs": 1, "schedule": "cosine"}),
    "stages": ("adam", False, {"lr": 0.02, "lr-backbone": 0.003, "head-epochs": 1, "schedule": "cosine", "warmup": 1,
                               "class-weights": "balanced"}),
}
SMOOTHING = 0.1


def philox(seed, i, a, b, purpose):
    """Philox4x32-10: four words for each counter of the array i."""
    c = [np.asarray(i, np.uint64), *(np.full(np.shape(i), v, np.uint64) for v in (a, b, purpose))]
    k = [seed & 0xFFFFFFFF, seed >> 32]
    low = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        p, q = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(q >> np.uint64(32)) ^ c[1] ^ np.uint64(k[0]), q & low, (p >> np.uint64(32)) ^ c[3] ^ np.uint64(k[1]), p & low]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return np.stack(c, -1).reshape(-1)


def words(seed, n, a, purpose):
    return philox(seed, np.arange((n + 3) // 4), a, 0, purpose)[:n]


def order(epoch):
    w, list_ = words(SEED, N, epoch, 2), list(range(N))
    for i in range(N - 1, 0, -1):
        j = (int(w[i]) * (i + 1)) >> 32
        list_[i], list_[j] = list_[j], list_[i]
    return list_


def head_values():
    """The new head's initial weight and bias: uniform within 1/sqrt(fan_in)."""
    u = [(words(SEED, n, a, 1) >> np.uint64(8)).astype(np.float32) * np.float32(2.0**-24)
         for a, n in enumerate((CLASSES * 8, CLASSES))]
    weight, bias = ((np.float32(2) * v - np.float32(1)) * np.float32(1 / np.sqrt(8)) for v in u)
    return weight.reshape(CLASSES, 8), bias


def values(name):
    """Initial values of the backbone: a fixed series, in float."""
    shape = SHAPES[name]
    k = np.arange(np.prod(shape))
    return (np.sin(0.7 + 1.31 * k + 0.01 * k * k + len(name)) / np.sqrt(np.prod(shape[1:]) + 1)).astype(np.float32).reshape(shape)


def samples():
    k = np.arange(N * 72)
    x = (1.5 * np.sin(1 + 0.731 * k + 1e-4 * (k * k % 97))).astype(np.float32).reshape(N, 2, 6, 6)
    labels = np.array([(0, 1, 0, 2, 0)[i % 5] for i in range(N)], np.int64)
    return x + labels[:, None, None, None].astype(np.float32) / 4, labels


def network():
    """The network as IR text; `--replace-head` gives it its last layer."""
    params = "".join(f"param %{n} : f32[{','.join(map(str, s))}] = [{', '.join(repr(float(v)) for v in values(n).reshape(-1))}]\n"
                     for n, s in SHAPES.items())
    return f"""module "small"

{params}param %fc.weight : f32[5,8] init constant 0
param %fc.bias : f32[5] init constant 0

func @forward(%x: f32[n,2,6,6]) -> f32[n,5] {{
  %0 : f32[n,4,6,6] = conv2d %x, %conv.weight, %conv.bias {{pad=[1,1,1,1]}} ; "conv"
  %1 : f32[n,4,6,6] = relu %0
  %2 : f32[n,4,3,3] = max_pool2d %1 {{kernel=[2,2], stride=[2,2]}}
  %3 : f32[n,36] = flatten %2
  %4 : f32[n,8] = linear %3, %hidden.weight, %hidden.bias ; "hidden"
  %5 : f32[n,8] = relu %4
  %6 : f32[n,5] = linear %5, %fc.weight, %fc.bias ; "fc"
  return %6
}}
"""


def rate_factor(o, step, in_epoch):
    """The schedule: linear warm-up, then a cosine over what is left."""
    warm = o.get("warmup", 0) * in_epoch
    if step < warm:
        return (step + 1) / warm
    if o.get("schedule") != "cosine":
        return 1.0
    return (1 + np.cos(np.pi * (step - warm) / (EPOCHS * in_epoch - warm))) / 2


def reference(kind, o):
    import torch
    from torch import nn
    torch.set_default_dtype(torch.float64)
    x, labels = (torch.from_numpy(v) for v in samples())
    x = x.double()
    net = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 8), nn.ReLU(),
                        nn.Linear(8, CLASSES))
    names = dict(zip(list(SHAPES) + ["fc.weight", "fc.bias"], net.parameters()))
    given = {**{n: values(n) for n in SHAPES}, **dict(zip(("fc.weight", "fc.bias"), head_values()))}
    for n, p in names.items():
        p.data = torch.from_numpy(given[n]).double()
    counts = np.bincount(labels.numpy(), minlength=CLASSES)
    weights = {"none": np.ones(CLASSES), "balanced": N / (CLASSES * counts)}.get(o.get("class-weights", "none"))
    weights = torch.tensor([float(w) for w in o["class-weights"].split(",")] if weights is None else weights)
    backbone = [names[n] for n in SHAPES]
    rates = [o["lr"], o.get("lr-backbone", o["lr"])]
    groups = [{"params": [names["fc.weight"], names["fc.bias"]]}, {"params": backbone}]
    decay = o.get("weight-decay", 0)
    opt = torch.optim.Adam(groups, weight_decay=decay) if kind == "adam" else \
        torch.optim.SGD(groups, lr=1, momentum=o.get("momentum", 0), weight_decay=decay)
    losses, norms, step, size = [], [], 0, BATCH * o.get("accumulate", 1)
    for epoch in range(EPOCHS):
        for p in backbone:
            p.requires_grad_(epoch >= o.get("head-epochs", 0))
        list_ = order(epoch)
        for at in range(0, N, size):
            ids = list_[at:at + size]
            divisor, total = weights[labels[ids]].sum(), 0
            opt.zero_grad()
            for first in range(0, len(ids), BATCH):
                b = ids[first:first + BATCH]
                sum_ = nn.functional.cross_entropy(net(x[b]), labels[b], weight=weights, reduction="sum", label_smoothing=SMOOTHING)
                (sum_ / divisor).backward()
                total += sum_.item()
            if "clip-norm" in o:
                norms.append(nn.utils.clip_grad_norm_(net.parameters(), o["clip-norm"]).item())
            for group, rate in zip(opt.param_groups, rates):
                group["lr"] = rate * rate_factor(o, step, -(-N // size))
            opt.step()
            losses.append(total / divisor.item())
            step += 1
    clipped = sum(n > o.get("clip-norm", 0) for n in norms)
    assert "clip-norm" not in o or 0 < clipped < len(norms), f"clipping is not seen at work: {clipped} of {len(norms)}"
    return {"losses": losses, "tensors": {n: p.detach().reshape(-1).tolist() for n, p in names.items()}}


if __name__ == "__main__":
    out = {name: reference(kind, o) for name, (kind, _, o) in CASES.items()}
    rounded = json.loads(json.dumps(out), parse_float=lambda s: float(f"{float(s):.13g}"))
    print(json.dumps(rounded, indent=0))
