"""What the tools that export networks share: values for parameters, and where a file keeps them."""
import numpy as np


def draw_torch(net):
    """Seeded by the caller: values for what PyTorch fills with zeros and ones, so that every layer counts."""
    import torch
    for m in net.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            m.running_mean.normal_(0, 0.1)
            m.running_var.uniform_(0.5, 1.5)
    for key, p in net.named_parameters():
        if key.endswith("bias"):
            torch.nn.init.normal_(p, 0, 0.05)
        elif p.ndim == 1 or "layer_scale" in key:
            torch.nn.init.uniform_(p, 0.5, 1.5)


def draw_keras(net):
    """The same for what Keras fills with zeros and ones."""
    rng = np.random.default_rng(3)
    for v in net.weights:
        leaf = v.path.rsplit("/", 1)[-1]
        if leaf in ("gamma", "moving_variance", "variance"):
            v.assign(rng.uniform(0.5, 1.5, v.shape))
        elif leaf in ("beta", "moving_mean", "bias", "mean"):
            v.assign(rng.normal(0, 0.1, v.shape))


def stored_under(name, parameter, among, stored):
    """Which key of `among` a parameter became, None if none, and whether it was transposed: exporters name folded biases and
    transposed matrices anew.  `stored`: the file's initialisers."""
    for key in (name, name.removesuffix(".bias") + ".weight_bias"):
        if key in among:
            return key, False
    for key in (k for k in among if k in stored and stored[k].ndim == 2):
        if stored[key].shape == parameter.shape and np.array_equal(stored[key], parameter):
            return key, False
        if stored[key].shape == parameter.shape[::-1] and np.array_equal(stored[key].T, parameter):
            return key, True
    return None, False
