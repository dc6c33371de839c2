"""Two small networks and what PyTorch makes of them in float64 under the options of `trainer train`.

    python tests/tools/training_options.py > tests/data/training_options.json

tests/e2e/test_training_options.py trains the same with tlc and compares.  Only this program needs
torch; the test imports the network, the samples and the cases from here.
"""
import json

import numpy as np

N, BATCH, EPOCHS, SEED, CLASSES = 26, 4, 3, 5, 3
# Of the backbone: a network without batch norms, and one with two, which go by the batch and move their statistics.
SHAPES = {
    "plain": {"conv.weight": (4, 2, 3, 3), "conv.bias": (4,), "hidden.weight": (8, 36), "hidden.bias": (8,)},
    "norm": {"conv.weight": (4, 2, 3, 3), "bn.weight": (4,), "bn.bias": (4,), "conv2.weight": (8, 4, 3, 3), "bn2.weight": (8,),
             "bn2.bias": (8,)},
}

# name: (network, optimizer that is compiled, are gradients kept, options of `trainer train`)
CASES = {
    "weights": ("plain", "sgd", True, {"lr": 0.1, "class-weights": "1,2.5,0.5", "weight-decay": 0.01}),
    "clip": ("plain", "sgd", True, {"lr": 0.1, "momentum": 0.9, "clip-norm": 0.25, "weight-decay": 0.01}),
    "accumulate": ("plain", "sgd", True, {"lr": 0.1, "momentum": 0.9, "accumulate": 3}),
    "all": ("plain", "sgd", True, {"lr": 0.1, "momentum": 0.9, "accumulate": 2, "clip-norm": 0.5, "class-weights": "balanced",
                          "lr-backbone": 0.05, "head-epochs": 1, "schedule": "cosine"}),
    "stages": ("plain", "adam", False, {"lr": 0.02, "lr-backbone": 0.003, "head-epochs": 1, "schedule": "cosine", "warmup": 1,
                               "class-weights": "balanced"}),
    "norm_accumulate": ("norm", "sgd", True, {"lr": 0.05, "momentum": 0.9, "accumulate": 3}),
    "norm_stages": ("norm", "adam", False, {"lr": 0.01, "lr-backbone": 0.002, "head-epochs": 1}),
    "norm_all": ("norm", "sgd", True, {"lr": 0.05, "momentum": 0.9, "accumulate": 2, "clip-norm": 0.5, "lr-backbone": 0.02,
                                       "head-epochs": 1, "weight-decay": 0.01}),
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


def values(net, name):
    """Initial values of the backbone: a fixed series, in float."""
    shape = SHAPES[net][name]
    k = np.arange(np.prod(shape))
    return (np.sin(0.7 + 1.31 * k + 0.01 * k * k + len(name)) / np.sqrt(np.prod(shape[1:]) + 1)).astype(np.float32).reshape(shape)


def samples():
    k = np.arange(N * 72)
    x = (1.5 * np.sin(1 + 0.731 * k + 1e-4 * (k * k % 97))).astype(np.float32).reshape(N, 2, 6, 6)
    labels = np.array([(0, 1, 0, 2, 0)[i % 5] for i in range(N)], np.int64)
    return x + labels[:, None, None, None].astype(np.float32) / 4, labels


PLAIN = """  %0 : f32[n,4,6,6] = conv2d %x, %conv.weight, %conv.bias {pad=[1,1,1,1]} ; "conv"
  %1 : f32[n,4,6,6] = relu %0
  %2 : f32[n,4,3,3] = max_pool2d %1 {kernel=[2,2], stride=[2,2]}
  %3 : f32[n,36] = flatten %2
  %4 : f32[n,8] = linear %3, %hidden.weight, %hidden.bias ; "hidden"
  %5 : f32[n,8] = relu %4
"""
NORM = """  %0 : f32[n,4,6,6] = conv2d %x, %conv.weight {pad=[1,1,1,1]} ; "conv"
  %1 : f32[n,4,6,6] = batch_norm %0, %bn.weight, %bn.bias, %bn.running_mean, %bn.running_var ; "bn"
  %2 : f32[n,4,6,6] = relu %1
  %3 : f32[n,8,3,3] = conv2d %2, %conv2.weight {stride=[2,2], pad=[1,1,1,1]} ; "conv2"
  %4 : f32[n,8,3,3] = batch_norm %3, %bn2.weight, %bn2.bias, %bn2.running_mean, %bn2.running_var ; "bn2"
  %r : f32[n,8,3,3] = relu %4
  %5 : f32[n,8] = reduce_mean %r {axes=[2,3], keepdims=false}
"""


def network(net="plain"):
    """The network as IR text; `--replace-head` gives it its last layer."""
    params = "".join(f"param %{n} : f32[{','.join(map(str, s))}] = [{', '.join(repr(float(v)) for v in values(net, n).reshape(-1))}]\n"
                     for n, s in SHAPES[net].items())
    if net == "norm":
        params += "".join(f"param %{bn}.running_{stat} : f32[{c}] = splat {v}\n"
                          for bn, c in (("bn", 4), ("bn2", 8)) for stat, v in (("mean", 0), ("var", 1)))
    return f"""module "small"

{params}param %fc.weight : f32[5,8] init constant 0
param %fc.bias : f32[5] init constant 0

func @forward(%x: f32[n,2,6,6]) -> f32[n,5] {{
{PLAIN if net == "plain" else NORM}  %6 : f32[n,5] = linear %5, %fc.weight, %fc.bias ; "fc"
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


def torch_network(net):
    """The same as a module, its parameters and buffers by their names in the IR text."""
    from torch import nn
    if net == "plain":
        made = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 8), nn.ReLU(),
                             nn.Linear(8, CLASSES))
        return made, dict(zip([*SHAPES[net], "fc.weight", "fc.bias"], made.parameters())), {}
    bn, bn2 = nn.BatchNorm2d(4), nn.BatchNorm2d(8)
    made = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1, bias=False), bn, nn.ReLU(), nn.Conv2d(4, 8, 3, 2, 1, bias=False), bn2,
                         nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, CLASSES))
    stats = {f"{name}.running_{s}": getattr(m, "running_" + s) for name, m in (("bn", bn), ("bn2", bn2)) for s in ("mean", "var")}
    return made, dict(zip([*SHAPES[net], "fc.weight", "fc.bias"], made.parameters())), stats


def reference(which, kind, o):
    import torch
    from torch import nn
    torch.set_default_dtype(torch.float64)
    x, labels = (torch.from_numpy(v) for v in samples())
    x = x.double()
    net, names, stats = torch_network(which)
    given = {**{n: values(which, n) for n in SHAPES[which]}, **dict(zip(("fc.weight", "fc.bias"), head_values()))}
    for n, p in names.items():
        p.data = torch.from_numpy(given[n]).double()
    counts = np.bincount(labels.numpy(), minlength=CLASSES)
    weights = {"none": np.ones(CLASSES), "balanced": N / (CLASSES * counts)}.get(o.get("class-weights", "none"))
    weights = torch.tensor([float(w) for w in o["class-weights"].split(",")] if weights is None else weights)
    backbone = [names[n] for n in SHAPES[which]]
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
    return {"losses": losses, "tensors": {n: p.detach().reshape(-1).tolist() for n, p in {**names, **stats}.items()}}


if __name__ == "__main__":
    out = {name: reference(net, kind, o) for name, (net, kind, _, o) in CASES.items()}
    rounded = json.loads(json.dumps(out), parse_float=lambda s: float(f"{float(s):.13g}"))
    print(json.dumps(rounded, indent=0))
